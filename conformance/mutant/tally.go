// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// tally is the row of a mutant while it is being tried.
type tally struct{ matrix.Row }

func newTally(m Mutant) *tally {
	return &tally{matrix.Row{Mutant: m.Name, Kind: m.Kind, What: m.What, Breaks: m.Breaks, Kills: []matrix.Detection{}, Others: []matrix.Detection{}}}
}

// note keeps the first sighting of each clause.
func (t *tally) note(s matrix.Detection) {
	list := &t.Others
	if slices.Contains(t.Breaks, s.Clause) {
		list = &t.Kills
	}
	if !slices.ContainsFunc(*list, func(o matrix.Detection) bool { return o.Clause == s.Clause }) {
		*list = append(*list, s)
	}
}

// missing lists what was not found yet of what the mutant breaks.
func (t *tally) missing() []string {
	var left []string
	for _, key := range t.Breaks {
		if !slices.ContainsFunc(t.Kills, func(s matrix.Detection) bool { return s.Clause == key }) {
			left = append(left, key)
		}
	}
	return left
}

// settle decides the status when all specs were run. With exact, nothing may have been found beside what the mutant breaks.
func (t *tally) settle(exact bool) {
	slices.SortFunc(t.Kills, func(a, b matrix.Detection) int {
		return slices.Index(t.Breaks, a.Clause) - slices.Index(t.Breaks, b.Clause)
	})
	slices.SortFunc(t.Others, func(a, b matrix.Detection) int { return strings.Compare(a.Clause, b.Clause) })
	missing := t.missing()
	switch {
	case len(missing) == 0 && (!exact || len(t.Others) == 0):
		t.Status = matrix.Killed
	case len(t.Kills)+len(t.Others) == 0:
		t.Status, t.Message = matrix.Survived, "no spec has found it"
	default:
		t.Status, t.Message = matrix.Mistaken, t.mistake(missing)
	}
}

func (t *tally) mistake(missing []string) string {
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, strings.Join(missing, ", ")+" was not found broken")
	}
	for _, s := range t.Others {
		parts = append(parts, fmt.Sprintf("instead %s: %s", s.Clause, s.Saw))
	}
	return strings.Join(parts, "; ")
}
