// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
)

// What a provocation takes about, on an initiator that behaves.
const (
	provoking = 3 * time.Second
	waiting   = 100 * time.Second // where it waits for the initiator's timers
)

// InitiatorSpecs are all specs for an initiator: those that may end it last.
func InitiatorSpecs() []Spec {
	var harmless, harmful []Spec
	for _, c := range provocations.All() {
		if s := ofProvocation(c); s.MayEnd {
			harmful = append(harmful, s)
		} else {
			harmless = append(harmless, s)
		}
	}
	return append(harmless, harmful...)
}

// ofProvocation makes a spec of a provocation, by the name that it has in the lab. What some known initiator did not get over
// may end others, too.
func ofProvocation(c provocations.Provocation) Spec {
	s := Spec{
		Name: "an initiator lives on when " + c.Name, Clauses: append([]string{c.Survives()}, c.Clauses...), Takes: provoking,
		Rails: c.Needs(), MayEnd: c.Survives() != provocations.Survival, Needs: Map, survives: c.Survives(), provocation: &c,
	}
	if c.Slow {
		s.Takes = waiting
	}
	return s
}
