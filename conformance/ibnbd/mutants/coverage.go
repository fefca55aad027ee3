// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// areaOf is the area of a clause.
func areaOf(id string) string { return id[:strings.LastIndexByte(id, '-')] }

// untriedInLab is why clauses have no mutant in a matrix without the lab.
const untriedInLab = "their mutants need guests: --lab tries them, too"

// CoverageOf compares mutants and excuses with the catalogue.
func CoverageOf(catalogue *clauses.Catalogue, all []Mutant) matrix.Coverage {
	broken := make(map[string]bool)
	for _, m := range all {
		for _, id := range m.Clauses() {
			broken[id] = true
		}
	}
	elsewhere := make(map[string]bool)
	for _, m := range InLab() {
		for _, id := range m.Clauses() {
			elsewhere[id] = true
		}
	}
	var c matrix.Coverage
	excused := make(map[string][]string)
	for _, clause := range catalogue.Select(clauses.Filter{
		Levels: []clauses.Level{clauses.Must}, DecidedBy: []clauses.Method{clauses.Active, clauses.Audit},
	}) {
		c.Clauses++
		reason, named := excuseOf(clause.ID)
		switch {
		case broken[clause.ID]:
			c.Broken++
			if named {
				c.Needless = append(c.Needless, clause.ID)
			}
		case elsewhere[clause.ID]:
			excused[untriedInLab] = append(excused[untriedInLab], clause.ID)
		case reason == "":
			c.Missing = append(c.Missing, clause.ID)
		default:
			excused[reason] = append(excused[reason], clause.ID)
		}
	}
	for reason, ids := range excused {
		c.Excused = append(c.Excused, matrix.Group{Reason: reason, Clauses: ids})
	}
	slices.SortFunc(c.Excused, func(a, b matrix.Group) int {
		if n := len(b.Clauses) - len(a.Clauses); n != 0 {
			return n
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return c
}
