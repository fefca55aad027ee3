// SPDX-License-Identifier: Apache-2.0

package specreport_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

const clause = "IBTRS-CONN-021"

var ended Report

var _ = ReportAfterSuite("keep the report", func(r Report) { ended = r })

// The specs of this tree end in every way that a spec can end by itself. TestResults looks at what becomes of each.
var _ = Describe("a spec", claim.Clauses(clause), func() {
	It("passes", func() {})
	It("fails", func() { Fail("want 1, got 2") })
	It("fails for a stated reason", func() { specreport.Broke(verdict.SubjectDead, "no answer to %d probes", 3) })
	It("blames the suite", func() { specreport.Broke(verdict.SuiteBug, "two configurations at once") })
	It("panics", func() { panic("oh") })
	It("skips", func() { specreport.Skip(verdict.NoHook, "needs %s", "restart") })
	It("is inconclusive", func() { specreport.Inconclusive(verdict.TransportFailed, "rping lost") })
	It("skips without a reason", func() { Skip("just so") })
	It("skips with a reason that is none", func() { specreport.Skip("whim", "just so") })
	It("times out", func(ctx SpecContext) { <-ctx.Done() }, NodeTimeout(10*time.Millisecond))
	PIt("is pending", func() {})

	It("measures within bounds", func() {
		specreport.Measured(verdict.Timing{Name: "stall", Value: time.Second, AtMost: 2 * time.Second, Formula: "a + b"})
	})
	It("measures beyond a bound", func() {
		specreport.Measured(verdict.Timing{Name: "stall", Value: 3 * time.Second, AtMost: 2 * time.Second, Formula: "a + b"})
	})
	It("measures too little", func() {
		specreport.Measured(verdict.Timing{Name: "delay", Value: time.Second, AtLeast: 2 * time.Second, Formula: "d"})
	})
	It("tells everything", func() {
		specreport.Happened(verdict.Event{At: time.Second, Where: "rail0", What: "carrier lost"})
		specreport.Plotted(verdict.Series{Name: "I/O", Unit: "1/s", Points: []verdict.Point{{At: 1, Value: 2}}})
		specreport.Showed(verdict.Evidence{Kind: verdict.Packets, Path: "rail0.pcapng", Frames: []int{4}})
	})

	It("concludes with nothing", func() { specreport.Conclude(nil, clause) })
	It("concludes with a violation", func() { specreport.Conclude(finding.Broken(clause, "answered"), "") })
	It("concludes with a death", func() { specreport.Conclude(finding.Broken(clause, "answered"), clause) })
	It("concludes with what was not tried", func() {
		specreport.Conclude(&finding.Undecided{Reason: verdict.NoHook, Text: "no action"}, clause)
	})
	It("concludes with what was not seen", func() {
		specreport.Conclude(&finding.Undecided{Reason: verdict.NoTool, Text: "no number", Survived: true}, "")
	})
	It("concludes with what was not seen, and lived on", func() {
		specreport.Conclude(&finding.Undecided{Reason: verdict.NoTool, Text: "no number", Survived: true}, clause)
	})
	It("concludes with two violations", func() {
		specreport.Conclude(errors.Join(finding.Broken("IBNBD-FAIL-027", "gone"), finding.Broken(clause, "answered")), "")
	})
	It("concludes with any error", func() { specreport.Conclude(errors.New("no answer"), clause) })
	It("concludes with an error too late", func(ctx SpecContext) {
		<-ctx.Done()
		specreport.Conclude(ctx.Err(), clause)
	}, NodeTimeout(10*time.Millisecond))

	Context("with a set-up that fails", func() {
		BeforeEach(func() { Fail("no machine") })
		It("is not tried", func() {})
	})
	Context("with a set-up that panics", func() {
		BeforeEach(func() { panic("oh") })
		It("is not tried", func() {})
	})
	Context("with a set-up that the subject breaks", func() {
		BeforeEach(func() { specreport.Broke(verdict.SubjectDead, "does not map") })
		It("is not tried", func() {})
	})
	Context("with a guard that fails", func() {
		AfterEach(func() { specreport.Broke(verdict.KernelLogReport, "WARNING in the log") })
		It("passes", func() {})
		It("skips", func() { specreport.Skip(verdict.NoHook, "needs restart") })
	})
})

// silent takes the place of testing.T, so that the failing specs above do not fail this test.
type silent struct{}

func (silent) Fail() {}

