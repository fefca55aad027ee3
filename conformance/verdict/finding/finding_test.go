// SPDX-License-Identifier: Apache-2.0

package finding_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

const (
	survival = "IBNBD-FAIL-019"
	first    = "IBTRS-CONN-021"
	second   = "IBTRS-HB-002"
	foreign  = "IBTRS-IMM-003" // that the spec does not claim
)

// TestJudge is the table of the package comment, and what becomes of errors that are several things at once.
func TestJudge(t *testing.T) {
	untried := &finding.Undecided{Reason: verdict.NoConsent, Text: "not allowed"}
	unseen := &finding.Undecided{Reason: verdict.NoTool, Text: "no number", Survived: true}
	broken := finding.Broken(first, "answered %d", 7)
	dead := finding.Broken(survival, "nobody is served")
	const notReached = "SKIP not-reached the spec ended before, by a failure of "
	all := func(ruling string) map[string]string {
		return map[string]string{survival: ruling, first: ruling, second: ruling}
	}
	for _, c := range []struct {
		name string
		err  error
		late bool
		want map[string]string // verdict, reason and message by clause
	}{
		{"nothing", nil, false, all("PASS  ")},
		{"nothing, late", nil, true, all("PASS  ")},
		{"a violation", broken, false, map[string]string{
			survival: notReached + first, first: "FAIL protocol-violation IBTRS-CONN-021: answered 7", second: notReached + first}},
		{"a violation, late", fmt.Errorf("at last: %w", broken), true, map[string]string{
			survival: notReached + first, first: "FAIL protocol-violation at last: IBTRS-CONN-021: answered 7", second: notReached + first}},
		{"death", dead, false, map[string]string{
			survival: "FAIL subject-dead IBNBD-FAIL-019: nobody is served", first: notReached + survival, second: notReached + survival}},
		{"death and a violation", errors.Join(dead, fmt.Errorf("before: %w", broken)), false, map[string]string{
			survival: "FAIL subject-dead IBNBD-FAIL-019: nobody is served\nbefore: IBTRS-CONN-021: answered 7",
			first:    "FAIL protocol-violation IBNBD-FAIL-019: nobody is served\nbefore: IBTRS-CONN-021: answered 7", second: notReached + survival}},
		{"a violation twice", errors.Join(broken, finding.Broken(first, "closed")), false, map[string]string{
			survival: notReached + first, first: "FAIL protocol-violation IBTRS-CONN-021: answered 7\nIBTRS-CONN-021: closed", second: notReached + first}},
		{"a violation of what is not claimed", finding.Broken(foreign, "wrong"), false, map[string]string{
			survival: notReached + foreign, first: notReached + foreign, second: notReached + foreign,
			foreign: "FAIL protocol-violation IBTRS-IMM-003: wrong"}},
		{"not tried", fmt.Errorf("a write: %w", untried), false, all("SKIP no-consent a write: not allowed")},
		{"not tried, late", untried, true, all("SKIP no-consent not allowed")},
		{"tried and not seen", unseen, false, map[string]string{
			survival: "PASS  ", first: "SKIP no-tool no number", second: "SKIP no-tool no number"}},
		// A subject that was seen to break a clause is not excused by what was not decided.
		{"not tried, and dead", errors.Join(dead, untried), false, map[string]string{
			survival: "FAIL subject-dead IBNBD-FAIL-019: nobody is served\nnot allowed", first: notReached + survival, second: notReached + survival}},
		{"not seen, and then a violation", errors.Join(unseen, broken), false, map[string]string{
			survival: notReached + first, first: "FAIL protocol-violation no number\nIBTRS-CONN-021: answered 7", second: notReached + first}},
		{"anything else", errors.New("else"), false, map[string]string{
			survival: "FAIL assertion else", first: "INCONCLUSIVE not-ready else", second: "INCONCLUSIVE not-ready else"}},
		{"no end", context.DeadlineExceeded, true, map[string]string{
			survival: "FAIL timed-out context deadline exceeded", first: "INCONCLUSIVE not-ready context deadline exceeded",
			second: "INCONCLUSIVE not-ready context deadline exceeded"}},
	} {
		got := make(map[string]string)
		for _, r := range finding.Judge(c.err, finding.Claims{Clauses: []string{survival, first, second}, Survival: survival}, c.late) {
			got[r.Clause] = fmt.Sprintf("%s %s %s", r.Verdict, r.Reason, r.Message)
			result := verdict.Result{Clause: r.Clause, Spec: "s", Start: time.Unix(1, 0), Verdict: r.Verdict, Reason: r.Reason, Message: r.Message}
			if err := result.Validate(clausestest.Catalogue()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestPartlyUndecided leaves one clause undecided, and holds the others.
func TestPartlyUndecided(t *testing.T) {
	unseen := &finding.Undecided{Reason: verdict.NotSeen, Text: "no heartbeat came", Only: []string{second}}
	want := []finding.ClauseVerdict{
		{Clause: first, Verdict: verdict.Pass}, {Clause: second, Verdict: verdict.Skip, Reason: verdict.NotSeen, Message: "no heartbeat came"},
	}
	if diff := cmp.Diff(want, finding.Judge(unseen, finding.Claims{Clauses: []string{first, second}}, false)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSpecWithoutSurvival has no clause to take out of a skip.
func TestSpecWithoutSurvival(t *testing.T) {
	unseen := &finding.Undecided{Reason: verdict.NoTool, Text: "no number", Survived: true}
	want := []finding.ClauseVerdict{{Clause: first, Verdict: verdict.Skip, Reason: verdict.NoTool, Message: "no number"}}
	if diff := cmp.Diff(want, finding.Judge(unseen, finding.Claims{Clauses: []string{first}}, false)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOf(t *testing.T) {
	unseen := &finding.Undecided{Reason: verdict.NoTool, Text: "no number"}
	err := errors.Join(unseen, errors.Join(finding.Broken(first, "answered"), fmt.Errorf("then: %w", finding.Broken(second, "silent")), finding.Broken(first, "closed")))
	want := finding.Finding{Broken: []*finding.Violation{{Clause: first, What: "answered"}, {Clause: second, What: "silent"}}}
	if diff := cmp.Diff(want, finding.Of(err), cmpopts.IgnoreFields(finding.Violation{}, "At")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if f := finding.Of(err); !f.Breaks(second) || f.Breaks(survival) {
		t.Errorf("%+v breaks %s, or does not break %s", f, survival, second)
	}
	if f := finding.Of(fmt.Errorf("a size: %w", unseen)); f.Broken != nil || f.Undecided != unseen {
		t.Errorf("%+v", f)
	}
	if diff := cmp.Diff(finding.Finding{}, finding.Of(errors.New("else"))); diff != "" {
		t.Errorf("an error that says nothing (-want +got):\n%s", diff)
	}
}

// TestTimes: a failure has the time at which it was seen.
func TestTimes(t *testing.T) {
	before := time.Now()
	for name, err := range map[string]error{"a violation": finding.Broken(first, "wrong"), "a request": finding.NotReady(errors.New("refused"))} {
		seen := time.Now()
		for _, r := range finding.Judge(fmt.Errorf("at last: %w", err), finding.Claims{Clauses: []string{first}, Survival: first}, false) {
			if r.Verdict != verdict.Fail || r.At.Before(before) || r.At.After(seen) {
				t.Errorf("%s: %s at %s, want FAIL between %s and %s", name, r.Verdict, r.At, before, seen)
			}
		}
	}
	unseen := &finding.Undecided{Reason: verdict.NoTool, Text: "no number"}
	for _, err := range []error{nil, unseen, finding.Broken(first, "wrong")} {
		if got := finding.NotReady(err); got != err {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}

func TestClaimsAreNotChanged(t *testing.T) {
	ids := make([]string, 1, 4)
	ids[0] = first
	finding.Judge(finding.Broken(foreign, "wrong"), finding.Claims{Clauses: ids}, false)
	if spare := ids[:2][1]; spare != "" {
		t.Errorf("the claims have %q behind their end", spare)
	}
}
