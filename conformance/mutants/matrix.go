// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Fate is what became of a mutant.
type Fate string

// The fates.
const (
	Killed   Fate = "killed"   // every clause that it breaks was found broken by a spec that claims it
	Survived Fate = "survived" // nothing was found: the suite does not see the violation
	Mistaken Fate = "mistaken" // something was found, but not what it breaks, or more than that
	Unsound  Fate = "unsound"  // a spec could not be run, or blames the control as well
)

// Sighting is a broken clause as a spec has seen it.
type Sighting struct {
	Clause string `json:"clause"` // with the role behind it where the judge tells both sides apart
	Spec   string `json:"spec"`
	Saw    string `json:"saw"`
}

// Row is what became of one mutant.
type Row struct {
	Mutant   string        `json:"mutant"`
	Kind     Kind          `json:"kind"`
	What     string        `json:"what"`
	Breaks   []string      `json:"breaks"`
	Fate     Fate          `json:"fate"`
	Kills    []Sighting    `json:"kills"`   // of what it breaks, in the order of Breaks
	Others   []Sighting    `json:"others"`  // of what it should not break
	Message  string        `json:"message"` // why it is not dead; "" otherwise
	Duration time.Duration `json:"duration_ns"`
}

// note keeps the first sighting of each clause.
func (r *Row) note(key string, s Sighting) {
	list := &r.Others
	if slices.Contains(r.Breaks, key) {
		list = &r.Kills
	}
	if !slices.ContainsFunc(*list, func(o Sighting) bool { return o.Clause == key }) {
		*list = append(*list, s)
	}
}

// missing lists what was not found yet of what the mutant breaks.
func (r *Row) missing() []string {
	var left []string
	for _, key := range r.Breaks {
		if !slices.ContainsFunc(r.Kills, func(s Sighting) bool { return s.Clause == key }) {
			left = append(left, key)
		}
	}
	return left
}

// settle decides the fate when all specs were run. With exact, nothing may have been found beside what the mutant breaks.
func (r *Row) settle(exact bool) {
	slices.SortFunc(r.Kills, func(a, b Sighting) int { return slices.Index(r.Breaks, a.Clause) - slices.Index(r.Breaks, b.Clause) })
	slices.SortFunc(r.Others, func(a, b Sighting) int { return strings.Compare(a.Clause, b.Clause) })
	missing := r.missing()
	switch {
	case len(missing) == 0 && (!exact || len(r.Others) == 0):
		r.Fate = Killed
	case len(r.Kills)+len(r.Others) == 0:
		r.Fate, r.Message = Survived, "no spec has found it"
	default:
		r.Fate, r.Message = Mistaken, r.mistake(missing)
	}
}

func (r *Row) mistake(missing []string) string {
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, strings.Join(missing, ", ")+" was not found broken")
	}
	for _, s := range r.Others {
		parts = append(parts, fmt.Sprintf("instead %s: %s", s.Clause, s.Saw))
	}
	return strings.Join(parts, "; ")
}

// Matrix is the kill matrix: a row for each mutant, in the order of the tables.
type Matrix struct {
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`
	Rows     []Row         `json:"rows"`
}

// Count counts the rows of each fate.
func (m *Matrix) Count() map[Fate]int {
	counts := make(map[Fate]int)
	for _, row := range m.Rows {
		counts[row.Fate]++
	}
	return counts
}

// Clauses are the ids of the clauses that the mutants of the matrix break, in order.
func (m *Matrix) Clauses() []string {
	ids := make(map[string]bool)
	for _, row := range m.Rows {
		for _, key := range row.Breaks {
			ids[clauseOf(key)] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// Exit is how the matrix ends a command: a mutant that lives, or is dead for the wrong reason, fails.
func (m *Matrix) Exit() verdict.Exit {
	n := m.Count()
	dead := fmt.Sprintf("%d of %d mutants are dead, by %d clauses", n[Killed], len(m.Rows), len(m.Clauses()))
	switch {
	case n[Survived]+n[Mistaken] > 0:
		return verdict.Exit{Code: verdict.ExitFails, Sentence: fmt.Sprintf("%s; %d survived, %d were caught for the wrong reason", dead, n[Survived], n[Mistaken])}
	case n[Unsound] > 0:
		return verdict.Exit{Code: verdict.ExitEnvironment, Sentence: fmt.Sprintf("%s; %d could not be tried", dead, n[Unsound])}
	case len(m.Rows) == 0:
		return verdict.Exit{Code: verdict.ExitNothingRan, Sentence: "no mutant was tried"}
	}
	return verdict.Exit{Code: verdict.ExitHolds, Sentence: dead}
}
