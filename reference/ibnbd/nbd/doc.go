// SPDX-License-Identifier: Apache-2.0

// Package nbd is a small server of the Network Block Device protocol: the door through which programs of the system,
// such as nbd-client, qemu-img, nbdcopy and fio, reach a device that this process has mapped.
//
// A [Server] offers named [Disk]s on any net.Listener, usually a Unix socket. It speaks the fixed newstyle handshake
// with the options export name, list, info, go and abort, and the commands read, write, flush, trim, write zeroes and
// disconnect, with simple replies. Each connection has one goroutine that reads commands and as many as are in flight
// that execute them; replies go out in the order in which commands end.
//
// [AttachToKernel] makes a block device of a Disk: the kernel's NBD driver is its client, without a handshake.
//
// Source: the protocol document of the NBD project, doc/proto.md.
package nbd
