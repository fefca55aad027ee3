// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestStarvation(t *testing.T) {
	type waits = map[string]time.Duration
	for _, test := range []struct {
		name          string
		took          time.Duration
		before, after waits
		want          string // part of the verdict; "" for none
	}{
		{"quiet", time.Second, waits{"a": 5 * time.Second}, waits{"a": 5100 * time.Millisecond}, ""},
		{"busy", time.Second, waits{"a": 0}, waits{"a": 700 * time.Millisecond}, ""},
		{"a guest starves", time.Second, waits{"a": 0, "b": 0}, waits{"a": 0, "b": 900 * time.Millisecond}, "b had to wait for a processor for 900ms"},
		{"a new thread brings an old count", time.Second, waits{}, waits{"a": time.Minute}, ""},
		{"the suite starves", 3 * time.Second, waits{}, waits{}, "the suite itself"},
	} {
		var s starvation
		s.compare(test.took, test.before, test.after)
		if got := s.verdict(); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		s.begin()
		if got := s.verdict(); got != "" {
			t.Errorf("%s: the next spec inherits %q", test.name, got)
		}
	}
}

func TestParseWait(t *testing.T) {
	if got, ok := parseWait("66610 53790 2\n"); !ok || got != 53790 {
		t.Errorf("parseWait = %d, %v", got, ok)
	}
	for _, bad := range []string{"", "1 2", "1 x 3"} {
		if _, ok := parseWait(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestExcuse(t *testing.T) {
	results := func() []verdict.Result {
		return []verdict.Result{
			{Verdict: verdict.Pass},
			{Verdict: verdict.Fail, Reason: verdict.AssertionFailed, Message: "want 1, got 2"},
			{Verdict: verdict.SuiteError, Reason: verdict.Panicked},
		}
	}
	for i, r := range excuse(results(), verdict.SlowHost, "") {
		if r.Verdict != results()[i].Verdict {
			t.Errorf("without a reason, %s became %s", results()[i].Verdict, r.Verdict)
		}
	}
	excused := excuse(results(), verdict.SlowHost, "too busy")
	for i, want := range []verdict.Verdict{verdict.Pass, verdict.Inconclusive, verdict.SuiteError} {
		if excused[i].Verdict != want {
			t.Errorf("%s became %s, want %s", results()[i].Verdict, excused[i].Verdict, want)
		}
	}
	if r := excused[1]; r.Reason != verdict.SlowHost || r.Message != "too busy; what was seen: want 1, got 2" {
		t.Errorf("the excuse is %s, %q", r.Reason, r.Message)
	}
}
