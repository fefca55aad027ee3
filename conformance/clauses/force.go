// SPDX-License-Identifier: Apache-2.0

package clauses

import (
	"fmt"
	"slices"
)

// Force is how a clause binds one subject.
type Force string

// The forces of a clause, strongest first.
const (
	Binding       Force = "binding"        // breaking it fails the run
	Advisory      Force = "advisory"       // breaking it is shown, and fails nothing
	NotApplicable Force = "not-applicable" // the clause does not speak of this subject
)

// Subject is what is known of an implementation under test, as far as clauses care.
type Subject struct {
	// Role is Target or Initiator.
	Role Role `json:"role" yaml:"role"`
	// Dialect is the family of names that the subject uses.
	Dialect Dialect `json:"dialect" yaml:"dialect"`
	// Own is true for an implementation of this project: rules of scope project bind it.
	Own bool `json:"own" yaml:"own"`
	// Abilities maps an ability to whether the subject has it. An absent ability is unknown, and is taken as present:
	// the spec then finds out.
	Abilities map[Ability]bool `json:"abilities,omitempty" yaml:"abilities,omitempty"`
}

// Force tells how the clause binds subject s and why, by the table in the package comment.
func (c Clause) Force(s Subject) (Force, string) {
	if !c.HoldsFor(s.Dialect) {
		return NotApplicable, fmt.Sprintf("does not hold for dialect %s", s.Dialect)
	}
	if !c.Role.Judges(s.Role) {
		return NotApplicable, fmt.Sprintf("judges the %s, the subject is the %s", c.Role, s.Role)
	}
	for _, ability := range c.Requires {
		if has, known := s.Abilities[ability]; known && !has {
			return NotApplicable, fmt.Sprintf("the subject has no %s", ability)
		}
	}
	if c.Level != Must {
		return Advisory, fmt.Sprintf("level is %s", c.Level)
	}
	if c.Scope == ProjectScope && !s.Own {
		return Advisory, "a rule of this project, and the subject is foreign"
	}
	return Binding, "level is MUST"
}

// ForceOver is the strongest force that the clause has over any of the subjects, with its reason. Without subjects it is
// NotApplicable.
func (c Clause) ForceOver(subjects []Subject) (Force, string) {
	strongest, why := NotApplicable, "no subject"
	for i, s := range subjects {
		force, reason := c.Force(s)
		if i == 0 || force.strongerThan(strongest) {
			strongest, why = force, reason
		}
	}
	return strongest, why
}

var forceOrder = []Force{Binding, Advisory, NotApplicable}

func (f Force) strongerThan(other Force) bool {
	return slices.Index(forceOrder, f) < slices.Index(forceOrder, other)
}
