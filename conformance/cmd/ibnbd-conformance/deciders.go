// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/protocol"
)

// deciders are who decides a clause: specs of the lab, specs on what somebody else runs, and the passive judge.
type deciders struct {
	lab, foreign map[string][]string // names of specs by the clause
	passive      map[string]bool     // clauses for which the passive judge has a rule
}

// deciders looks them up.
func (a *app) deciders() (*deciders, error) {
	claims, err := a.claims()
	if err != nil {
		return nil, usagef("%w", err)
	}
	d := &deciders{lab: make(map[string][]string), foreign: make(map[string][]string), passive: make(map[string]bool)}
	for _, c := range a.catalogue.All() {
		d.lab[c.ID] = claims.SpecsOf(c.ID)
	}
	for _, p := range conformance.Protocols() {
		if p.Foreign != nil {
			d.add(p.Foreign.Targets.Specs)
			d.add(p.Foreign.Initiators.Specs)
		}
	}
	for _, p := range protocol.Judges(conformance.Protocols()) {
		for _, rule := range p.Rules {
			d.passive[rule.Clause] = true
		}
	}
	return d, nil
}

func (d *deciders) add(specs func() []foreign.Spec) {
	if specs == nil {
		return
	}
	for _, s := range specs() {
		for _, id := range s.Clauses {
			d.foreign[id] = append(d.foreign[id], s.Name)
		}
	}
}

// specs are the names of all specs that decide a clause; those of the lab first. An attack has one name in both.
func (d *deciders) specs(id string) []string {
	all := slices.Clone(d.lab[id])
	for _, name := range d.foreign[id] {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// atHand says whether something at hand can be judged by a clause: an implementation of the lab to which it applies, whatever somebody
// runs, or packets.
func (d *deciders) atHand(c clauses.Clause) bool {
	if d.passive[c.ID] || len(d.foreign[c.ID]) > 0 {
		return true
	}
	return len(d.lab[c.ID]) > 0 && appliesInLab(c)
}

// appliesInLab says whether a clause applies to an implementation of the lab, in either role.
func appliesInLab(c clauses.Clause) bool {
	for _, f := range everyImplementation() {
		for _, role := range []clauses.Role{clauses.Target, clauses.Initiator} {
			if force, _ := c.Force(f.Subject(role, nil)); force != clauses.NotApplicable {
				return true
			}
		}
	}
	return false
}
