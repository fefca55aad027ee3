// SPDX-License-Identifier: Apache-2.0

package clauses

import "slices"

// Catalogue is a set of clauses with unique ids, in the order of areas and numbers. It never changes after loading and
// may be used by several goroutines.
type Catalogue struct {
	clauses []Clause
	byID    map[string]int
	areas   []Area

	withdrawn []Withdrawal
}

// Area is a group of clauses about one thing: one data file.
type Area struct {
	Name  string `json:"name"`  // the part of the ids before the number, e.g. "IBTRS-CONN"
	Title string `json:"title"` // a few words for people
	Count int    `json:"count"` // number of clauses
}

// Get returns the clause with the id, and whether there is one.
func (c *Catalogue) Get(id string) (Clause, bool) {
	i, ok := c.byID[id]
	if !ok {
		return Clause{}, false
	}
	return c.clauses[i], true
}

// All returns every clause in catalogue order. The slice is the caller's.
func (c *Catalogue) All() []Clause { return slices.Clone(c.clauses) }

// IDs returns the ids of all clauses in catalogue order.
func (c *Catalogue) IDs() []string {
	var ids []string
	for _, clause := range c.clauses {
		ids = append(ids, clause.ID)
	}
	return ids
}

// AreaNames returns the names of all areas in catalogue order.
func (c *Catalogue) AreaNames() []string {
	var names []string
	for _, area := range c.areas {
		names = append(names, area.Name)
	}
	return names
}

// Areas returns the areas in catalogue order. The slice is the caller's.
func (c *Catalogue) Areas() []Area { return slices.Clone(c.areas) }

// Filter selects clauses. An empty field selects everything; several fields must all hold; the values inside one field
// are alternatives.
type Filter struct {
	Areas     []string
	Levels    []Level
	Dialects  []Dialect
	Roles     []Role   // a clause of role both or wire is selected by target and by initiator
	DecidedBy []Method // Undecidable selects clauses that no method decides
	Scopes    []Scope
}

// Undecidable in [Filter].DecidedBy selects the clauses that no method decides. It is not a method of a record.
const Undecidable Method = "none"

// Select returns the clauses that the filter lets through, in catalogue order.
func (c *Catalogue) Select(f Filter) []Clause {
	var selected []Clause
	for _, clause := range c.clauses {
		if f.matches(clause) {
			selected = append(selected, clause)
		}
	}
	return selected
}

func (f Filter) matches(c Clause) bool {
	return among(f.Areas, c.Area) &&
		among(f.Levels, c.Level) &&
		among(f.Scopes, c.Scope) &&
		holdsForAny(f.Dialects, c.HoldsFor) &&
		holdsForAny(f.Roles, c.Role.Judges) &&
		holdsForAny(f.DecidedBy, c.decidedByOrNone)
}

func (c Clause) decidedByOrNone(m Method) bool {
	if m == Undecidable {
		return len(c.Decided.By) == 0
	}
	return c.DecidedBy(m)
}

func among[T comparable](wanted []T, have T) bool {
	return len(wanted) == 0 || slices.Contains(wanted, have)
}

func holdsForAny[T comparable](wanted []T, holds func(T) bool) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, holds)
}
