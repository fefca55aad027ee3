// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestKindOf(t *testing.T) {
	const none, pass, fail = verdict.Verdict(""), verdict.Pass, verdict.Fail
	for _, c := range []struct {
		before, after verdict.Verdict
		want          Kind
	}{
		{pass, pass, Same},
		{pass, fail, Worse},
		{fail, pass, Better},
		{pass, Warning, Worse},
		{Warning, fail, Worse},
		{pass, verdict.ExpectedFail, Worse},
		{verdict.ExpectedFail, verdict.UnexpectedOK, Worse},
		{pass, verdict.Skip, Worse},
		{pass, verdict.NotApplicable, Worse},
		{fail, verdict.Skip, Worse},
		{pass, none, Worse},
		{verdict.Inconclusive, verdict.Skip, Other},
		{verdict.Inconclusive, pass, Better},
		{pass, verdict.Inconclusive, Worse},
		{verdict.Skip, pass, Better},
		{verdict.Skip, fail, Worse},
		{verdict.Skip, verdict.SuiteError, Worse},
		{none, verdict.ExpectedFail, Better},
		{verdict.Skip, verdict.NotApplicable, Other},
		{none, verdict.Skip, Other},
	} {
		if got := kindOf(c.before, c.after); got != c.want {
			t.Errorf("from %q to %q is %s, want %s", c.before, c.after, got, c.want)
		}
	}
}

const (
	one = "IBTRS-CONN-021"
	two = "IBTRS-CONN-022"
)

func outcome(t *testing.T, results ...verdict.Result) *verdict.Outcome {
	t.Helper()
	start := time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	run := verdict.Run{End: start.Add(time.Minute), Results: results, Header: verdict.Header{
		Start: start, Subjects: []verdict.Subject{{Name: "x", Subject: clauses.Subject{Role: clauses.Target, Dialect: "rnbd"}}},
	}}
	o, err := verdict.Judge(clausestest.Catalogue(), run)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func result(clause, spec string, v verdict.Verdict, took time.Duration) verdict.Result {
	r := verdict.Result{Clause: clause, Spec: spec, Verdict: v}
	if v == verdict.Fail {
		r.Reason, r.Message = verdict.AssertionFailed, "it did not"
	}
	if took > 0 {
		r.Timings = []verdict.Timing{{Name: "stall", Value: took, AtMost: time.Minute}}
	}
	return r
}

func TestRuns(t *testing.T) {
	before := outcome(t, result(one, "a", verdict.Pass, time.Second), result(one, "b", verdict.Fail, 0), result(two, "c", verdict.Pass, 0))
	after := outcome(t, result(one, "a", verdict.Pass, 3*time.Second), result(one, "b", verdict.Pass, 0), result(two, "c", verdict.Fail, 0))
	got := Runs(before, after)
	want := &Comparison{
		Clauses: []Change{{Better, one, "", verdict.Fail, verdict.Pass, ""}, {Worse, two, "", verdict.Pass, verdict.Fail, "it did not"}},
		Specs:   []Change{{Better, one, "b", verdict.Fail, verdict.Pass, ""}, {Worse, two, "c", verdict.Pass, verdict.Fail, "it did not"}},
		Timings: []Times{{one, "a", "stall", time.Second, 3 * time.Second, time.Minute}},
		Counts:  map[Kind]int{Same: len(before.Clauses()) - 2, Better: 1, Worse: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Worse() || Runs(before, before).Worse() || len(Runs(before, before).Clauses) > 0 {
		t.Error("worse is what is not, or the other way round")
	}
}

// TestSpecThatIsHiddenByAnother: a clause may keep its verdict while one of its specs loses it.
func TestSpecThatIsHiddenByAnother(t *testing.T) {
	before := outcome(t, result(one, "a", verdict.Fail, 0), result(one, "b", verdict.Pass, 0))
	after := outcome(t, result(one, "a", verdict.Fail, 0), result(one, "b", verdict.Fail, 0))
	if got := Runs(before, after); len(got.Clauses) > 0 || !got.Worse() {
		t.Errorf("%+v", got)
	}
}
