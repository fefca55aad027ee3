// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	ours "github.com/ibnbd/ibnbd/conformance/ibnbd/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/compare"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

// reversed is a subject whose specs come in another order.
type reversed struct{ foreign.Subject }

func (r reversed) Specs() []foreign.Spec {
	specs := r.Subject.Specs()
	slices.Reverse(specs)
	return specs
}

// asIs leaves a subject as it is.
func asIs(s foreign.Subject) foreign.Subject { return s }

// TestTwoRunsAreOneReport: two runs of the same thing find the same, of each clause by the same specs in the same order. A run in
// another order is seen to be another.
func TestTwoRunsAreOneReport(t *testing.T) {
	runs := []struct {
		name string
		as   func(foreign.Subject) foreign.Subject
		rows []string
		out  *verdict.Outcome
	}{
		{name: "first", as: asIs}, {name: "second", as: asIs},
		{name: "reversed", as: func(s foreign.Subject) foreign.Subject { return reversed{s} }},
	}
	t.Run("runs", func(t *testing.T) {
		for i := range runs {
			t.Run(runs[i].name, func(t *testing.T) {
				t.Parallel()
				runs[i].out, runs[i].rows = readOnlyRun(t, runs[i].as)
			})
		}
	})
	if t.Failed() {
		return
	}
	if diff := cmp.Diff(runs[0].rows, runs[1].rows); diff != "" {
		t.Errorf("two runs of the same thing (-first +second):\n%s", diff)
	}
	for _, c := range compare.Runs(runs[0].out, runs[1].out).Specs {
		if c.Spec != audit.SpecName {
			t.Errorf("'compare' shows of two runs of the same thing: %+v", c)
		}
	}
	if slices.Equal(runs[0].rows, runs[2].rows) {
		t.Error("a run in another order has the same rows")
	}
}

// readOnlyRun judges a server of the reference, on which nothing is written, by all specs. It gives a row for each result of a spec, in
// the order of the journal: clause, verdict, reason, and the spec.
func readOnlyRun(t *testing.T, as func(foreign.Subject) foreign.Subject) (*verdict.Outcome, []string) {
	t.Helper()
	server, err := loopback.StartForeign(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	server.Config.Consent = foreign.Consent{}
	catalogue, dir := conformance.Catalogue(), t.TempDir()
	o := runner.ForeignOptions{Settings: runner.Settings{ReportDir: dir, Tool: "test", Rerun: "%s"}, Subject: as(ours.Protocol().Target(server.Config))}
	plan, err := runner.NewForeignPlan(catalogue, o)
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := runner.RunForeign(t.Context(), catalogue, o, plan, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	run, err := verdict.ReadJournal(filepath.Join(dir, report.JournalFile))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, r := range run.Results {
		if r.Spec == audit.SpecName {
			continue // it judges what it happens to see: a heartbeat within a spec, on a busy machine
		}
		rows = append(rows, strings.Join([]string{r.Clause, string(r.Verdict), string(r.Reason), r.Where()}, " | "))
	}
	return outcome, rows
}
