// SPDX-License-Identifier: Apache-2.0

// Package claim ties Ginkgo specs to clauses: a spec claims the clauses that it decides.
//
// A spec claims by a label, on itself or on a container around it:
//
//	It("refuses a wrong magic number", claim.Clauses("IBTRS-CONN-021"), func(ctx SpecContext) { ... })
//
// The label is "clause:IBTRS-CONN-021", so Ginkgo's own filter selects by clause:
// --label-filter='clause:IBTRS-CONN-021'.
//
// [Check] looks at the tree of specs before anything runs (a Ginkgo report of PreviewSpecs or of ReportBeforeSuite has all
// of them) and refuses a suite in which a spec claims nothing, or claims a clause that does not exist. A suite
// that Check refuses must not start; the command ends with exit code 2, because the suite was put together wrongly.
// The result of Check, [Claims], answers who decides a clause, and which clauses nobody decides.
package claim
