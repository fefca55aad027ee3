// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestPassiveNews(t *testing.T) {
	pass := verdict.Result{Clause: "IBTRS-HB-001", Role: clauses.Target, Verdict: verdict.Pass}
	other := pass
	other.Role = clauses.Initiator
	broken := pass
	broken.Verdict = verdict.Fail
	p := newPassive()
	for i, step := range []struct {
		results []verdict.Result
		want    int
	}{
		{[]verdict.Result{pass, other}, 2},          // each side once
		{[]verdict.Result{pass, other, broken}, 1},  // and no more, but every breach
		{[]verdict.Result{broken, broken, pass}, 2}, // each time
	} {
		if got := len(p.news(step.results)); got != step.want {
			t.Errorf("step %d: %d results are news, want %d", i, got, step.want)
		}
	}
}

func TestPassiveDoubtCountsWhereNoRecordingDecides(t *testing.T) {
	doubt := verdict.Result{Clause: "IBTRS-HB-001", Role: clauses.Target, Verdict: verdict.Inconclusive}
	lasting := doubt
	lasting.Clause = "IBTRS-HB-002"
	pass := doubt
	pass.Verdict = verdict.Pass
	p := newPassive()
	if got := p.news([]verdict.Result{doubt, lasting, lasting}); len(got) != 0 {
		t.Errorf("doubts are news at once: %v", got)
	}
	p.news([]verdict.Result{pass})
	if got := p.doubts(); len(got) != 1 || got[0].Clause != lasting.Clause {
		t.Errorf("doubts are %v, want the one about %s", got, lasting.Clause)
	}
}
