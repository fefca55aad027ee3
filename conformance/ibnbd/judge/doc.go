// SPDX-License-Identifier: Apache-2.0

// Package judge is the passive judge of IBNBD over IBTRS: what package audit has to know to make sessions and block I/O of packets,
// and the rules that decide clauses.
//
//   - [Protocol] is handed to the engine. For each tracker it makes a follower, which keeps a [Session] with its [Path]s and a
//     [Request] for each permit in use.
//   - An [Event] is an event of the engine with what the protocol knows of it; [Of] finds it.
//   - The rules are in tables, a file an area (rules_conn.go to rules_path.go). What they remember beyond the follower is in
//     memory.go.
//   - [Requests], [WithOp], [OnPath] and others choose frames for faults, see package live.
package judge
