// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

const (
	must    = "IBTRS-CONN-021" // MUST, protocol, target
	mustToo = "IBTRS-CONN-022" // MUST, protocol, target
	should  = "IBTRS-CONN-003" // SHOULD, protocol, target
	ours    = "IBTRS-CONN-036" // MUST, project, target
	ibnbdy  = "IBNBD-OPEN-025" // MUST, dialect ibnbd only, target
	refresh = "IBTRS-INV-002"  // MUST, requires key refresh, target
	foreign = "IBTRS-CONN-037" // MUST, initiator
)

// mainline is a header with a foreign target of dialect rnbd.
func mainline() verdict.Header {
	return verdict.Header{
		Start: noon,
		Subjects: []verdict.Subject{{
			Name:    "mainline-6.12",
			Subject: clauses.Subject{Role: clauses.Target, Dialect: "rnbd"},
		}},
	}
}

func result(clause string, v verdict.Verdict) verdict.Result {
	reason := map[verdict.Verdict]verdict.Reason{
		verdict.Fail: verdict.AssertionFailed, verdict.Skip: verdict.NoHook, verdict.NotApplicable: verdict.LacksAbility,
		verdict.Inconclusive: verdict.TransportFailed, verdict.SuiteError: verdict.Panicked,
	}[v]
	return verdict.Result{Clause: clause, Spec: "some spec", Verdict: v, Reason: reason, Start: noon}
}

func finished(h verdict.Header, results ...verdict.Result) verdict.Run {
	return verdict.Run{Header: h, Results: results, End: noon.Add(time.Minute)}
}

func judge(t *testing.T, run verdict.Run) *verdict.Outcome {
	t.Helper()
	outcome, err := verdict.Judge(clausestest.Catalogue(), run)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

func outcomeOf(t *testing.T, outcome *verdict.Outcome, id string) verdict.ClauseOutcome {
	t.Helper()
	for _, c := range outcome.Clauses() {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no outcome for %s", id)
	return verdict.ClauseOutcome{}
}
