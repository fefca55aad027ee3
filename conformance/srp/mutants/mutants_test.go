// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// TestMatrix tries every mutant: each must die of what it breaks, and of nothing else.
func TestMatrix(t *testing.T) {
	for name, all := range map[string][]mutant.Mutant{
		"targets": targets(), "initiators": initiators(), "recordings": recording.Mutants(tables),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := mutant.Run(t.Context(), mutant.Options{Mutants: all})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range m.Rows {
				if r.Status != matrix.Killed {
					t.Errorf("%s %s: %s", r.Mutant, r.Status, r.Message)
				}
			}
			t.Logf("%s in %s", m.Exit().Sentence, m.Duration)
		})
	}
}
