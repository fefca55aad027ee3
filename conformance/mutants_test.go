// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/runner"
)

// TestMutants checks what every mutant must have.
func TestMutants(t *testing.T) {
	catalogue, name := conformance.Catalogue(), regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	names := make(map[string]bool)
	for _, m := range conformance.Mutants().All() {
		if !name.MatchString(m.Name) || names[m.Name] || m.What == "" || len(m.Breaks) == 0 || (m.Trial == nil) == (m.Lab == nil) {
			t.Errorf("%+v is not whole, has no good name, or not the only mutant of its name", m)
		}
		names[m.Name] = true
		for _, id := range m.Clauses() {
			if c, known := catalogue.Get(id); !known || len(c.Decided.By) == 0 {
				t.Errorf("%s breaks %s, which nobody decides", m.Name, id)
			}
		}
		if m.Trial != nil && len(m.Trial.Specs(m.Clauses())) == 0 {
			t.Errorf("no spec decides what %s breaks: %v", m.Name, m.Breaks)
		}
	}
}

// TestMutantsCoverage holds the mutants against the catalogue: a clause that must be kept has a mutant, or a reason why not.
func TestMutantsCoverage(t *testing.T) {
	catalogue, set := conformance.Catalogue(), conformance.Mutants()
	c := set.Coverage(catalogue, set.All())
	if len(c.Missing)+len(c.Needless) > 0 {
		t.Errorf("clauses with neither a mutant nor a reason: %v; with both: %v", c.Missing, c.Needless)
	}
	for _, e := range set.Excuses {
		for _, word := range e.Clauses {
			_, clause := catalogue.Get(word)
			area := slices.ContainsFunc(catalogue.Areas(), func(a clauses.Area) bool { return a.Name == word })
			if e.Reason == "" || !clause && !area {
				t.Errorf("%s, excused because %q, is neither a clause nor an area", word, e.Reason)
			}
		}
	}
}

// TestMutantsInLab looks for the specs of each mutant of the lab. Each clause that it breaks must be claimed by one of them, and the
// control must be able to run them.
func TestMutantsInLab(t *testing.T) {
	catalogue := conformance.Catalogue()
	configure := func(p mutant.PairNames) (runner.Options, error) {
		return conformance.LabRun{Settings: conformance.Settings{ReportDir: t.TempDir()}}.WithPair(p).Options()
	}
	for _, m := range conformance.Mutants().InLab {
		specs, err := m.LabSpecs(catalogue, configure)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range m.Clauses() {
			if !slices.ContainsFunc(specs, func(s runner.Spec) bool { return slices.Contains(s.Clauses, id) }) {
				t.Errorf("no quick spec claims %s, which %s breaks", id, m.Name)
			}
		}
		o, err := configure(m.Lab.Control)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range specs {
			o.Selection = runner.Selection{Names: []string{s.Name}}
			if plan, err := runner.NewPlan(catalogue, o); err != nil || len(plan.Specs) != 1 {
				t.Errorf("%s cannot be held against %q of %s: %v", m.Name, s.Name, m.Lab.Control, err)
			}
		}
	}
}
