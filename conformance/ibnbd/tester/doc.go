// SPDX-License-Identifier: Apache-2.0

// Package tester is a small initiator that can break every rule: it sends a target any connection request, any INFO, any immediate and any
// block message, byte for byte, and gives back what comes of it.
//
// The nouns, each owned by the one before it:
//
//   - A [Target] is what is under test: where it can be reached, over which RDMA devices, and what it exports. It says
//     nothing of what the target is made of: a kernel over a virtual wire and a server in this process look the same.
//   - A [Tester] tries one target. Closing it ends everything that it has made.
//   - A [Session] is a group of paths with one name, conforming until its fields are changed.
//   - A [Path] is dialled connection by connection, exchanges INFO, and then carries each a [Request] at a time.
//   - A [Limit] is what the owner of a target allows; it is kept in one place, [Path.Post].
//   - A [Conn] is one connection with its receives; what it receives is a [Message].
//
// Nothing here judges more than it must to go on: what an answer should have been is said by package attacks, whose errors
// are a [Violation] of a clause. Errors tell three ends of a request apart: an [ibtrs.Errno] was answered, [ErrClosed] says
// that the target has closed the path, [ErrSilent] that nothing came within the target's patience.
package tester
