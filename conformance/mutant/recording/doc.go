// SPDX-License-Identifier: Apache-2.0

// Package recording makes mutants of recorded exchanges: a capture of implementations that behave is altered as if a broken one had
// taken part, with right checksums and sequence numbers, and judged by the passive judge. A [Mutation] says which clauses are
// broken then, all of them and no other.
//
// An [Editor] changes the packets. The captures and the tables of mutations belong to the protocols.
package recording
