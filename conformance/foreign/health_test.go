// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

func init() { calm = 100 * time.Millisecond }

// TestOneFaultIsOneFinding has an ordinary request go wrong in every spec: the first alone is a failure, and the run ends soon.
func TestOneFaultIsOneFinding(t *testing.T) {
	locked := finding.NotReady(errors.New("open a: EPERM"))
	for _, c := range []struct {
		name   string
		script string // of the hook, for the action in $2
		serves error  // where nobody restarts it
		fails  int
		doubts int
		last   string // verdict on the clause that the last specs are about
	}{
		{"nobody can restart it", "exit 127", errors.New("open a: EPERM"), 1, few - 1, "SKIP no-hook"},
		{"a restart helps for a while", "true", nil, 1, most - 1, "SKIP not-reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeSubject{serves: c.serves}
			r := start(t, f.target(func(cfg *Config) { cfg.Hook = hook(t, `[ "$2" = status ] || `+c.script) }))
			count := make(map[verdict.Verdict]int)
			var last verdict.Result
			for i := range most + 2 {
				s := spec(fmt.Errorf("before the attack: %w", locked))
				s.Name = fmt.Sprintf("spec %d", i)
				if i%2 == 1 {
					s = spec(locked)
				}
				results, _, err := r.RunSpec(t.Context(), s, Report{Dir: t.TempDir(), Evidence: "e"})
				if err != nil {
					t.Fatal(err)
				}
				for _, result := range results {
					if result.Clause == survival {
						count[result.Verdict]++
					} else {
						last = result
					}
					if result.Verdict == verdict.Inconclusive && i > 0 && !strings.Contains(result.Message, `this went wrong first in "spec 0"`) {
						t.Errorf("a doubt says %q", result.Message)
					}
				}
			}
			if count[verdict.Fail] != c.fails || count[verdict.Inconclusive] != c.doubts {
				t.Errorf("%v, want %d failures and %d doubts", count, c.fails, c.doubts)
			}
			if got := fmt.Sprintf("%s %s", last.Verdict, last.Reason); got != c.last {
				t.Errorf("the last spec gives %s", got)
			}
		})
	}
}

// TestFaultOfASpecThatClaimsOthers is a failure of the clause that says that a subject serves, too.
func TestFaultOfASpecThatClaimsOthers(t *testing.T) {
	f := &fakeSubject{serving: survival}
	r := start(t, f.target(nil))
	s := spec(finding.NotReady(errors.New("open a: EPERM")))
	s.Clauses, s.Survival = []string{decided}, ""
	got := verdicts(t, r, s, Report{Dir: t.TempDir(), Evidence: "e"})
	if got[decided] != "INCONCLUSIVE not-ready" || got[survival] != "FAIL assertion" {
		t.Error(got)
	}
}

// TestFailureNamesItsFrames has a client be refused, and looks for the line of the timeline that says so.
func TestFailureNamesItsFrames(t *testing.T) {
	f := &fakeSubject{timeline: "10:00:00.1  a request  [rail0#1]\n10:00:00.2  an answer, ENOENT  [rail0#2 rail1#2 rail0#3]\n10:00:00.3  later  [rail0#4]\n"}
	r := start(t, f.target(nil)).(*TargetRun)
	s := spec(nil)
	s.OnTarget = func(context.Context, *TargetRun) error {
		record := r.devices.recorders[0]
		for number := 1; number <= 3; number++ {
			record.messages = append(record.messages, message{time.Now(), number})
		}
		broken := finding.Broken(decided, "answered wrongly")
		record.messages = append(record.messages, message{time.Now().Add(time.Second), 4})
		return broken
	}
	results, _, err := r.RunSpec(t.Context(), s, Report{Dir: t.TempDir(), Evidence: "e"})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if result.Verdict != verdict.Fail {
			continue
		}
		e := result.Evidence[0]
		if e.Path != "e/rail0.pcapng" || !slices.Equal(e.Frames, []int{2, 3}) || e.Note != "an answer, ENOENT" {
			t.Errorf("%+v", e)
		}
	}
}

// TestWhatASpecLeaves is a failure of the spec behind which ordinary requests go wrong, and none of those after it: also where a clause
// was broken there, and on another export.
func TestWhatASpecLeaves(t *testing.T) {
	for _, c := range []struct {
		name  string
		ends  error // of the first spec
		first map[string]string
	}{
		{"all was well", nil, map[string]string{survival: "FAIL left-behind", decided: "PASS "}},
		{"a clause was broken", finding.Broken(decided, "wrong"), map[string]string{survival: "SKIP not-reached", decided: "FAIL protocol-violation"}},
		{"nothing was decided", &finding.Undecided{Reason: verdict.NoDevice, Text: "no second export"}, map[string]string{
			survival: "FAIL left-behind", decided: "SKIP no-device",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeSubject{serves: errors.New("open a: EPERM"), serving: survival}
			r := start(t, f.target(func(cfg *Config) {
				cfg.Exports, cfg.Hook = []string{"a", "b"}, hook(t, `[ "$2" = status ] || exit 127`)
			}))
			r.(*TargetRun).health.restart = func(context.Context) error { return nil }
			if got := verdicts(t, r, spec(c.ends), Report{Dir: t.TempDir(), Evidence: "e"}); !maps.Equal(got, c.first) {
				t.Errorf("the first spec: %v, want %v", got, c.first)
			}
			later := spec(finding.NotReady(errors.New("before the attack: open b: EPERM")))
			later.Name = "a later spec"
			if got := verdicts(t, r, later, Report{Dir: t.TempDir(), Evidence: "e"}); got[survival] != "INCONCLUSIVE not-ready" {
				t.Errorf("a later spec: %v", got)
			}
			other := spec(finding.NotReady(errors.New("open b: ENOENT")))
			other.Name = "a spec with another fault"
			if got := verdicts(t, r, other, Report{Dir: t.TempDir(), Evidence: "e"}); got[survival] != "FAIL assertion" {
				t.Errorf("another fault: %v", got)
			}
		})
	}
}
