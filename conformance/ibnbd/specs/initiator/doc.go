// SPDX-License-Identifier: Apache-2.0

// Package initiator has the specs in which scripted servers provoke the initiator. What they do is in package provocations;
// here they get places on the rails of the lab, and the initiator gets a disk of the pair's target beside theirs.
//
// A provocation that an initiator does not survive ends with its machine being killed, so that nobody waits for what it will
// not answer any more; the next spec gets new guests. Those that are known to cost that, or the longest timers of some
// initiator, are labelled extended, and run when they are asked for.
package initiator
