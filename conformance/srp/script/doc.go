// SPDX-License-Identifier: Apache-2.0

// Package script is a target of SRP in the test process that answers as a test says, to judge an initiator.
//
// A [Target] listens on devices and has one disk in memory. It does every step as the protocol says, unless its [Script] has a function
// for it, which may do something else: accept a login with other numbers, reject it or leave it without an answer; answer a command
// late, twice, wrongly or never; send units that nobody has asked for.
//
// All of a target's fields, and all functions of its script, belong to its event loop. A test runs what touches them by [Target.Do],
// and waits for what they become by [Target.Await].
package script
