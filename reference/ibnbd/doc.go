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
// # Texts
//
// [ParseMapOptions] reads what is written to map_device; [FullPath] and [LinkName] tell where a device path leads on
// the server and what the link to the mapped disk is called.
package ibnbd
