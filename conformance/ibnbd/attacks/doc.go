// SPDX-License-Identifier: Apache-2.0

// Package attacks is what a client can do to a target that a target must endure, as a table: each [Attack] has a name, the
// clauses that it decides, and a function that does it with a tester and judges the answers.
//
// [Execute] runs one attack beside a conforming bystander, who must not notice, and connects a new client afterwards: a target that
// answers everything right and then serves nobody any more has not passed.
//
// Nothing here knows where the target is. The suite in specs/target runs the table against guests over a virtual wire; the
// tests of this package, and whoever wants to know whether the table catches a broken server, run it inside one process
// with package loopback.
package attacks
