// SPDX-License-Identifier: Apache-2.0

// Package rdma is the one interface on which every storage protocol of the reference is written: reliable connections
// with private data, registered memory, work and completions.
//
// Two providers implement it. Package verbs talks to librdmacm and libibverbs, so to soft-RoCE in the kernel or to an
// RNIC. Package soft is RoCEv2 in pure Go and needs neither. A protocol cannot tell which of them it runs on.
//
// The nouns, each owned by the one before it:
//
//   - A [Device] is one local RDMA address. It makes everything else.
//   - A [Listener] yields a [Request] for each connection that a peer asks for; the owner accepts or rejects it.
//   - A [Conn] is a connection with its queue pair and its one completion queue. Work is posted to it and completions
//     are polled from it.
//   - A [Region] is memory that the device may touch. Its buffer belongs to the region: it is allocated by the device
//     and dies with it.
//   - A [Window] is a key to a part of a region. A key is made by posting OpBind, taken back by OpInvalidate, or taken
//     back by the peer with OpSendInv. Each bind gives a new key.
//
// Ownership is visible: a buffer that a posted work request names belongs to the queue pair until its completion (or, for
// an unsignalled request, until a later signalled one completes). Parents refuse to close before their children, with
// [ErrBusy]: a leak shows where it is made.
//
// Contexts end everything that waits. A Conn has one poller: [Conn.Poll] may be called by one goroutine at a time.
// Posting is safe from many goroutines.
package rdma
