// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Coverage says which of the clauses that must be kept, and that somebody decides, have a mutant.
type Coverage struct {
	Clauses  int      `json:"clauses"`  // of level MUST, decided by specs or by the passive judge
	Broken   int      `json:"broken"`   // that a mutant breaks
	Excused  []Group  `json:"excused"`  // that none breaks yet, by reason
	Missing  []string `json:"missing"`  // that none breaks, without a reason
	Needless []string `json:"needless"` // that are excused, and need not be
}

// Group is clauses that have no mutant for one reason.
type Group struct {
	Reason  string   `json:"reason"`
	Clauses []string `json:"clauses"`
}

// CoverageOf compares mutants and excuses with the catalogue.
func CoverageOf(catalogue *clauses.Catalogue, all []Mutant) Coverage {
	broken := make(map[string]bool)
	for _, m := range all {
		for _, id := range m.Clauses() {
			broken[id] = true
		}
	}
	var c Coverage
	excused := make(map[string][]string)
	for _, clause := range catalogue.Select(clauses.Filter{
		Levels: []clauses.Level{clauses.Must}, DecidedBy: []clauses.Method{clauses.Active, clauses.Audit},
	}) {
		c.Clauses++
		reason := excuseOf(clause.ID)
		switch {
		case broken[clause.ID]:
			c.Broken++
			if _, named := excuses[clause.ID]; named {
				c.Needless = append(c.Needless, clause.ID)
			}
		case reason == "":
			c.Missing = append(c.Missing, clause.ID)
		default:
			excused[reason] = append(excused[reason], clause.ID)
		}
	}
	for reason, ids := range excused {
		c.Excused = append(c.Excused, Group{reason, ids})
	}
	slices.SortFunc(c.Excused, func(a, b Group) int {
		if n := len(b.Clauses) - len(a.Clauses); n != 0 {
			return n
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return c
}

// Without counts the clauses that no mutant breaks yet.
func (c Coverage) Without() int { return c.Clauses - c.Broken }

// excuseOf is the reason why a clause has no mutant: its own, or that of its area.
func excuseOf(id string) string {
	if reason, named := excuses[id]; named {
		return reason
	}
	return excuses[id[:strings.LastIndexByte(id, '-')]]
}
