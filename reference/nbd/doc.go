// SPDX-License-Identifier: Apache-2.0

// Package nbd is a small server of the Network Block Device protocol: programs of the system, such as nbd-client,
// qemu-img, nbdcopy and fio, reach through it a disk that this process has.
//
// A [Server] offers named [Disk]s on any net.Listener, usually a Unix socket; [URI] is what NBD programs call them. It
// speaks the fixed newstyle handshake with the options export name, list, info, go, structured reply, list and set meta
// context, and abort, and the commands read, write, flush, trim, write zeroes, block status and disconnect. Each connection
// has one goroutine that reads commands and as many as are in flight that execute them; replies go out in the order in which
// commands end. What a disk was not offered for, an unknown command and an unknown flag are answered with EINVAL; an option
// or a write that is too long is passed over and refused. Only what cannot be understood at all ends the connection.
//
// What a client has in flight when it goes is executed if it has asked for a disconnect, and given up if not: the context of
// the Disk's method ends.
//
// [AttachToKernel] makes a block device of a Disk: the kernel's NBD driver is its client, without a handshake.
//
// # Zeroes and holes
//
// A Disk does not tell which of its parts are allocated. The context base:allocation therefore
// tells what the server can find out by reading: an extent is NBD_STATE_ZERO when all of it was read and is zero. Everything
// else is data, of which nothing is claimed. NBD_STATE_HOLE is never set, because nobody here knows whether storage is behind
// a zero. Nothing is remembered from one status to the next, because another client may have written between them.
//
// A status reads at most 32 MiB, in granules of 64 KiB. Where the first 4 KiB of a granule are not zero it is data, and the
// rest is not read. So a program that asks before it copies, such as nbdcopy, reads zeroes once, as it did without asking, and
// 1/16 of the data in addition; it gains that it neither receives nor writes zeroes. A program that asks twice, such as
// qemu-img convert, which counts first, reads zeroes twice. Map of a whole disk costs about as much as to read its zeroes.
//
// With structured replies a read sends runs of zeroes, in the same granules, as NBD_REPLY_TYPE_OFFSET_HOLE.
//
// Write zeroes is always offered with NBD_CMD_FLAG_FAST_ZERO: it sends no data to the server of the device, as the write of
// the same zeroes would.
//
// Source: the protocol document of the NBD project, doc/proto.md.
package nbd
