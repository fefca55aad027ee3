// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	ours "github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// TestOneFinding has servers each break a rule in a way that spoils all that comes after it. There is one finding, of the first spec
// that has met the fault.
func TestOneFinding(t *testing.T) {
	attack := func(name string) string { return attacks.Attack{Name: name}.Spec() }
	chunk, end, modes := attack("one chunk used again and again"), attack("I/O beyond the end of a device"), attack("one device opened in every access mode")
	for _, c := range []struct {
		name  string
		spoil func(r *ibnbd.ServerRules)
		root  string
	}{
		{"claims outlive their session", func(r *ibnbd.ServerRules) { r.EndKeepsWriter = true }, chunk},
		{"a refused I/O keeps a claim", func(r *ibnbd.ServerRules) { r.RefusalKeepsWriter = true }, end},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server, err := loopback.StartForeign(func(cfg *ibnbd.ServerConfig) { c.spoil(&cfg.Rules) })
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			server.Config.Patience = time.Second
			failures := failuresOf(t, ours.Protocol().Target(server.Config), chunk, end, modes)
			if want := []string{fmt.Sprintf("%s in %s: %s", attacks.Survival, c.root, verdict.LeftBehind)}; !slices.Equal(failures, want) {
				t.Errorf("findings %q, want %q", failures, want)
			}
		})
	}
}

// failuresOf runs some specs on a target, one after the other.
func failuresOf(t *testing.T, subject foreign.Subject, names ...string) (failures []string) {
	t.Helper()
	run, err := subject.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	all := subject.Specs()
	for _, name := range names {
		s := all[slices.IndexFunc(all, func(s foreign.Spec) bool { return s.Name == name })]
		results, passive, err := run.RunSpec(t.Context(), s, foreign.Report{Dir: t.TempDir(), Evidence: "e"})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range append(results, passive...) {
			if r.Verdict == verdict.Fail {
				failures = append(failures, fmt.Sprintf("%s in %s: %s", r.Clause, r.Spec, r.Reason))
			}
		}
	}
	return failures
}
