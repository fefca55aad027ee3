// SPDX-License-Identifier: Apache-2.0

// Package ibnbd is the block protocol: devices of a server, opened, read and written over an IBTRS session. Mainline
// Linux calls the same protocol RNBD.
//
// # Messages
//
// Every message is the user header of one IBTRS request; a reply with a body comes back as the data of a read. A
// session begins with [SessInfo] in both directions, a device with [OpenRequest] and [OpenResponse]; [IORequest] reads
// and writes it, [CloseRequest] gives it back. Requests without a body are answered by the error number of the
// transport alone.
//
// All numbers are little-endian; sectors have 512 bytes whatever the device says. As in package ibtrs, each message is
// a plain struct that can hold any value and appends byte for byte; parsers read from the start of their input, check
// the length, then values, name the field at fault in a layout.Error, and do not allocate. [Layout] has the tables.
//
// # Profiles
//
// Three families of peers speak nearly the same bytes: the original IBNBD (L), mainline RNBD (M) and this project (X).
// An [Agreement], struck by the exchange of SessInfo, knows which family the peer is of and what a few ambiguous bytes
// mean to it; [Traits] is what those bytes say when the ambiguity is gone.
//
// # Client
//
// [Connect] opens a session, and [Client.Map] a [Device] of its server, which reads and writes like a file, or with many
// I/Os in flight by [Device.Submit]. A device is closed while the session has no path, and opened again, under a new id,
// when it has one; a request can never reach a server with an id of before, because it carries the epoch of the session
// in which the id was told.
//
// # Requests whose application is gone
//
// A request that was given up never takes effect after a newer one that was acknowledged (Clause IBNBD-FAIL-029). It is given
// up when its context ends, when an NBD client that [NBDDisk] serves goes without a disconnect (the kernel's driver
// included), and when its device is unmapped by force; package ibtrs does not send it again. But it may have left. So a device
// has its requests in an order: what touches the blocks of a write, a discard or zeroes waits until that has ended, however
// long ago its application has gone. Reads wait as well: what an application has read must stay. Flushes do not: they promise
// nothing of what was not acknowledged. It is the order of the block layer, in which requests that are in flight at the same
// time have none; it is only that the later of two on the same blocks is sent later.
//
// What is under way to a device that was unmapped must not reach another one that is given its id. So no device is opened
// before all of it has ended, and none is closed while another is being opened. An OPEN or a CLOSE whose caller has gone is
// not given up but goes on, for the same reason.
//
// Across clients there is the server alone: its order, and a CLOSE, behind which nothing of the device is executed.
//
// # Server
//
// [Listen] exports backends, and block devices of the host, to sessions. A target is a real device with its users and
// writers counted over all sessions; whoever opened it, its writes to overlapping blocks are executed in the order in
// which they came, and reads wait for them, which is this package's part in keeping writes of lost paths from coming after
// their time (see package ibtrs). I/O on backends that may wait is done by a fixed number of workers, all other where it is received.
//
// [ClientRules] and [ServerRules] turn the rules of a conforming endpoint off, one by one.
package ibnbd
