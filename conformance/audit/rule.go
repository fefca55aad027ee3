// SPDX-License-Identifier: Apache-2.0

package audit

// Rule decides one clause.
type Rule struct {
	// Clause is the id in the catalogue.
	Clause string
	// On are the events of the protocol that the rule watches.
	On []Kind
	// Check looks at one event and says what it means for the clause, or nothing.
	Check func(e *Event, r *Ruling)
	// Across reports whether what the rule says of an event depends on what came first on which path of a session. Where paths were
	// captured by clocks of their own, nobody is blamed by it then. It is nil if the clause never depends on that.
	Across func(e *Event) bool
}
