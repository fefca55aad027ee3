// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Excuse is why some clauses have no mutant. Coverage names excused clauses that have one, and clauses with neither.
type Excuse struct {
	Reason  string
	Clauses []string // ids, and names of whole areas
}

// areaOf is the area of a clause.
func areaOf(id string) string { return id[:strings.LastIndexByte(id, '-')] }

// ExcuseFor is why a clause has no mutant; "" where no reason is known.
func (s Set) ExcuseFor(id string) string {
	reason, _ := s.excuseFor(id)
	return reason
}

// excuseFor is the reason why a clause has no mutant, that of the clause before that of its area; "" for none. Named says that
// the clause is named, and not only its area.
func (s Set) excuseFor(id string) (reason string, named bool) {
	byArea := ""
	for _, e := range s.Excuses {
		for _, word := range e.Clauses {
			switch word {
			case id:
				return e.Reason, true
			case areaOf(id):
				byArea = e.Reason
			}
		}
	}
	return byArea, false
}

// untriedInLab is why clauses have no mutant in a matrix without the lab.
const untriedInLab = "their mutants need guests: --lab tries them, too"

// Coverage compares the mutants of a run, and the excuses of the set, with the catalogue.
func (s Set) Coverage(catalogue *clauses.Catalogue, tried []Mutant) matrix.Coverage {
	broken, brokenInLab := broken(tried), broken(s.InLab)
	var c matrix.Coverage
	excused := make(map[string][]string)
	for _, clause := range catalogue.Select(clauses.Filter{
		Levels: []clauses.Level{clauses.Must}, DecidedBy: []clauses.Method{clauses.Active, clauses.Audit},
	}) {
		c.Clauses++
		reason, named := s.excuseFor(clause.ID)
		switch {
		case broken[clause.ID]:
			c.Broken++
			if named {
				c.Needless = append(c.Needless, clause.ID)
			}
		case brokenInLab[clause.ID]:
			excused[untriedInLab] = append(excused[untriedInLab], clause.ID)
		case reason == "":
			c.Missing = append(c.Missing, clause.ID)
		default:
			excused[reason] = append(excused[reason], clause.ID)
		}
	}
	c.Excused = largestFirst(excused)
	return c
}

// broken are the ids of the clauses that mutants break.
func broken(mutants []Mutant) map[string]bool {
	ids := make(map[string]bool)
	for _, m := range mutants {
		for _, id := range m.Clauses() {
			ids[id] = true
		}
	}
	return ids
}

// largestFirst orders clauses that share a reason.
func largestFirst(byReason map[string][]string) []matrix.Group {
	var groups []matrix.Group
	for reason, ids := range byReason {
		groups = append(groups, matrix.Group{Reason: reason, Clauses: ids})
	}
	slices.SortFunc(groups, func(a, b matrix.Group) int {
		if n := len(b.Clauses) - len(a.Clauses); n != 0 {
			return n
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return groups
}
