// SPDX-License-Identifier: Apache-2.0

// Package wire is what host and guest say to each other over a virtio-serial port, in three layers:
//
//   - Frames name the session that they belong to, so that a new host process can take over a port from one that died
//     in the middle of a sentence (frame.go, conn.go).
//   - Inside a session, yamux gives each operation a stream of its own (Multiplexing in conn.go).
//   - Inside a stream, messages: one Request, then what the operation takes and gives (message.go, call.go, error.go).
//
// Both ends are always built from the same source, so there are no versions.
package wire
