// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// TestBrokenInitiators tries every mutant of the initiator: each must die of what it breaks, and of nothing else.
func TestBrokenInitiators(t *testing.T) {
	m, err := mutant.Run(t.Context(), mutant.Options{Mutants: initiators()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Rows {
		if r.Fate != matrix.Killed {
			t.Errorf("%s %s: %s", r.Mutant, r.Fate, r.Message)
		}
	}
	t.Logf("%s in %s", m.Exit().Sentence, m.Duration)
}
