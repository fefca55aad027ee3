// SPDX-License-Identifier: Apache-2.0

// Package roce reads and writes RoCEv2 packets: RDMA over UDP port 4791, on IPv4
// and IPv6, with and without one 802.1Q tag.
//
// A packet is Ethernet, IP, UDP and then
//
//	BTH | extension headers | payload | pad | ICRC
//
// The [OpCode] in the base transport header says which extension headers follow
// (an [Ext] set; their order is fixed) and which payload is legal. All of that
// is one table, in opcode_table.go. An unassigned opcode has no extension
// headers: what follows its BTH is payload.
//
// [Packet] decodes a frame, an IP packet or the payload of a UDP socket without
// allocating, and builds legal packets. Each header is a struct with one field
// for each field on the wire, reserved bits included. Package layer gives the
// headers to gopacket, for captures and for tests that make illegal packets.
//
// Datagrams to queue pair 1 carry a [MAD]; those of connection management carry
// a [CMMessage]: [CMReq], [CMMra], [CMRej], [CMRep], [CMRtu], [CMDreq] or
// [CMDrep], each followed by its private data. That of a REQ to the RDMA IP CM
// service begins with an [IPCM]. SIDR_REQ, SIDR_REP, LAP and APR are known by
// name only. [DecodeCM] and [AppendCM] take and give whole datagrams.
//
// Captures hold relatives as well: [Packet.DecodeGRH] takes a RoCEv1 packet,
// which has a global route header in the place of IP and UDP, and
// [Packet.DecodeLRH] one of an InfiniBand link.
//
// The invariant CRC covers the IP and UDP headers too, so that no layer can
// check it alone: [Packet.CheckICRC] gives an [ICRCVerdict]. The UDP length says
// where it lies, never the captured length. A socket hides the IPv4
// identification, which the ICRC covers; [RecoverIPv4ID] solves for it.
//
// The rest is arithmetic: [PSN], [MTUCode], [Packets] and [Segment], the tables
// behind [Syndrome], [RNRTime], [Credits] and [ACKTimeout], [GID], [ServiceID]
// and [SourcePort].
//
// Nothing here keeps state between packets, starts a goroutine or opens a
// socket. A Packet belongs to one goroutine at a time. Every length is
// checked before it is used; what is wrong is an [Error] that names header,
// field, value and limit.
//
// The facts are those of the InfiniBand Architecture Specification, volume 1,
// and of its annexes A17 (RoCEv2), A11 (RDMA IP CM service) and A14 (XRC).
// Where a comment says "measured", Linux 6.12 with its soft-RoCE driver rxe was
// seen to do so on the wire.
package roce
