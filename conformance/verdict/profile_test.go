// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestReadProfile(t *testing.T) {
	p, err := verdict.ReadProfile(strings.NewReader("name: acme 2\nhold: [IBTRS-CONN, IBNBD-OPEN-025]\nexcept: {IBTRS-CONN-021: not ours}\n"), clausestest.Catalogue())
	if err != nil || p.Name != "acme 2" || len(p.Hold) != 2 || len(p.Except) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	for text, want := range map[string]string{
		"":                             "name is empty",
		"name: a":                      "hold is empty",
		"name: a\nholds: [IBTRS-CONN]": "line 2: field holds not found",
		"name: a\nhold: [IBTRS-CONX]":  `hold: "IBTRS-CONX" is neither a clause nor an area`,
		"name: a\nhold: [" + must + ", " + must + "]":              "hold: " + must + " stands there twice",
		"name: a\nhold: [IBNBD-OPEN]\nexcept: {" + must + ": no}":  "except: " + must + " is not of an area under hold",
		"name: a\nhold: [IBTRS-CONN]\nexcept: {" + must + ": ''}":  "except: " + must + " has no reason",
		"name: a\nhold: [IBTRS-CONN]\nexcept: {IBTRS-CONN-999: x}": `except: clause "IBTRS-CONN-999" is not in the catalogue`,
	} {
		if p, err := verdict.ReadProfile(strings.NewReader(text), clausestest.Catalogue()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", text, p, err, want)
		}
	}
}

func TestProfile(t *testing.T) {
	for _, c := range []struct {
		name    string
		profile verdict.Profile
		results []verdict.Result
		open    string // of the first clause
		clauses int
		code    verdict.ExitCode
	}{
		{"holds", verdict.Profile{Hold: []string{must}}, []verdict.Result{result(must, verdict.Pass)}, "", 1, verdict.ExitHolds},
		{"skipped", verdict.Profile{Hold: []string{must, mustToo}}, []verdict.Result{result(must, verdict.Pass), result(mustToo, verdict.Skip)}, mustToo, 2, verdict.ExitFails},
		{"without a result", verdict.Profile{Hold: []string{must, mustToo}}, []verdict.Result{result(must, verdict.Pass)}, mustToo, 2, verdict.ExitFails},
		{"advice not followed", verdict.Profile{Hold: []string{must, should}}, []verdict.Result{result(must, verdict.Pass), result(should, verdict.Fail)}, should, 2, verdict.ExitFails},
		{"does not apply", verdict.Profile{Hold: []string{must, foreign}}, []verdict.Result{result(must, verdict.Pass)}, foreign, 2, verdict.ExitFails},
		{"outside of the profile", verdict.Profile{Hold: []string{must}}, []verdict.Result{result(must, verdict.Pass), result(mustToo, verdict.Skip)}, "", 1, verdict.ExitHolds},
		{"broken outside of the profile", verdict.Profile{Hold: []string{must}}, []verdict.Result{result(must, verdict.Pass), result(mustToo, verdict.Fail)}, "", 1, verdict.ExitFails},
	} {
		h := mainline()
		c.profile.Name = "acme"
		h.Profile = &c.profile
		h.Selection = "some" // the other clauses are left out
		outcome := judge(t, finished(h, c.results...))
		open := ""
		if len(outcome.Profile.Open) > 0 {
			open = outcome.Profile.Open[0].ID
		}
		if open != c.open || outcome.Profile.Clauses != c.clauses || outcome.Exit.Code != c.code {
			t.Errorf("%s: open %q of %d, exit %+v", c.name, open, outcome.Profile.Clauses, outcome.Exit)
		}
	}
}

// TestProfileOfAnArea has the MUST clauses of the area that bind the subject, without the exceptions.
func TestProfileOfAnArea(t *testing.T) {
	profileOf := func(except map[string]string) *verdict.ProfileOutcome {
		h := mainline()
		h.Profile = &verdict.Profile{Name: "acme", Hold: []string{"IBTRS-CONN"}, Except: except}
		return judge(t, finished(h, result(must, verdict.Pass))).Profile
	}
	all, less := profileOf(nil), profileOf(map[string]string{mustToo: "not ours"})
	if all.Clauses < 10 || less.Clauses != all.Clauses-1 || len(all.Open) != all.Clauses-1 {
		t.Errorf("%d clauses, %d open; without one, %d", all.Clauses, len(all.Open), less.Clauses)
	}
	for _, c := range all.Open {
		if c.ID == should || c.ID == foreign || c.ID == ours {
			t.Errorf("%s is part of the profile", c.ID)
		}
	}
}
