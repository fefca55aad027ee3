// SPDX-License-Identifier: Apache-2.0

// Package specreport is what a running Ginkgo spec reports, and how Ginkgo's report of the spec becomes results.
//
// While it runs, a spec states what it measured ([Measured]), what happened when ([Happened]), where the evidence lies
// ([Showed]), and, if it cannot decide or wants to name the kind of failure, why ([Skip], [Inconclusive], [Broke]).
// Statements travel in Ginkgo's report entries, so they arrive from parallel processes too.
//
// Afterwards [Results] gives one result for each clause that the spec claims. The state of the spec decides:
//
//	passed                             PASS, or FAIL (bound-exceeded) if a measured time is outside its bounds
//	failed                             FAIL; ERROR (setup-failed) if it failed in a BeforeEach or BeforeAll
//	timed out                          FAIL (timed-out); ERROR (setup-failed) as above
//	skipped by Skip, Inconclusive      SKIP, INCONCLUSIVE with the stated reason code
//	skipped without a reason code      ERROR (suite-bug)
//	panicked, interrupted, aborted     ERROR
//	never started (filter, pending)    no result: the judgement finds out why
//
// What Broke states overrides the row of a failure, also in a set-up or a clean-up node. A failure in a clean-up node
// after a skip is a failure.
//
// A spec is best kept to one clause, since a failing spec fails every clause that it claims. Where one scenario must
// decide several, each statement can be tied to its clause: [BrokeClause] fails that one and leaves the others undecided
// (SKIP, not-reached), and a timing with Clauses set counts for those alone. A broken clause that the spec does not claim gets a
// result of its own.
//
// A spec that ends with an error of package finding hands it to [Conclude].
package specreport
