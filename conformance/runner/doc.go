// SPDX-License-Identifier: Apache-2.0

// Package runner runs the suites: it chooses specs, divides them among workers, follows them, and turns what they report
// into one journal, one set of reports and one exit code.
//
// # Who does what
//
// The supervisor ([Run]) chooses the specs by a [Selection], prepares what all workers share (the guest image, the choice
// of the accelerator) and starts workers: processes of the same program, each with a lab of its own, so that specs that
// mostly wait for a timer wait side by side. It owns the journal; workers only send [message] values through a pipe.
//
// A worker ([Work]) finds the protocol that its orders name, runs its share of the specs with Ginkgo in this process and reports
// each spec as it begins and ends. A worker that dies takes its machines with it and ends the run; what was not reached stands as
// that in the report.
//
// A target or an initiator that somebody else runs needs neither ([RunForeign]): its specs run in this process, one after the other.
// Settings, plan, progress, journal and reports are the same for both ([Settings], [Plan]).
//
// The division ([divide]) is by the time that specs say they take, longest first, and follows from the selection alone.
package runner
