// SPDX-License-Identifier: Apache-2.0

package audit

import "slices"

// Rule decides one clause.
type Rule struct {
	// Clause is the id in the catalogue.
	Clause string
	// On are the events that the rule watches.
	On []Kind
	// Check looks at one event and says what it means for the clause, or nothing.
	Check func(e *Event, r *Ruling)
}

func on(kinds ...Kind) []Kind { return kinds }

// ruleTables are the rules by area, each in the file of its area.
var ruleTables = [][]Rule{
	connRules, infoRules, immRules, ioRules, invRules, hbRules, pathRules, mpRules, msgRules, blockRules, srpRules,
}

// Rules returns all rules.
func Rules() []Rule { return slices.Concat(ruleTables...) }
