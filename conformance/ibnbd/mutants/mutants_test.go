// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// TestMatrix tries every mutant: each must die of what it breaks.
func TestMatrix(t *testing.T) {
	m, err := Run(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Rows {
		if r.Fate != matrix.Killed {
			t.Errorf("%s %s: %s", r.Mutant, r.Fate, r.Message)
		}
	}
	t.Logf("%s in %s", m.Exit().Sentence, m.Duration)
}

// TestTables checks what every mutant must have.
func TestTables(t *testing.T) {
	catalogue, name := clauses.MustLoad(), regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	names := make(map[string]bool)
	for _, m := range All() {
		if !name.MatchString(m.Name) || names[m.Name] || m.What == "" || len(m.Breaks) == 0 {
			t.Errorf("%+v is not whole, has no good name, or not the only mutant of its name", m)
		}
		names[m.Name] = true
		for _, id := range m.Clauses() {
			if c, known := catalogue.Get(id); !known || len(c.Decided.By) == 0 {
				t.Errorf("%s breaks %s, which nobody decides", m.Name, id)
			}
		}
		if m.trial != nil && len(m.trial.specs(m.Clauses())) == 0 {
			t.Errorf("no spec decides what %s breaks: %v", m.Name, m.Breaks)
		}
	}
}

// TestCoverage holds the mutants against the catalogue: a clause that must be kept has a mutant, or a reason why not.
func TestCoverage(t *testing.T) {
	catalogue := clauses.MustLoad()
	c := CoverageOf(catalogue, All())
	if len(c.Missing)+len(c.Needless) > 0 {
		t.Errorf("clauses with neither a mutant nor a reason: %v; with both: %v", c.Missing, c.Needless)
	}
	for _, e := range excuses {
		for _, word := range e.clauses {
			_, clause := catalogue.Get(word)
			area := slices.ContainsFunc(catalogue.Areas(), func(a clauses.Area) bool { return a.Name == word })
			if e.reason == "" || !clause && !area {
				t.Errorf("%s, excused because %q, is neither a clause nor an area", word, e.reason)
			}
		}
	}
}

// TestClauseWithoutMutant takes the mutants of a clause away, and gives one to a clause that is excused.
func TestClauseWithoutMutant(t *testing.T) {
	const lone, excused = "IBTRS-CONN-021", "IBTRS-CONN-001"
	before := excuses
	excuses = append(slices.Clone(excuses), excuse{"nobody has tried", []string{excused}})
	t.Cleanup(func() { excuses = before })
	rest := slices.DeleteFunc(All(), func(m Mutant) bool { return slices.Contains(m.Clauses(), lone) })
	rest = append(rest, server("elsewhere", "listens elsewhere", excused, func(*bed) {}))
	c := CoverageOf(clauses.MustLoad(), rest)
	if !slices.Equal(c.Missing, []string{lone}) || !slices.Equal(c.Needless, []string{excused}) {
		t.Errorf("missing %v, needless %v", c.Missing, c.Needless)
	}
	dead := &matrix.Matrix{Rows: []matrix.Row{{Fate: matrix.Killed}}}
	if r := matrix.NewReport(dead, &c); r.Exit.Code != verdict.ExitFails {
		t.Errorf("exit %+v", r.Exit)
	}
}

// TestSurvivors tries implementations that are not broken, or not as they say.
func TestSurvivors(t *testing.T) {
	const magic, version = "IBTRS-CONN-021", "IBTRS-CONN-022"
	anyMagic := sees(func(r *ibtrs.ConnRequest) { r.Magic = ibtrs.Magic })
	mutants := []Mutant{
		server("good-server", "does everything right", magic, func(*bed) {}),
		server("another-clause", "takes any magic, and says that it takes any version", version, anyMagic).by("a request has another magic"),
		server("one-of-two", "takes any magic, and says that it takes any version, too", magic, anyMagic).alsoBreaks(version),
		server("no-spec", "breaks a clause that no attack decides", "IBTRS-CONN-001", func(*bed) {}),
		client("good-client", "does everything right", "IBTRS-CONN-037", nil),
	}
	want := map[string]matrix.Fate{
		"good-server": matrix.Survived, "another-clause": matrix.Survived, "one-of-two": matrix.Mistaken, "no-spec": matrix.Survived,
		"good-client": matrix.Survived,
	}
	m, err := Run(t.Context(), Options{Mutants: mutants})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Rows {
		if r.Fate != want[r.Mutant] || r.Message == "" {
			t.Errorf("%s %s, want %s: %q", r.Mutant, r.Fate, want[r.Mutant], r.Message)
		}
	}
	if exit := m.Exit(); exit.Code != verdict.ExitFails {
		t.Errorf("exit %+v", exit)
	}
}

// staged is a trial whose specs end as a test wants.
type staged []spec

func (s staged) specs([]string) []spec { return s }

func ends(broken, control findings, err error) spec {
	return spec{name: "spec", run: func(_ context.Context, on side) (findings, error) {
		if on.broken {
			return broken, nil
		}
		return control, err
	}}
}

// TestFates gives specs their findings, and looks at what becomes of the mutant.
func TestFates(t *testing.T) {
	exactly := func(s spec) spec { s.exact = true; return s }
	for _, c := range []struct {
		name  string
		specs staged
		want  matrix.Fate
		says  string
	}{
		{"found", staged{ends(findings{"A-1": "x"}, nil, nil)}, matrix.Killed, ""},
		{"found by the second spec", staged{ends(nil, nil, nil), ends(findings{"A-1": "x"}, nil, nil)}, matrix.Killed, ""},
		{"found beside another clause", staged{ends(findings{"A-1": "x", "A-2": "y"}, nil, nil)}, matrix.Killed, ""},
		{"found beside another clause by an exact spec", staged{exactly(ends(findings{"A-1": "x", "A-2": "y"}, nil, nil))}, matrix.Mistaken, "instead A-2: y"},
		{"not found", staged{ends(nil, nil, nil)}, matrix.Survived, "no spec has found it"},
		{"found as another clause", staged{ends(findings{"A-2": "y"}, nil, nil)}, matrix.Mistaken, "A-1 was not found broken; instead A-2: y"},
		{"found as no clause", staged{ends(findings{unclaimed: "y"}, nil, nil)}, matrix.Mistaken, "A-1 was not found broken; instead no clause: y"},
		{"found in the control, too", staged{ends(findings{"A-1": "x"}, findings{"A-1": "x"}, nil)}, matrix.Survived, "no spec has found it"},
		{"the control fails", staged{ends(findings{"A-1": "x"}, nil, errors.New("tired"))}, matrix.Unsound, "the control fails: tired"},
	} {
		m, err := Run(t.Context(), Options{Mutants: []Mutant{{Name: "m", Breaks: []string{"A-1"}, trial: c.specs}}})
		if err != nil {
			t.Fatal(err)
		}
		if r := m.Rows[0]; r.Fate != c.want || !strings.Contains(r.Message, c.says) || (c.says == "") != (r.Message == "") {
			t.Errorf("%s: %s, %q; want %s, %q", c.name, r.Fate, r.Message, c.want, c.says)
		}
	}
}

// TestInterrupted ends a run before it begins.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if m, err := Run(ctx, Options{}); !errors.Is(err, context.Canceled) || len(m.Rows) > 0 {
		t.Errorf("%d rows, %v", len(m.Rows), err)
	}
}

// TestSelect chooses by clause and by area.
func TestSelect(t *testing.T) {
	for _, m := range Select(All(), []string{"IBTRS-CONN-021"}, []string{"IBTRS-HB"}) {
		if !slices.ContainsFunc(m.Clauses(), func(id string) bool { return id == "IBTRS-CONN-021" || areaOf(id) == "IBTRS-HB" }) {
			t.Errorf("%s is chosen, and breaks %v", m.Name, m.Breaks)
		}
	}
	if n := len(Select(All(), []string{"IBTRS-CONN-021"}, nil)); n == 0 {
		t.Error("nothing is chosen for IBTRS-CONN-021")
	}
}
