// SPDX-License-Identifier: Apache-2.0

package mutants

import "testing"

// TestMatrix tries every mutant.
func TestMatrix(t *testing.T) {
	m, err := Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Rows {
		if r.Fate != Killed {
			t.Errorf("%s %s: %s", r.Mutant, r.Fate, r.Message)
		}
	}
	t.Logf("%s in %s", m.Exit().Sentence, m.Duration)
}
