// SPDX-License-Identifier: Apache-2.0

// Package mutant proves that the suite catches broken implementations: a suite that never fails says nothing.
//
// A [Mutant] is an implementation that breaks a clause, deliberately and as little as possible. [Run] puts each to the specs
// that claim this clause, and no others, and to the same specs the implementation unbroken, the control. [RunInLab] does so with
// mutants that are a target and an initiator in guests, one of them made to look broken. The result is the kill matrix (package
// matrix). A mutant that lives is a clause that the suite does not see; one that dies of another clause than its own is a spec
// that blames the wrong one. Both fail.
//
// The mutants belong to the protocols; each hands them over as a [Set]. [Set.Coverage] holds them against the catalogue: a clause
// that must be kept and can be decided has a mutant, or an [Excuse]. A clause with neither fails, and so does one that is excused
// by name although it has a mutant.
//
// Package recording makes mutants of recorded packets.
package mutant
