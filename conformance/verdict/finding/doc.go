// SPDX-License-Identifier: Apache-2.0

// Package finding says what the error with which a spec ends means for the clauses that the spec decides.
//
// A spec that tries something on a subject ends with an error, or without one. The same specs run in the lab, over a network
// and in this process, so the meaning of their errors is defined here and nowhere else. [Judge] is the table:
//
//	nil                            PASS
//	[Violation]s                   FAIL of their clauses (protocol-violation, or subject-dead if the clause says whether the
//	                               subject lives on); the other clauses were not reached any more: SKIP (not-reached)
//	an [Undecided]                 SKIP with its reason; PASS of the clause that says whether the subject lives on, if that
//	                               was seen nevertheless
//	any other                      an ordinary request went wrong, which had to come first: FAIL of the clause that says whether
//	                               the subject lives on and serves (assertion, or timed-out beyond the time of the spec);
//	                               INCONCLUSIVE (not-ready) of the others
//
// An error may wrap or join several of these. Violations count before all else: a subject that was seen to break a clause has
// broken it, whatever else it broke, and whatever the spec could not decide.
//
// A protocol declares its own reasons why something cannot be decided as values of Undecided. The reason of a SKIP is thereby
// part of the error, and not of those who meet it.
package finding
