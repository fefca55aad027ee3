// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
)

// What a provocation takes about, on an initiator that behaves.
const (
	provoking = 5 * time.Second   // 4 to 6 s are what the reference's client takes behind NBD, by ci/hooks/ibnbd-client
	waiting   = 100 * time.Second // where it waits for the initiator's timers
)

// InitiatorSpecs are all specs for an initiator.
func InitiatorSpecs() []foreign.Spec {
	var all []foreign.Spec
	for _, c := range provocations.All() {
		all = append(all, ofProvocation(c))
	}
	return all
}

// ofProvocation makes a spec of a provocation, by the name that it has in the lab. What some known initiator did not get over
// may end others, too.
func ofProvocation(c provocations.Provocation) foreign.Spec {
	s := foreign.Spec{
		Name: c.Spec(), Clauses: append([]string{c.Survives()}, c.Clauses...), Survival: c.Survives(),
		Takes: provoking, Addresses: c.Needs(), MayEnd: c.Survives() != provocations.Survival, Needs: Map,
		OnInitiator: func(ctx context.Context, r *foreign.InitiatorRun) error { return provoke(ctx, r, c) },
	}
	if c.Slow {
		s.Takes = waiting
	}
	if c.Survives() == provocations.SurvivalWarning {
		s.KernelLog = provocations.SurvivalWarning
	}
	return s
}
