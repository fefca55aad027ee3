// SPDX-License-Identifier: Apache-2.0

// Package script is a small target that does what a script says: every step of the protocol can be replaced, byte for byte,
// and what is not replaced is done as the protocol says. It is the mirror image of package tester: clients are judged by what they make
// of it.
//
// The nouns, each owned by the one before it:
//
//   - A [Server] listens on devices and follows a [Script] towards whoever connects. Closing it ends everything.
//   - A [Path] is one build of a client's path: its connections, its chunks, and the name that it told.
//   - A [Conn] is one of its connections, on which anything can be sent at any time.
//   - A [ConnRequest] asks for a connection, a [Request] is a request in a chunk; a script answers either as it likes, at once,
//     later, several times or never.
//   - A [Disk] is what is served by default.
//
// Everything that a server does happens in one goroutine, its event loop, one event after the other. Scripts run there and need no
// lock. Other goroutines have a function run there with [Server.Do], and wait for what happens there with [Server.Await].
package script
