// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Set is what a protocol has of mutants, and why some of its clauses have none.
type Set struct {
	InProcess []Mutant // those that are tried in this process
	InLab     []Mutant // those that need guests
	Excuses   []Excuse
}

// Join makes one set of several.
func Join(sets ...Set) Set {
	var all Set
	for _, s := range sets {
		all.InProcess = append(all.InProcess, s.InProcess...)
		all.InLab = append(all.InLab, s.InLab...)
		all.Excuses = append(all.Excuses, s.Excuses...)
	}
	return all
}

// All are all mutants, in the order of their tables.
func (s Set) All() []Mutant { return slices.Concat(s.InProcess, s.InLab) }

// ByClause maps the ids of clauses to the names of the mutants that break them.
func (s Set) ByClause() map[string][]string {
	names := make(map[string][]string)
	for _, m := range s.All() {
		for _, id := range m.Clauses() {
			names[id] = append(names[id], m.Name)
		}
	}
	return names
}

// Alteration finds what makes a pair look broken, by the name of the mutant.
func (s Set) Alteration(name string) (kit.Alteration, bool) {
	i := slices.IndexFunc(s.InLab, func(m Mutant) bool { return m.Name == name })
	if i < 0 {
		return kit.Alteration{}, false
	}
	return s.InLab[i].Lab.Alteration, true
}

// Select gives the mutants that break one of the clauses, or a clause of one of the areas. Nothing selects all.
func Select(all []Mutant, clauses, areas []string) []Mutant {
	if len(clauses)+len(areas) == 0 {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(m Mutant) bool {
		return !slices.ContainsFunc(m.Clauses(), func(id string) bool {
			return slices.Contains(clauses, id) || slices.Contains(areas, areaOf(id))
		})
	})
}
