// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestExitCodeOfEveryVerdict(t *testing.T) {
	expects := func(clause, expires string) verdict.Header {
		h := mainline()
		h.Selection = clause
		h.Baseline = []verdict.ExpectedFailure{{
			Clause: clause, Subject: "mainline-*", Owner: "us", Reason: "known", Expires: verdict.Day(expires),
		}}
		return h
	}
	two := func(a, b verdict.Verdict) []verdict.Result {
		return []verdict.Result{result(must, a), result(mustToo, b)}
	}
	tests := []struct {
		name    string
		header  verdict.Header
		results []verdict.Result
		want    verdict.ExitCode
	}{
		{"PASS", mainline(), []verdict.Result{result(must, verdict.Pass)}, verdict.ExitHolds},
		{"FAIL", mainline(), []verdict.Result{result(must, verdict.Fail)}, verdict.ExitFails},
		{"SKIP alone", mainline(), []verdict.Result{result(must, verdict.Skip)}, verdict.ExitNothingRan},
		{"NOT-APPLICABLE alone", mainline(), []verdict.Result{result(must, verdict.NotApplicable)}, verdict.ExitNothingRan},
		{"INCONCLUSIVE", mainline(), []verdict.Result{result(must, verdict.Inconclusive)}, verdict.ExitInconclusive},
		{"ERROR", mainline(), []verdict.Result{result(must, verdict.SuiteError)}, verdict.ExitEnvironment},
		{"XFAIL", expects(must, "2030-06-30"), []verdict.Result{result(must, verdict.Fail)}, verdict.ExitHolds},
		{"XPASS", expects(must, "2030-06-30"), []verdict.Result{result(must, verdict.Pass)}, verdict.ExitFails},
		{"expired entry, still failing", expects(must, "2030-01-01"), []verdict.Result{result(must, verdict.Fail)}, verdict.ExitFails},
		{"expired entry, now passing", expects(must, "2030-01-01"), []verdict.Result{result(must, verdict.Pass)}, verdict.ExitFails},
		{"last day of an entry", expects(must, "2030-01-02"), []verdict.Result{result(must, verdict.Fail)}, verdict.ExitHolds},
		{"nothing", mainline(), nil, verdict.ExitNothingRan},
		{"SHOULD fails", mainline(), []verdict.Result{result(should, verdict.Fail)}, verdict.ExitHolds},
		{"SHOULD inconclusive", mainline(), []verdict.Result{result(should, verdict.Inconclusive)}, verdict.ExitNothingRan},
		{"rule of the project, foreign subject", mainline(), []verdict.Result{result(ours, verdict.Fail)}, verdict.ExitHolds},
		{"another dialect fails", mainline(), []verdict.Result{result(ibnbdy, verdict.Fail)}, verdict.ExitNothingRan},
		{"SKIP beside PASS", mainline(), two(verdict.Pass, verdict.Skip), verdict.ExitHolds},
		{"FAIL beside ERROR", mainline(), two(verdict.SuiteError, verdict.Fail), verdict.ExitFails},
		{"FAIL beside INCONCLUSIVE", mainline(), two(verdict.Inconclusive, verdict.Fail), verdict.ExitFails},
		{"ERROR beside INCONCLUSIVE", mainline(), two(verdict.Inconclusive, verdict.SuiteError), verdict.ExitEnvironment},
		{"INCONCLUSIVE beside PASS", mainline(), two(verdict.Inconclusive, verdict.Pass), verdict.ExitInconclusive},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			exit := judge(t, finished(test.header, test.results...)).Exit
			if exit.Code != test.want || exit.Sentence == "" {
				t.Errorf("exit %d (%s), want %d", exit.Code, exit.Sentence, test.want)
			}
		})
	}
}

func TestInterruptedRunNeverHolds(t *testing.T) {
	for v, want := range map[verdict.Verdict]verdict.ExitCode{
		verdict.Pass: verdict.ExitEnvironment, verdict.Skip: verdict.ExitEnvironment, verdict.Fail: verdict.ExitFails,
	} {
		run := verdict.Run{Header: mainline(), Results: []verdict.Result{result(must, v)}}
		if exit := judge(t, run).Exit; exit.Code != want {
			t.Errorf("interrupted after %s: exit %d (%s), want %d", v, exit.Code, exit.Sentence, want)
		}
	}
}

func TestEveryExitCodeHasAMeaning(t *testing.T) {
	seen := make(map[string]bool)
	for _, code := range verdict.ExitCodes() {
		if seen[code.Meaning()] || code.Meaning() == "" {
			t.Errorf("exit code %d: meaning %q", code, code.Meaning())
		}
		seen[code.Meaning()] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d exit codes, want 6", len(seen))
	}
}
