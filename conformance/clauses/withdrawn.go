// SPDX-License-Identifier: Apache-2.0

package clauses

import (
	"fmt"
	"slices"
	"strings"
)

// Withdrawal says what became of a clause that is no longer one. Its id is never given out again.
type Withdrawal struct {
	ID      string   `yaml:"id" json:"id"`
	Into    []string `yaml:"into,flow,omitempty" json:"into"` // clauses that demand what it did; none if nobody demands it any more
	Because string   `yaml:"because" json:"because"`
}

// String says where the clause went, in one sentence.
func (w Withdrawal) String() string {
	if len(w.Into) == 0 {
		return fmt.Sprintf("%s was withdrawn: %s", w.ID, w.Because)
	}
	return fmt.Sprintf("%s was withdrawn into %s: %s", w.ID, strings.Join(w.Into, ", "), w.Because)
}

// Withdrawn returns all withdrawals, in the order of areas and numbers. The slice is the caller's.
func (c *Catalogue) Withdrawn() []Withdrawal { return slices.Clone(c.withdrawn) }

// Withdrawal returns what became of the clause with an id that was withdrawn, and whether it was.
func (c *Catalogue) Withdrawal(id string) (Withdrawal, bool) {
	i := slices.IndexFunc(c.withdrawn, func(w Withdrawal) bool { return w.ID == id })
	if i < 0 {
		return Withdrawal{}, false
	}
	return c.withdrawn[i], true
}

// Current returns the ids under which an id is read now: itself, or those it was withdrawn into. Known is false if there never
// was such a clause.
func (c *Catalogue) Current(id string) (ids []string, known bool) {
	if _, ok := c.byID[id]; ok {
		return []string{id}, true
	}
	w, known := c.Withdrawal(id)
	return w.Into, known
}

// validateWithdrawn returns the mistakes of the withdrawals of one file.
func (f *areaFile) validateWithdrawn(v *validator, seen map[string]string) {
	previous := ""
	for _, w := range f.Withdrawn {
		v.clause = w.ID
		v.validateID(f.Area, previous, seen)
		v.check(strings.HasSuffix(w.Because, "."), "because", "%q is not a sentence that ends with a full stop", w.Because)
		previous = w.ID
	}
}

// checkSuccessors returns a mistake for each withdrawal into something that is no clause.
func (c *Catalogue) checkSuccessors() []error {
	var problems []error
	for _, w := range c.withdrawn {
		for _, id := range w.Into {
			if _, known := c.byID[id]; !known {
				problems = append(problems, &Problem{File: "all", Clause: w.ID, Field: "into", Reason: fmt.Sprintf("%q is no clause", id)})
			}
		}
	}
	return problems
}
