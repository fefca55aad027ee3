// SPDX-License-Identifier: Apache-2.0

// Package ibtrs is the transport of IBNBD: requests for chunks of server memory, carried over RDMA.
//
// A session is one client-to-server relation over a set of paths; a path is a pair of addresses and a set of reliable
// connections; a chunk is a buffer in the server's memory which the client fills by RDMA write. The number of a chunk
// is also the number of the permit to use it, and the number by which its response is known. Mainline Linux calls the
// same protocol RTRS.
//
// # Messages
//
// What is said in private data of the connection manager: [ConnRequest] and [ConnResponse]. What is said once per path
// in plain SENDs: [InfoRequest] and [InfoResponse], which publishes one [Descriptor] for each region of chunks. What
// stands at the end of each request in a chunk: [WriteMessage] or [ReadMessage]; [ParseChunk] finds the parts of a
// request around it. What a server with key refresh answers: [KeyResponse]. What travels as immediate data:
// [Immediate].
//
// All numbers are little-endian, but for immediate data, which the adapter sends most significant byte first. A
// [Geometry], made from the accept of a path, knows the chunk size and how many bits of an immediate name the chunk.
//
// Each message is a plain struct with one field for each field on the wire, reserved bytes included, so that any
// message, legal or not, can be made and is appended byte for byte. Each Parse function reads a message from the start
// of its input and ignores what follows (Size says how much it used). It checks lengths first, then values; the error
// is a [layout.Error] that names the field. After layout.ErrShort the value is not usable; after layout.ErrValue it is
// complete, for those who judge. Reserved bytes are never refused; [Layout] finds them. Appending and parsing do not
// allocate, and parsed lists are parts of the input.
//
// # Client
//
// [Open] makes a [Session] over one [Path] or more. The session owns the permits: who has one may have one request in
// flight, in the chunk of that number, on whatever path [Policy] prefers. What exists while a path is connected is a
// build: its connections, the server's chunks as seen over them, and a piece of registered memory for each permit in
// which a request is laid out as it will lie in the chunk. One goroutine for each connection polls it; one for each path
// takes the path through its states and does all that may wait. [Session.Do] waits for an answer,
// [Session.Start] calls back; neither allocates.
//
// When a path is lost, its build lets no request in any more, disconnects and drains; its requests go to other paths
// with the same permit, header and data, or fail if there is none. Then the path's goroutine reconnects, in its turn among all
// paths of the process ([Scheduler]).
//
// # Server
//
// [Listen] starts a [Server] on its devices. A [ServerSession] is the paths of one group UUID, a [ServerPath] one
// incarnation of one of them with chunks of its own: paths of one session can lie on different devices, which cannot
// share registered memory, and a chunk that a lost path still works with is not the one that a request is sent to again.
// What a request is for is decided by a [Handler]. Memory for half-open paths is promised, and counted, with the first
// connection, but taken only with the INFO exchange.
//
// A peer that breaks the protocol gets a [ProtocolError], which names the clause, on its path alone.
//
// # No write comes after its time
//
// A write that was sent on a path which then failed must not reach the disk after a later write to the same blocks was
// acknowledged. It could: it may still be in the network, in the server's completion queue, or in its disk. Four rules
// keep it from that. The client sees to the first two, the server to the others.
//
//  1. Nothing more leaves: a write of a lost path is not sent again, and not failed, before the connections of that path
//     are disconnected and drained on the client's side.
//  2. Nothing more arrives: nor before the server has confirmed the disconnect of each of them, or
//     [Timers].PacketLifetime has passed. Reads need not wait. A write whose owner has seen it fail is thus as good as
//     executed or lost.
//  3. Nothing more begins: requests of a path that is not connected are not begun ([ServerRequest.Abandoned]), nor those
//     that lie in the completion queue of a connection which is lost.
//  4. What has begun is in order: writes to overlapping blocks are executed one after the other, as they came, whatever
//     path or session they came on, and reads wait for them. That is the block layer's part, in package ibnbd.
//
// So a write either has come to the server when its quarantine ends, and is in order in front of everything later; or it
// never will. What rests on time is rule 2 alone, and only if the server does not confirm: PacketLifetime must be longer
// than a packet can live in the network, and a server need until it has taken note of it.
//
// A foreign server keeps rules 1 and 2, which are the client's, and 3 as far as it has confirmed a disconnect; without
// rule 4 a write that it has begun can still be overtaken, in particular one that failed because no path was left. A
// foreign client, which sends again or fails at once, is protected by rules 3 and 4 from what has reached the server, but
// not from what is still in the network. Writes that are in flight at the same time have no order in any case.
//
// # Requests that nobody waits for
//
// An application can go while its request is under way: its context ends, its connection to this process does, its device is
// unmapped. Whoever comes next may write newer data to the same blocks on another path, and the old request must not take
// effect after that (Clause IBNBD-FAIL-029). So a request that was given up is never sent again: one whose context has ended
// ([Session.Do]), one that was canceled ([Session.Cancel]) or revoked together with others ([Request].Revoked). What has left
// before cannot be called back, and the adapter repeats it as long as the path is there. It keeps its permit until the server
// has answered, or until its path is lost and rules 1 and 2 have passed; then [Request].Done is called, and it cannot take
// effect any more. A layer that knows which requests touch the same blocks, as package ibnbd does, sends the newer one only
// then. That is at most as long after the loss of the path as any request waits ([Timers.StallWithPath]).
//
// With a foreign server the end of what has left is as sure as rules 2 and 3 are there: the server must not begin, once a
// disconnect is confirmed or PacketLifetime has passed, what came over the lost path. A write that it has begun before,
// and whose disk takes longer than that, can still land behind a newer one; nothing in the protocol tells the client of
// it. A process that is killed gives everything up at once, and keeps no order for the next one: there the server's rules 3
// and 4 are all there is.
//
// # Connections that carry nothing
//
// Heartbeats tell that a peer has died. They go over connection 0, so they do not tell that another connection carries nothing
// any more, and its adapter may never tell either: soft-RoCE repeats for ever where it was asked to do so seven times. Both
// sides therefore ask each connection that they have sent on, once in a heartbeat interval, whether that was taken, with a write
// of nothing that completes behind it. When neither that nor anything else completes for as long as a silent peer is waited for,
// the path is lost. So no request waits for ever, but against a foreign server that does not ask: the client cannot tell a response
// which is lost on such a connection from one that a slow disk has not given yet.
//
// # Rules
//
// [ClientRules] and [ServerRules] turn the rules of a conforming endpoint off, one by one.
//
// # Addresses
//
// [ParsePath] reads the path syntax of map_device and add_path; [Errno] is an error number as Linux counts them, which
// is what travels, whatever the system this runs on.
package ibtrs