func TestResults(t *testing.T) {
	suite, reporter := GinkgoConfiguration()
	reporter.Succinct = true
	RunSpecs(silent{}, "ways to end", suite, reporter)

	want := map[string]struct {
		verdict verdict.Verdict
		reason  verdict.Reason
		message string
	}{
		"passes":                            {verdict.Pass, "", ""},
		"fails":                             {verdict.Fail, verdict.AssertionFailed, "want 1, got 2 (specreport_test.go:"},
		"fails for a stated reason":         {verdict.Fail, verdict.SubjectDead, "no answer to 3 probes"},
		"blames the suite":                  {verdict.SuiteError, verdict.SuiteBug, "two configurations"},
		"panics":                            {verdict.SuiteError, verdict.Panicked, "oh"},
		"skips":                             {verdict.Skip, verdict.NoHook, "needs restart"},
		"is inconclusive":                   {verdict.Inconclusive, verdict.TransportFailed, "rping lost"},
		"skips without a reason":            {verdict.SuiteError, verdict.SuiteBug, "just so"},
		"skips with a reason that is none":  {verdict.SuiteError, verdict.SuiteBug, "whim"},
		"times out":                         {verdict.Fail, verdict.SpecTimedOut, "timeout"},
		"measures within bounds":            {verdict.Pass, "", ""},
		"measures beyond a bound":           {verdict.Fail, verdict.BoundExceeded, "stall took 3s, at most 2s is allowed (a + b)"},
		"measures too little":               {verdict.Fail, verdict.BoundExceeded, "delay took 1s, at least 2s is due (d)"},
		"tells everything":                  {verdict.Pass, "", ""},
		"concludes with nothing":            {verdict.Pass, "", ""},
		"concludes with a violation":        {verdict.Fail, verdict.ProtocolViolation, "IBTRS-CONN-021: answered (specreport_test.go:"},
		"concludes with two violations":     {verdict.Fail, verdict.ProtocolViolation, "ibnbd-fail-027: gone IBTRS-CONN-021: answered (specreport_test.go:"},
		"concludes with a death":            {verdict.Fail, verdict.SubjectDead, "IBTRS-CONN-021: answered (specreport_test.go:"},
		"concludes with what was not tried": {verdict.Skip, verdict.NoHook, "no action"},
		"concludes with what was not seen":  {verdict.Skip, verdict.NoTool, "no number"},
		"concludes with what was not seen, and lived on":     {verdict.Pass, "", ""},
		"concludes with any error":                           {verdict.Fail, verdict.AssertionFailed, "no answer (specreport_test.go:"},
		"concludes with an error too late":                   {verdict.Fail, verdict.SpecTimedOut, "timeout"},
		"with a set-up that fails is not tried":              {verdict.SuiteError, verdict.SetupFailed, "no machine"},
		"with a set-up that panics is not tried":             {verdict.SuiteError, verdict.Panicked, "oh"},
		"with a set-up that the subject breaks is not tried": {verdict.Fail, verdict.SubjectDead, "does not map"},
		"with a guard that fails passes":                     {verdict.Fail, verdict.KernelLogReport, "WARNING"},
		"with a guard that fails skips":                      {verdict.Fail, verdict.KernelLogReport, "WARNING"},
	}
	got := make(map[string]verdict.Result)
	for _, spec := range ended.SpecReports {
		for _, r := range specreport.Results(spec) {
			if r.Clause == clause {
				got[strings.TrimPrefix(r.Spec, "a spec ")] = r
			}
			if err := r.Validate(clausestest.Catalogue()); err != nil {
				t.Errorf("cannot be recorded: %v", err)
			}
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d results, want %d", len(got), len(want))
	}
	for name, w := range want {
		r := got[name]
		if r.Clause != clause || r.Verdict != w.verdict || r.Reason != w.reason || !strings.Contains(strings.ToLower(r.Message), strings.ToLower(w.message)) {
			t.Errorf("%s: %s %s, %s, %q; want %s, %s, %q", name, r.Clause, r.Verdict, r.Reason, r.Message, w.verdict, w.reason, w.message)
		}
	}
	checkTold(t, got["tells everything"])
}

func TestStatementsTiedToAClause(t *testing.T) {
	const other = "IBTRS-CONN-022"
	spec := func(state types.SpecState, said ...specreport.Statement) types.SpecReport {
		report := types.SpecReport{
			LeafNodeType: types.NodeTypeIt, LeafNodeLabels: claim.Clauses(clause, other), LeafNodeText: "x",
			State: state, StartTime: time.Unix(1, 0), NumAttempts: 1,
		}
		for _, s := range said {
			report.ReportEntries = append(report.ReportEntries, types.ReportEntry{Name: "specreport", Value: types.WrapEntryValue(s)})
		}
		return report
	}
	slow := &verdict.Timing{Name: "stall", Value: 3, AtMost: 2, Clauses: []string{other}}
	broken := &specreport.Finding{Reason: verdict.SubjectDead, Message: "gone", Clause: other}
	elsewhere := &specreport.Finding{Reason: verdict.SubjectDead, Message: "gone"}
	undecided := &specreport.Finding{Reason: verdict.NoTool, Message: "no such tool", Clause: other}
	tests := []struct {
		name        string
		report      types.SpecReport
		first, last verdict.Reason // of clause and of other
	}{
		{"timing", spec(types.SpecStatePassed, specreport.Statement{Timing: slow}), "", verdict.BoundExceeded},
		{"failure", spec(types.SpecStateFailed, specreport.Statement{Finding: broken}), verdict.NotReached, verdict.SubjectDead},
		{"failure of both", spec(types.SpecStateFailed, specreport.Statement{Finding: &specreport.Finding{Reason: verdict.ProtocolViolation, Clause: clause}},
			specreport.Statement{Finding: broken}), verdict.ProtocolViolation, verdict.SubjectDead},
		{"failure of one, and of a guard", spec(types.SpecStateFailed, specreport.Statement{Finding: broken},
			specreport.Statement{Finding: &specreport.Finding{Reason: verdict.LeftBehind}}), verdict.LeftBehind, verdict.LeftBehind},
		{"what is undecided", spec(types.SpecStatePassed, specreport.Statement{Finding: undecided}), "", verdict.NoTool},
		{"a failure of all beside what is undecided", spec(types.SpecStateFailed, specreport.Statement{Finding: undecided}, specreport.Statement{Finding: elsewhere}),
			verdict.SubjectDead, verdict.SubjectDead},
		{"failure of all", spec(types.SpecStateFailed, specreport.Statement{Finding: elsewhere}), verdict.SubjectDead, verdict.SubjectDead},
	}
	for _, test := range tests {
		results := specreport.Results(test.report)
		if len(results) != 2 || results[0].Reason != test.first || results[1].Reason != test.last {
			t.Errorf("%s: %+v; want reasons %q and %q", test.name, results, test.first, test.last)
		}
		for _, r := range results {
			if err := r.Validate(clausestest.Catalogue()); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
	// What is broken beside the claims has a result of its own.
	const beside = "IBNBD-FAIL-027"
	results := specreport.Results(spec(types.SpecStateFailed, specreport.Statement{Finding: &specreport.Finding{Reason: verdict.SubjectDead, Clause: beside}}))
	if len(results) != 3 || results[0].Reason != verdict.NotReached || results[2].Clause != beside || results[2].Reason != verdict.SubjectDead {
		t.Errorf("a failure of what is not claimed: %+v", results)
	}
}

func checkTold(t *testing.T, r verdict.Result) {
	t.Helper()
	want := verdict.Result{
		Clause: clause, Spec: "a spec tells everything", Verdict: verdict.Pass, Start: r.Start, Duration: r.Duration,
		Timeline: []verdict.Event{{At: time.Second, Where: "rail0", What: "carrier lost"}},
		Series:   []verdict.Series{{Name: "I/O", Unit: "1/s", Points: []verdict.Point{{At: 1, Value: 2}}}},
		Evidence: []verdict.Evidence{{Kind: verdict.Packets, Path: "rail0.pcapng", Frames: []int{4}}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("what the spec told (-want +got):\n%s", diff)
	}
}

func TestStatementsOfAnotherProcess(t *testing.T) {
	sent := types.SpecReport{
		LeafNodeType: types.NodeTypeIt, LeafNodeLabels: claim.Clauses(clause), LeafNodeText: "x",
		State: types.SpecStatePassed, StartTime: time.Unix(1, 0), NumAttempts: 1,
		ReportEntries: types.ReportEntries{{
			Name:  "specreport",
			Value: types.WrapEntryValue(specreport.Statement{Timing: &verdict.Timing{Name: "stall", Value: 7}}),
		}},
	}
	line, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var arrived types.SpecReport
	if err := json.Unmarshal(line, &arrived); err != nil {
		t.Fatal(err)
	}
	results := specreport.Results(arrived)
	if len(results) != 1 || len(results[0].Timings) != 1 || results[0].Timings[0].Value != 7 {
		t.Errorf("results %+v", results)
	}
}

func TestEndsFromOutside(t *testing.T) {
	for state, want := range map[types.SpecState]verdict.Reason{
		types.SpecStateInterrupted: verdict.Interrupted, types.SpecStateAborted: verdict.Interrupted,
	} {
		results := specreport.Results(types.SpecReport{
			LeafNodeType: types.NodeTypeIt, LeafNodeLabels: claim.Clauses(clause, "IBTRS-CONN-022"), State: state,
			StartTime: time.Unix(1, 0), NumAttempts: 1,
		})
		if len(results) != 2 || results[1].Verdict != verdict.SuiteError || results[1].Reason != want {
			t.Errorf("%s: %+v", state, results)
		}
	}
}
