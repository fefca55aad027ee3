// SPDX-License-Identifier: Apache-2.0

// Package mutants has the broken implementations of IBNBD over IBTRS that the suite must find; package mutant tries them.
//
// A mutant is a row in a table, by kind and area:
//
//   - A server (server_*.go) is the reference's server in this process, with one of its rules turned off, on another disk
//     (disk.go), or behind a filter that alters the packets that come to it: a server to which every magic looks right takes
//     any magic (broken_server.go, filter.go). The attacks of package attacks judge it.
//   - A client (client_*.go) is the reference's client, likewise. The provocations of package provocations judge it.
//   - Of a client or server whose violation only packets show (client_packets.go, server_packets.go), the passive judge reads the
//     packets of an exchange with the other one, unbroken (exchange.go).
//   - A liar (liars.go) is a server that is broken as a whole: it dies of anything odd, always succeeds, falls silent, answers
//     late or twice, loses or reorders writes, forgets flushes, pretends to reconnect.
//   - A pair in guests (package lab) is mainline's or this project's, whose files, packets or arguments are altered on their way.
//     The specs of the lab judge it.
//   - A recording (package recordings) is an exchange of implementations that behave, altered as if a broken one had taken part.
//     The passive judge must find what was broken, and nothing else.
package mutants
