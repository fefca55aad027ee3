// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"testing"

	ours "github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
)

// Why a clause that a foreign run decides has its mutants elsewhere.
const (
	otherTimers = "its mutants have shorter timers than a foreign run waits for, and are judged by the same attack"
	crashedHere = "its mutants have a disk that is crashed in this process, and are judged by the same attack"
	cannotBegin = "no session can be had with a target that breaks it: the run says so and ends; recordings are altered instead"
)

// elsewhere are these clauses.
var elsewhere = map[string]string{
	"IBTRS-HB-004": otherTimers, "IBTRS-HB-006": otherTimers, "IBTRS-PATH-016": otherTimers, "IBNBD-FAIL-008": otherTimers,
	"IBNBD-FAIL-018": crashedHere, "IBNBD-IO-009": crashedHere, "IBNBD-IO-030": crashedHere,
	"IBTRS-CONN-017": cannotBegin, "IBTRS-CONN-018": cannotBegin, "IBTRS-CONN-019": cannotBegin,
	"IBTRS-INFO-005": cannotBegin, "IBTRS-INFO-006": cannotBegin,
}

// TestForeignRunsHaveMutants: what a run against somebody else's target decides has a mutant that dies in such a run, so that a clause of
// which the lab has a mutant that a network can show is not proven in the lab alone.
func TestForeignRunsHaveMutants(t *testing.T) {
	dies := make(map[string]bool)
	for _, m := range inProcess() {
		if _, foreign := m.Trial.(serverTrial); foreign {
			for _, id := range m.Breaks {
				dies[id] = true
			}
		}
	}
	decided := make(map[string]bool)
	for _, s := range ours.TargetSpecs() {
		for _, id := range s.Clauses {
			decided[id] = true
		}
	}
	for id := range decided {
		if _, excused := elsewhere[id]; dies[id] == excused {
			t.Errorf("%s: a mutant dies of it in a foreign run: %t; excused: %t", id, dies[id], excused)
		}
	}
	for id := range elsewhere {
		if !decided[id] {
			t.Errorf("%s is excused, and no foreign run decides it", id)
		}
	}
}
