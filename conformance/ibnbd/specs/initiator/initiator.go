// SPDX-License-Identifier: Apache-2.0

package initiator

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

var _ = Describe(provocations.Group, func() {
	for _, c := range provocations.All() {
		It(c.Name, claim.Clauses(append([]string{c.Survives()}, c.Clauses...)...), takes(c), func(ctx SpecContext) { endure(ctx, c) })
	}
})

// endure runs a provocation. An initiator that did not survive it is not waited for.
func endure(ctx SpecContext, c provocations.Provocation) {
	p := pair.Current()
	err := provocations.Execute(ctx, setup(ctx, p, c.Needs()), c)
	if finding.Of(err).Breaks(c.Survives()) {
		p.InitiatorHost.Machine().Kill()
	}
	specreport.Conclude(err, c.Survives())
}

// DeadlyLabel marks provocations that are known to have killed an initiator.
const DeadlyLabel = "deadly"

// takes says how long a provocation takes: where it kills or alarms, the next spec needs new guests.
func takes(c provocations.Provocation) []any {
	const usual, costly, waiting, alarming = 1, 50, 100, 15
	var decorators []any
	switch {
	case c.Slow:
		decorators = append(kit.Takes(waiting), kit.Extended)
	case c.Costly || c.Survives() == provocations.SurvivalDeadly:
		decorators = append(kit.Takes(costly), kit.Extended)
	case c.Survives() == provocations.SurvivalWarning:
		decorators = kit.Takes(alarming)
	default:
		decorators = kit.Takes(usual)
	}
	if c.Survives() == provocations.SurvivalDeadly {
		decorators = append(decorators, Label(DeadlyLabel))
	}
	return decorators
}

// setup puts scripted servers on the rails, in turn.
func setup(ctx SpecContext, p *pair.Pair, servers int) provocations.Setup {
	const rails = 2
	g := provocations.Setup{Initiator: &labInitiator{pair: p}}
	for i := range servers {
		rail, number := i%rails, i/rails
		g.Devices = append(g.Devices, p.StationAt(rail, number))
		p.AddNeighbour(ctx, p.InitiatorHost, rail, number)
	}
	return g
}
