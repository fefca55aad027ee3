// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestWorstWins(t *testing.T) {
	order := []verdict.Verdict{"FAIL", "XPASS", "ERROR", "INCONCLUSIVE", "XFAIL", "PASS", "SKIP", "NOT-APPLICABLE"}
	if diff := cmp.Diff(order, verdict.Verdicts()); diff != "" {
		t.Fatalf("order (-want +got):\n%s", diff)
	}
	for i, worse := range order {
		for _, better := range order[i:] {
			if got := verdict.Worst(better, worse); got != worse {
				t.Errorf("worst of %s and %s = %s", better, worse, got)
			}
		}
	}
}

func TestClauseTakesTheWorstOfItsResults(t *testing.T) {
	failing := result(must, verdict.Fail)
	failing.Spec, failing.Message = "the one that failed", "want 1, got 2"
	c := outcomeOf(t, judge(t, finished(mainline(), result(must, verdict.Pass), failing, result(must, verdict.Skip))), must)

	if c.Verdict != verdict.Fail || c.Message != "want 1, got 2" || c.Reason != verdict.AssertionFailed {
		t.Errorf("clause: %s, %s, %q", c.Verdict, c.Reason, c.Message)
	}
	if diff := cmp.Diff(verdict.Counts{"PASS": 1, "FAIL": 1, "SKIP": 1}, c.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestSecondTryTakesThePlaceOfADoubtAlone(t *testing.T) {
	doubt := result(must, verdict.Inconclusive)
	unprepared := result(must, verdict.SuiteError)
	unprepared.Reason = verdict.SetupFailed
	elsewhere := result(must, verdict.Pass)
	elsewhere.Spec = "another spec"
	for _, test := range []struct {
		name    string
		results []verdict.Result
		want    verdict.Verdict
	}{
		{"a doubt that is settled", []verdict.Result{doubt, result(must, verdict.Pass)}, verdict.Pass},
		{"a doubt that turns out to be a failure", []verdict.Result{doubt, result(must, verdict.Fail)}, verdict.Fail},
		{"a spec that can be prepared the second time", []verdict.Result{unprepared, result(must, verdict.Pass)}, verdict.Pass},
		{"a doubt that stays", []verdict.Result{doubt, doubt}, verdict.Inconclusive},
		{"a doubt of one spec beside another that passes", []verdict.Result{doubt, elsewhere}, verdict.Inconclusive},
		{"a doubt after a pass", []verdict.Result{result(must, verdict.Pass), doubt}, verdict.Inconclusive},
		{"a failure that passes the second time", []verdict.Result{result(must, verdict.Fail), result(must, verdict.Pass)}, verdict.Fail},
	} {
		if got := outcomeOf(t, judge(t, finished(mainline(), test.results...)), must).Verdict; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestWarningIsAFailureThatDoesNotBind(t *testing.T) {
	outcome := judge(t, finished(mainline(), result(ours, verdict.Fail), result(must, verdict.Fail)))
	if !outcomeOf(t, outcome, ours).Warning() || outcomeOf(t, outcome, must).Warning() {
		t.Error("exactly the clause of the project is a warning for a foreign subject")
	}
}

func TestRoleOfAResultDecidesItsForce(t *testing.T) {
	h := mainline()
	own := clauses.Subject{Role: clauses.Initiator, Dialect: "ibnbd", Own: true}
	h.Subjects = append(h.Subjects, verdict.Subject{Name: "reference", Subject: own})
	const both = "IBTRS-IMM-012" // MUST, project, both roles

	ofTarget := result(both, verdict.Fail)
	ofTarget.Role = clauses.Target
	if exit := judge(t, finished(h, ofTarget)).Exit; exit.Code != verdict.ExitHolds {
		t.Errorf("foreign target breaks a rule of the project: exit %d", exit.Code)
	}
	ofInitiator := result(both, verdict.Fail)
	ofInitiator.Role = clauses.Initiator
	if exit := judge(t, finished(h, ofInitiator)).Exit; exit.Code != verdict.ExitFails {
		t.Errorf("own initiator breaks a rule of the project: exit %d", exit.Code)
	}
}

func TestResultOnAnotherDialectDoesNotApply(t *testing.T) {
	c := outcomeOf(t, judge(t, finished(mainline(), result(ibnbdy, verdict.Fail))), ibnbdy)
	if c.Verdict != verdict.NotApplicable || c.Reason != verdict.OtherDialect || c.Results[0].Was != verdict.Fail {
		t.Errorf("clause: %s, %s; result was %q", c.Verdict, c.Reason, c.Results[0].Was)
	}
}

func TestClauseWithoutResultSaysWhy(t *testing.T) {
	h := mainline()
	h.Subjects[0].Abilities = map[clauses.Ability]bool{clauses.KeyRefresh: false}
	h.Specs = map[string][]string{must: {"a spec"}}
	selected := h
	selected.Selection = "area IBTRS-HB"
	both := h
	both.Subjects = append(both.Subjects[:1:1], verdict.Subject{
		Name: "mainline-6.12", Subject: clauses.Subject{Role: clauses.Initiator, Dialect: "rnbd"},
	})

	tests := []struct {
		name, clause string
		run          verdict.Run
		verdict      verdict.Verdict
		reason       verdict.Reason
	}{
		{"no spec", mustToo, finished(h), verdict.Skip, verdict.NoSpec},
		{"spec did not report", must, finished(h), verdict.SuiteError, verdict.SuiteBug},
		{"not selected", must, finished(selected), verdict.Skip, verdict.NotSelected},
		{"interrupted", must, verdict.Run{Header: h}, verdict.Skip, verdict.NotReached},
		{"other role", foreign, finished(h), verdict.NotApplicable, verdict.OtherRole},
		{"other dialect", ibnbdy, finished(h), verdict.NotApplicable, verdict.OtherDialect},
		{"ability lacking", refresh, finished(h), verdict.NotApplicable, verdict.LacksAbility},
		{"undecidable", "IBTRS-IO-016", finished(both), verdict.Skip, verdict.Undecidable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := outcomeOf(t, judge(t, test.run), test.clause)
			if c.Verdict != test.verdict || c.Reason != test.reason || c.Message == "" {
				t.Errorf("%s: %s, %s, %q; want %s, %s", c.ID, c.Verdict, c.Reason, c.Message, test.verdict, test.reason)
			}
		})
	}
}

func TestAreasOfAnotherProtocolAreLeftOut(t *testing.T) {
	for _, area := range judge(t, finished(mainline())).Areas {
		if strings.HasPrefix(area.Name, "SRP-") {
			t.Errorf("area %s in a run on RNBD", area.Name)
		}
	}
}

func TestCountsAddUp(t *testing.T) {
	outcome := judge(t, finished(mainline(), result(must, verdict.Pass), result(should, verdict.Fail)))
	if got, want := outcome.Counts.Sum(), len(outcome.Clauses()); got != want {
		t.Errorf("counts add up to %d of %d clauses", got, want)
	}
	if outcome.Counts[verdict.Pass] != 1 || outcome.Counts[verdict.Fail] != 1 {
		t.Errorf("counts %v", outcome.Counts)
	}
}

func TestJudgeRefusesAnUnknownClause(t *testing.T) {
	_, err := verdict.Judge(clausestest.Catalogue(), finished(mainline(), result("IBTRS-CONN-999", verdict.Pass)))
	if err == nil || !strings.Contains(err.Error(), `"IBTRS-CONN-999" is not in the catalogue`) {
		t.Errorf("error %v", err)
	}
}

func TestResultValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*verdict.Result)
		want   string
	}{
		{"no spec", func(r *verdict.Result) { r.Spec = "" }, "spec name is empty"},
		{"skip without reason", func(r *verdict.Result) { r.Verdict = verdict.Skip }, `reason code "" does not belong to verdict SKIP`},
		{"reason of another verdict", func(r *verdict.Result) { r.Verdict, r.Reason = verdict.Skip, verdict.Panicked }, `"panicked" does not belong`},
		{"pass with reason", func(r *verdict.Result) { r.Reason = verdict.NoHook }, `"no-hook" does not belong to verdict PASS`},
		{"verdict of the baseline", func(r *verdict.Result) { r.Verdict = verdict.ExpectedFail }, `"XFAIL" is not one of`},
		{"no verdict", func(r *verdict.Result) { r.Verdict = "" }, `"" is not one of`},
		{"negative duration", func(r *verdict.Result) { r.Duration = -1 }, "is negative"},
		{"bounds", func(r *verdict.Result) { r.Timings = []verdict.Timing{{Name: "x", AtLeast: 2, AtMost: 1}} }, "below at least"},
		{"negative time", func(r *verdict.Result) { r.Timings = []verdict.Timing{{Name: "x", Value: -1}} }, "is negative"},
		{"pass beyond a bound", func(r *verdict.Result) { r.Timings = []verdict.Timing{{Name: "x", Value: 2, AtMost: 1}} }, "outside its bounds"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := result(must, verdict.Pass)
			test.change(&r)
			err := r.Validate(clausestest.Catalogue())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestEveryReasonBelongsToAVerdictThatSpecsGive(t *testing.T) {
	for _, reason := range verdict.Reasons() {
		r := result(must, reason.Verdict())
		r.Reason = reason
		if err := r.Validate(clausestest.Catalogue()); err != nil || reason.Meaning() == "" {
			t.Errorf("%s (%q): %v", reason, reason.Meaning(), err)
		}
	}
}

func TestTimingWithin(t *testing.T) {
	for _, test := range []struct {
		timing verdict.Timing
		want   bool
	}{
		{verdict.Timing{Value: 5}, true},
		{verdict.Timing{Value: 5, AtMost: 5}, true},
		{verdict.Timing{Value: 6, AtMost: 5}, false},
		{verdict.Timing{Value: 5, AtLeast: 5}, true},
		{verdict.Timing{Value: 4, AtLeast: 5}, false},
		{verdict.Timing{Value: 4, AtLeast: 3, AtMost: 5}, true},
	} {
		if test.timing.Within() != test.want {
			t.Errorf("%+v within = %v", test.timing, !test.want)
		}
	}
}

// TestClauseThatThePacketsDoNotSpeakOf was looked for by the passive judge, which reads the packets of every run.
func TestClauseThatThePacketsDoNotSpeakOf(t *testing.T) {
	const ofPackets, ofSpecs = "IBTRS-HB-001", "IBTRS-HB-006"
	outcome := judge(t, finished(mainline(), result(must, verdict.Pass)))
	for id, want := range map[string]verdict.Reason{ofPackets: verdict.NotSeen, ofSpecs: verdict.NoSpec} {
		if got := outcomeOf(t, outcome, id); got.Verdict != verdict.Skip || got.Reason != want {
			t.Errorf("%s: %s %s, want %s", id, got.Verdict, got.Reason, want)
		}
	}
}
