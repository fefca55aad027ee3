// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
)

// fakeForeign is a target of somebody else, on which specs end as a test says.
type fakeForeign struct {
	refuses error // to be reached
	fails   error // of this machine, while the first spec runs
	closed  bool

	configurations []string
	as             string // the configuration that it has
	cannot         string // the configuration in which it does not serve
}

const passes, breaks, waits = "a spec that passes", "a spec that fails", "a spec that is not allowed"

func (f *fakeForeign) Describe() clauses.Subject {
	return clauses.Subject{Role: clauses.Target, Dialect: "rnbd"}
}

func (f *fakeForeign) Specs() []foreign.Spec {
	return []foreign.Spec{
		{Name: passes, Clauses: []string{"IBTRS-CONN-021"}, Takes: time.Second},
		{Name: breaks, Clauses: []string{"IBTRS-CONN-021", "IBTRS-INFO-022"}, Takes: 2 * time.Second},
		{Name: waits, Clauses: []string{"IBTRS-PATH-016"}, Takes: 4 * time.Second},
		{Name: "a spec for clients", Clauses: []string{"IBTRS-CONN-037"}, Takes: 8 * time.Second}, // which speaks of no target
	}
}

func (f *fakeForeign) Missing(s foreign.Spec) (verdict.Reason, string) {
	if s.Name == waits {
		return verdict.NoConsent, "not allowed"
	}
	return "", ""
}

func (f *fakeForeign) Configured() []foreign.Subject {
	if len(f.configurations) == 0 {
		return []foreign.Subject{f}
	}
	var all []foreign.Subject
	for _, c := range f.configurations {
		all = append(all, &fakeForeign{as: c, cannot: f.cannot})
	}
	return all
}

func (f *fakeForeign) Start(context.Context) (foreign.Run, error) {
	if f.refuses != nil {
		return nil, f.refuses
	}
	if f.as != "" && f.as == f.cannot {
		return nil, errors.New("it does not serve")
	}
	return f, nil
}

func (f *fakeForeign) Subject() verdict.Subject {
	return verdict.Subject{Subject: f.Describe(), Name: "acme-1", Configuration: f.as}
}

func (f *fakeForeign) RunSpec(_ context.Context, s foreign.Spec, _ foreign.Report) (results, passive []verdict.Result, err error) {
	if f.fails != nil {
		return nil, nil, f.fails
	}
	for _, id := range s.Clauses {
		r := verdict.Result{Clause: id, Spec: s.Name, Start: time.Unix(1, 0).UTC(), Verdict: verdict.Pass}
		switch {
		case s.Name == waits:
			r.Verdict, r.Reason, r.Message = verdict.Skip, verdict.NoConsent, "not allowed"
		case f.as == "depth=1" && id == "IBTRS-INFO-022":
			r.Verdict, r.Reason, r.Message = verdict.Skip, verdict.OtherConfiguration, "too small"
		case s.Name == breaks && id == "IBTRS-INFO-022":
			r.Verdict, r.Reason, r.Message = verdict.Fail, verdict.AssertionFailed, "wrong"
		}
		results = append(results, r)
	}
	return results, nil, nil
}

func (f *fakeForeign) Close() error {
	f.closed = true
	return nil
}

func foreignOptions(t *testing.T, f *fakeForeign, s Selection) ForeignOptions {
	return ForeignOptions{
		Settings: Settings{Selection: s, ReportDir: t.TempDir(), Tool: "1", Rerun: "again %q"}, Subject: f,
	}
}

func TestForeignPlan(t *testing.T) {
	for _, c := range []struct {
		name      string
		selection Selection
		specs     []string
		estimate  time.Duration
		skipped   map[verdict.Reason]int
	}{
		{"everything", Selection{}, []string{passes, breaks, waits}, 3 * time.Second, map[verdict.Reason]int{verdict.NoConsent: 1}},
		{"a clause", Selection{Clauses: []string{"IBTRS-INFO-022"}}, []string{breaks}, 2 * time.Second, map[verdict.Reason]int{}},
		{"a shard", Selection{Shard: &verdict.Shard{Index: 1, Count: 2}}, []string{waits}, 0, map[verdict.Reason]int{verdict.NoConsent: 1}},
		{"nothing", Selection{Focus: "no such spec"}, nil, 0, map[verdict.Reason]int{}},
	} {
		plan, err := NewForeignPlan(clausestest.Catalogue(), foreignOptions(t, &fakeForeign{}, c.selection))
		if err != nil {
			t.Fatal(err)
		}
		if got := names(plan.Specs); !slices.Equal(got, c.specs) || plan.Estimate != c.estimate {
			t.Errorf("%s: %v in %s; want %v in %s", c.name, got, plan.Estimate, c.specs, c.estimate)
		}
		if diff := cmp.Diff(c.skipped, plan.Skipped); diff != "" {
			t.Errorf("%s: skipped (-want +got):\n%s", c.name, diff)
		}
	}
	if _, err := NewForeignPlan(clausestest.Catalogue(), foreignOptions(t, &fakeForeign{}, Selection{Names: []string{"x"}})); err == nil {
		t.Error("a name of no spec is taken")
	}
}

func runForeign(t *testing.T, f *fakeForeign, s Selection) (*verdict.Outcome, string, error) {
	t.Helper()
	o := foreignOptions(t, f, s)
	plan, err := NewForeignPlan(clausestest.Catalogue(), o)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	outcome, err := RunForeign(t.Context(), clausestest.Catalogue(), o, plan, &out)
	return outcome, out.String(), err
}

