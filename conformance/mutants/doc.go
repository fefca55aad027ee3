// SPDX-License-Identifier: Apache-2.0

// Package mutants proves that the suite catches broken implementations: a suite that never fails says nothing.
//
// A [Mutant] is an implementation that breaks a clause, deliberately and as little as possible. [Run] puts each to the specs
// that claim this clause, and no others, and to the same specs the implementation unbroken, the control. The result is the
// kill [Matrix]. A mutant that lives is a clause that the suite does not see; one that dies of another clause than its
// own is a spec that blames the wrong one. Both fail.
//
// # What mutants are made of
//
// A mutant is a value in a table, by kind and area:
//
//   - A [Server] mutant is the reference server in this process, with one of its rules turned off or behind a hop that
//     alters what it gets to see (a server to which every magic looks right takes any magic; hop.go). The attacks of
//     package attacks judge it.
package mutants
