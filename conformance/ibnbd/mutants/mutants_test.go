// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestMatrix tries every mutant: each must die of what it breaks.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m, err := mutant.Run(t.Context(), mutant.Options{Mutants: Set().InProcess})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Rows {
		if r.Status != matrix.Killed {
			t.Errorf("%s %s: %s", r.Mutant, r.Status, r.Message)
		}
	}
	t.Logf("%s in %s", m.Exit().Sentence, m.Duration)
}

// TestSurvivors tries implementations that are not broken, or not as they say.
func TestSurvivors(t *testing.T) {
	const magic, version = "IBTRS-CONN-021", "IBTRS-CONN-022"
	anyMagic := onConnRequest(func(r *ibtrs.ConnRequest) { r.Magic = ibtrs.Magic })
	rows := []row{
		server("good-server", "does everything right", magic, func(*brokenServer) {}),
		server("another-clause", "takes any magic, and says that it takes any version", version, anyMagic).by("connection request with another magic"),
		server("one-of-two", "takes any magic, and says that it takes any version, too", magic, anyMagic).alsoBreaks(version),
		server("no-spec", "breaks a clause that no attack decides", "IBTRS-CONN-001", func(*brokenServer) {}),
		client("good-client", "does everything right", "IBTRS-CONN-037", nil),
	}
	want := map[string]matrix.Status{
		"good-server": matrix.Survived, "another-clause": matrix.Survived, "one-of-two": matrix.Mistaken, "no-spec": matrix.Survived,
		"good-client": matrix.Survived,
	}
	var mutants []mutant.Mutant
	for _, r := range rows {
		mutants = append(mutants, r.Mutant)
	}
	m, err := mutant.Run(t.Context(), mutant.Options{Mutants: mutants})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Rows {
		if r.Status != want[r.Mutant] || r.Message == "" {
			t.Errorf("%s %s, want %s: %q", r.Mutant, r.Status, want[r.Mutant], r.Message)
		}
	}
	if exit := m.Exit(); exit.Code != verdict.ExitFails {
		t.Errorf("exit %+v", exit)
	}
}
