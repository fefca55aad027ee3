// SPDX-License-Identifier: Apache-2.0

package clauses_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

func TestForce(t *testing.T) {
	clause := func(change func(*clauses.Clause)) clauses.Clause {
		c := clauses.Clause{
			Level: clauses.Must, Role: clauses.Target, Scope: clauses.ProtocolScope,
			Dialects: []clauses.Dialect{"ibnbd", "rnbd"},
		}
		change(&c)
		return c
	}
	foreign := clauses.Subject{Role: clauses.Target, Dialect: "rnbd"}
	own := clauses.Subject{Role: clauses.Target, Dialect: "ibnbd", Own: true}
	without := clauses.Subject{Role: clauses.Target, Dialect: "rnbd",
		Abilities: map[clauses.Ability]bool{clauses.KeyRefresh: false, clauses.Sysfs: true}}

	tests := []struct {
		name    string
		change  func(*clauses.Clause)
		subject clauses.Subject
		want    clauses.Force
	}{
		{"protocol MUST, foreign", func(*clauses.Clause) {}, foreign, clauses.Binding},
		{"protocol MUST, own", func(*clauses.Clause) {}, own, clauses.Binding},
		{"project MUST, foreign", func(c *clauses.Clause) { c.Scope = clauses.ProjectScope }, foreign, clauses.Advisory},
		{"project MUST, own", func(c *clauses.Clause) { c.Scope = clauses.ProjectScope }, own, clauses.Binding},
		{"SHOULD", func(c *clauses.Clause) { c.Level = clauses.Should }, own, clauses.Advisory},
		{"MAY", func(c *clauses.Clause) { c.Level = clauses.May }, own, clauses.Advisory},
		{"other role", func(c *clauses.Clause) { c.Role = clauses.Initiator }, own, clauses.NotApplicable},
		{"both roles", func(c *clauses.Clause) { c.Role = clauses.Both }, own, clauses.Binding},
		{"the wire", func(c *clauses.Clause) { c.Role = clauses.Wire }, own, clauses.Binding},
		{"other dialect", func(c *clauses.Clause) { c.Dialects = []clauses.Dialect{"ibnbd"} }, foreign, clauses.NotApplicable},
		{"ability lacking", func(c *clauses.Clause) { c.Requires = []clauses.Ability{clauses.KeyRefresh} }, without, clauses.NotApplicable},
		{"ability present", func(c *clauses.Clause) { c.Requires = []clauses.Ability{clauses.Sysfs} }, without, clauses.Binding},
		{"ability unknown", func(c *clauses.Clause) { c.Requires = []clauses.Ability{clauses.Multipath} }, without, clauses.Binding},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, why := clause(test.change).Force(test.subject)
			if got != test.want || why == "" {
				t.Errorf("force = %s (%s), want %s", got, why, test.want)
			}
		})
	}
}

func TestForceOverTakesTheStrongest(t *testing.T) {
	c := clauses.Clause{Level: clauses.Must, Role: clauses.Both, Scope: clauses.ProjectScope, Dialects: []clauses.Dialect{"rnbd"}}
	foreign := clauses.Subject{Role: clauses.Target, Dialect: "rnbd"}
	own := clauses.Subject{Role: clauses.Initiator, Dialect: "rnbd", Own: true}
	other := clauses.Subject{Role: clauses.Initiator, Dialect: "srp"}

	for _, test := range []struct {
		subjects []clauses.Subject
		want     clauses.Force
	}{
		{nil, clauses.NotApplicable},
		{[]clauses.Subject{other}, clauses.NotApplicable},
		{[]clauses.Subject{other, foreign}, clauses.Advisory},
		{[]clauses.Subject{foreign, own, other}, clauses.Binding},
	} {
		if got, _ := c.ForceOver(test.subjects); got != test.want {
			t.Errorf("force over %v = %s, want %s", test.subjects, got, test.want)
		}
	}
}
