// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

const goodBaseline = `
expected:
  - clause: IBTRS-CONN-021
    spec: some spec
    subject: mainline-*
    role: target
    owner: us
    reason: it never did
    expires: 2030-06-30
`

func TestReadBaseline(t *testing.T) {
	baseline, err := verdict.ReadBaseline(strings.NewReader(goodBaseline), clausestest.Catalogue())
	if err != nil {
		t.Fatal(err)
	}
	want := verdict.ExpectedFailure{
		Clause: "IBTRS-CONN-021", Spec: "some spec", Subject: "mainline-*", Role: clauses.Target,
		Owner: "us", Reason: "it never did", Expires: "2030-06-30",
	}
	if len(baseline.Expected) != 1 || baseline.Expected[0] != want {
		t.Errorf("read %+v", baseline.Expected)
	}
}

func TestReadBaselineNamesEntryAndField(t *testing.T) {
	entry := strings.SplitAfter(goodBaseline, "expected:\n")[1]
	for _, test := range []struct{ name, old, new, want string }{
		{"unknown clause", "CONN-021", "CONN-999", `entry 1 (IBTRS-CONN-999): clause "IBTRS-CONN-999" is not in the catalogue`},
		{"unknown key", "owner:", "woner:", "field woner not found"},
		{"no owner", "owner: us", "owner: ''", "owner is empty"},
		{"no reason", "reason: it never did", "reason: ''", "reason is empty"},
		{"no day", "2030-06-30", "soon", `expires "soon" is not a day`},
		{"no such day", "2030-06-30", "2030-06-31", `expires "2030-06-31" is not a day`},
		{"role", "role: target", "role: server", `role "server"`},
		{"pattern", "mainline-*", "'mainline-['", `subject "mainline-[" is not a pattern`},
		{"no subject", "mainline-*", "''", `subject "" is not a pattern`},
		{"twice", entry, entry + entry, "entry 2 (IBTRS-CONN-021): stands there twice"},
		{"not YAML", "expected:", "expected", "yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.ReplaceAll(goodBaseline, test.old, test.new)
			_, err := verdict.ReadBaseline(strings.NewReader(text), clausestest.Catalogue())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestEmptyBaselineExpectsNothing(t *testing.T) {
	baseline, err := verdict.ReadBaseline(strings.NewReader(""), clausestest.Catalogue())
	if err != nil || len(baseline.Expected) != 0 {
		t.Errorf("%+v, %v", baseline, err)
	}
}

func TestLoadBaselineMissing(t *testing.T) {
	_, err := verdict.LoadBaseline(filepath.Join(t.TempDir(), "none.yaml"), clausestest.Catalogue())
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestBaselineInARun(t *testing.T) {
	entry := verdict.ExpectedFailure{Clause: must, Subject: "mainline-*", Owner: "us", Reason: "known", Expires: "2030-06-30"}
	with := func(change func(*verdict.ExpectedFailure)) verdict.Header {
		e := entry
		change(&e)
		h := mainline()
		h.Baseline, h.BaselineFile = []verdict.ExpectedFailure{e}, "known.yaml"
		return h
	}
	same := func(*verdict.ExpectedFailure) {}
	race := func(e *verdict.ExpectedFailure) { e.Spec, e.Race = "some spec", true }
	selected := with(same)
	selected.Selection = "area IBTRS-HB"
	other := result(must, verdict.Pass)
	other.Spec = "other spec"

	tests := []struct {
		name    string
		header  verdict.Header
		results []verdict.Result
		want    verdict.Verdict
		problem string // "" for none
	}{
		{"fails", with(same), []verdict.Result{result(must, verdict.Fail)}, verdict.ExpectedFail, ""},
		{"passes", with(same), []verdict.Result{result(must, verdict.Pass)}, verdict.UnexpectedOK, ""},
		{"one of two fails", with(same), []verdict.Result{result(must, verdict.Fail), other}, verdict.ExpectedFail, ""},
		{"skipped", with(same), []verdict.Result{result(must, verdict.Skip)}, verdict.Skip, ""},
		{"inconclusive", with(same), []verdict.Result{result(must, verdict.Inconclusive)}, verdict.Inconclusive, ""},
		{"its spec fails", with(func(e *verdict.ExpectedFailure) { e.Spec = "some spec" }),
			[]verdict.Result{result(must, verdict.Fail), other}, verdict.ExpectedFail, ""},
		{"a race is lost", with(race), []verdict.Result{result(must, verdict.Fail), other}, verdict.ExpectedFail, ""},
		{"a race is won", with(race), []verdict.Result{result(must, verdict.Pass), other}, verdict.Pass, ""},
		{"another spec fails", with(func(e *verdict.ExpectedFailure) { e.Spec = "other spec" }),
			[]verdict.Result{result(must, verdict.Fail), other}, verdict.Fail, ""},
		{"another subject", with(func(e *verdict.ExpectedFailure) { e.Subject = "vendor" }),
			[]verdict.Result{result(must, verdict.Fail)}, verdict.Fail, ""},
		{"another role", with(func(e *verdict.ExpectedFailure) { e.Role = clauses.Initiator }),
			[]verdict.Result{result(must, verdict.Fail)}, verdict.Fail, ""},
		{"expired", with(func(e *verdict.ExpectedFailure) { e.Expires = "2029-12-31" }),
			[]verdict.Result{result(must, verdict.Fail)}, verdict.Fail, "expired on 2029-12-31 (owner us: known)"},
		{"matches nothing", with(func(e *verdict.ExpectedFailure) { e.Spec = "no such spec" }),
			[]verdict.Result{result(must, verdict.Fail)}, verdict.Fail, "baseline known.yaml: the entry IBTRS-CONN-021 (no such spec) for mainline-* matches no result"},
		{"left out by the selection", selected, []verdict.Result{result(mustToo, verdict.Pass)}, verdict.Skip, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			outcome := judge(t, finished(test.header, test.results...))
			if got := outcomeOf(t, outcome, must).Verdict; got != test.want {
				t.Errorf("verdict %s, want %s", got, test.want)
			}
			var text string
			for _, p := range outcome.Problems {
				text += p.Text
			}
			if (test.problem == "") != (text == "") || !strings.Contains(text, test.problem) {
				t.Errorf("problems %q, want %q", text, test.problem)
			}
			if test.problem != "" && outcome.Exit.Code != verdict.ExitFails {
				t.Errorf("exit %d with a wrong baseline", outcome.Exit.Code)
			}
		})
	}
}