func TestRunForeign(t *testing.T) {
	f := &fakeForeign{}
	outcome, out, err := runForeign(t, f, Selection{})
	if err != nil {
		t.Fatal(err)
	}
	if outcome.Exit.Code != verdict.ExitFails || !f.closed || !strings.Contains(out, "acme-1 serves") {
		t.Errorf("exit code %d, closed: %v, progress %q", outcome.Exit.Code, f.closed, out)
	}
	if h := outcome.Header; h.Tool != "1" || len(h.Subjects) != 1 || h.Subjects[0].Name != "acme-1" || h.Environment.CPUs < 1 {
		t.Errorf("header %+v", h)
	}
	verdicts := make(map[string]string)
	for _, c := range outcome.Clauses() {
		verdicts[c.ID] = strings.TrimSpace(string(c.Verdict) + " " + string(c.Reason))
		for _, r := range c.Results {
			if r.Spec == breaks && r.Rerun != `again "a spec that fails"` {
				t.Errorf("%q is run again by %q", r.Spec, r.Rerun)
			}
		}
	}
	for id, want := range map[string]string{"IBTRS-CONN-021": "PASS", "IBTRS-INFO-022": "FAIL assertion", "IBTRS-PATH-016": "SKIP no-consent"} {
		if verdicts[id] != want {
			t.Errorf("%s: %s, want %s", id, verdicts[id], want)
		}
	}
}

func TestForeignSubjectThatRefuses(t *testing.T) {
	refused := &foreign.RefusedError{Text: "export a holds a file system"}
	if outcome, _, err := runForeign(t, &fakeForeign{refuses: refused}, Selection{}); outcome != nil || !errors.Is(err, refused) {
		t.Errorf("%v, %v", outcome, err)
	}
}

// TestForeignRunThatFails ends with an error of this machine, and leaves the subject.
func TestForeignRunThatFails(t *testing.T) {
	full := errors.New("disk full")
	f := &fakeForeign{fails: full}
	outcome, _, err := runForeign(t, f, Selection{})
	var environment *vm.EnvironmentError
	if outcome != nil || !errors.As(err, &environment) || !errors.Is(err, full) || !f.closed {
		t.Errorf("%v, %v, closed: %v", outcome, err, f.closed)
	}
}

// TestLeftToLab skips what only the lab decides, where it speaks of the subject.
func TestLeftToLab(t *testing.T) {
	ofTarget, _ := clausestest.Catalogue().Get("IBTRS-CONN-021")
	ofInitiator, _ := clausestest.Catalogue().Get("IBTRS-CONN-037")
	p := &Plan{
		labOnly:  []clauses.Clause{ofTarget, ofInitiator},
		deciders: map[string][]string{ofTarget.ID: {"in the lab", "there, too"}, ofInitiator.ID: {"in the lab"}},
	}
	left := p.leftToLab([]verdict.Subject{{Subject: (&fakeForeign{}).Describe()}})
	if len(left) != 1 || left[0].Clause != ofTarget.ID || left[0].Spec != "in the lab" || left[0].Reason != verdict.NeedsLab {
		t.Errorf("%+v", left)
	}
}

// TestForeignConfigurations judges a subject in one configuration after the other, and makes one report of it.
func TestForeignConfigurations(t *testing.T) {
	f := &fakeForeign{configurations: []string{"depth=1", "depth=2"}}
	outcome, out, err := runForeign(t, f, Selection{})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(outcome.Header.Subjects); got != 2 || !strings.Contains(out, "acme-1 serves with depth=2") || !strings.Contains(out, "6/6") {
		t.Errorf("%d subjects, progress:\n%s", got, out)
	}
	for _, c := range outcome.Clauses() {
		var got []string
		for _, r := range c.Results {
			got = append(got, string(r.Verdict)+" in "+r.Where())
		}
		want := map[string][]string{
			"IBTRS-CONN-021": {"PASS in a spec that passes (depth=1)", "PASS in a spec that fails (depth=1)", "PASS in a spec that passes (depth=2)", "PASS in a spec that fails (depth=2)"},
			"IBTRS-INFO-022": {"SKIP in a spec that fails (depth=1)", "FAIL in a spec that fails (depth=2)"},
		}[c.ID]
		if want != nil && !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.ID, got, want)
		}
	}
	f = &fakeForeign{configurations: []string{"depth=1", "depth=2"}, cannot: "depth=2"}
	outcome, _, err = runForeign(t, f, Selection{})
	if err == nil || outcome == nil || !outcome.Interrupted || len(outcome.Header.Subjects) != 1 {
		t.Errorf("a configuration in which it does not serve: %v, %+v", err, outcome)
	}
}

// TestReplacedReport: a run says that an earlier report goes.
func TestReplacedReport(t *testing.T) {
	o := foreignOptions(t, &fakeForeign{}, Selection{Names: []string{passes}})
	for _, want := range []bool{false, true} {
		plan, err := NewForeignPlan(clausestest.Catalogue(), o)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if _, err := RunForeign(t.Context(), clausestest.Catalogue(), o, plan, &out); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "the report of an earlier run in "+o.ReportDir+" is replaced"); got != want {
			t.Errorf("says that a report is replaced: %t, want %t:\n%s", got, want, out.String())
		}
	}
}
