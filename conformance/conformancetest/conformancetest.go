// SPDX-License-Identifier: Apache-2.0

// Package conformancetest shows the outcome of a run in somebody's own tests: every clause is a subtest, named by its area and
// its id, so that 'go test -run TestTarget/IBTRS-CONN' selects and 'go test -json' counts them.
//
// A clause that holds passes; so does one that fails as the baseline expects, and one that does not bind, with the finding in
// the log. What was not judged is skipped, with the reason. Anything else fails: a broken clause with its evidence and the way to
// run its spec again, an expected failure that did not happen, a doubt, and a fault of the suite or the machine.
package conformancetest

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Main is the TestMain of a test binary that runs a [conformance.LabRun], of which each worker is that binary started again.
func Main(m *testing.M) {
	conformance.Worker()
	m.Run()
}

// Report makes a subtest of each clause that has to do with the subjects of a run. A run that has judged nothing fails.
func Report(t *testing.T, o *verdict.Outcome) {
	t.Helper()
	for _, p := range o.Problems {
		t.Errorf("%s: %s", p.Kind, p.Text)
	}
	for _, area := range o.Areas {
		t.Run(area.Name, func(t *testing.T) {
			for _, c := range area.Clauses {
				t.Run(c.ID, func(t *testing.T) { report(t, c) })
			}
		})
	}
	if o.Exit.Code != verdict.ExitHolds {
		t.Errorf("exit code %d: %s", o.Exit.Code, o.Exit.Sentence)
	}
}

func report(t *testing.T, c verdict.ClauseOutcome) {
	t.Logf("%s %s", c.Level, c.Text)
	for _, r := range c.Results {
		describe(t, r)
	}
	switch {
	case c.Verdict == verdict.Pass, c.Verdict == verdict.ExpectedFail:
	case c.Verdict == verdict.Skip, c.Verdict == verdict.NotApplicable:
		t.Skipf("%s (%s): %s", c.Verdict, c.Reason, c.Message)
	case c.Warning():
		t.Logf("%s (%s), which does not bind this subject: %s", c.Verdict, c.Reason, c.Message)
	default:
		t.Errorf("%s (%s): %s", c.Verdict, c.Reason, c.Message)
	}
}

// describe logs a result that is not plain success.
func describe(t *testing.T, r verdict.ResultOutcome) {
	if r.Verdict == verdict.Pass {
		return
	}
	t.Logf("%s %s: %s", r.Verdict, r.Spec, r.Message)
	for _, e := range r.Evidence {
		t.Logf("  evidence: %s", e.Path)
	}
	if r.Rerun != "" {
		t.Logf("  run it again: %s", r.Rerun)
	}
}
