// SPDX-License-Identifier: Apache-2.0

// Package attacks is what an initiator can do to a target of SRP that a target must endure or answer rightly, as a table: each
// [Attack] has a name, the clauses that it decides, and a function that does it with a tester and judges the answers.
//
// [Execute] runs one attack beside a bystander, which must not notice, and has a new initiator log in afterwards: a target that
// answers everything right and then serves nobody any more has not passed.
package attacks
