// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"

	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// fault is one way to lose the connection between initiator and target.
type fault struct {
	name string
	// server says that the fault takes away every path, because it hits the target itself.
	server bool
	// forgets says that what was written before the fault is gone after it: the exports live in the target's memory.
	forgets bool
	// announced says that the target announces its end, so that the initiator learns of it at once.
	announced bool
	// heard says that the initiator still hears the target, until that falls silent, too.
	heard bool
	// strike breaks a rail, or the target whatever the rail, and gives the way back.
	strike func(ctx context.Context, p *pair.Pair, rail int) (heal func(ctx context.Context))
}

// strikeAll breaks the first rails, one right after the other, or the target, and gives the way back.
func (f fault) strikeAll(ctx context.Context, p *pair.Pair, rails int) (heal func(context.Context)) {
	GinkgoHelper()
	if f.server {
		return f.strike(ctx, p, 0)
	}
	var heals []func(context.Context)
	for rail := range rails {
		heals = append(heals, f.strike(ctx, p, rail))
	}
	return func(ctx context.Context) {
		GinkgoHelper()
		for _, heal := range heals {
			heal(ctx)
		}
	}
}

var (
	carrierLoss = fault{
		name: "carrier loss",
		strike: func(_ context.Context, p *pair.Pair, rail int) func(context.Context) {
			return p.LoseCarrier(rail)
		},
	}
	silentLoss = fault{
		name: "silent loss both ways",
		strike: func(_ context.Context, p *pair.Pair, rail int) func(context.Context) {
			return p.Lose(rail, kit.BothWays)
		},
	}
)

var faults = []fault{
	carrierLoss,
	silentLoss,
	{
		name:  "silent loss from client to server",
		heard: true,
		strike: func(_ context.Context, p *pair.Pair, rail int) func(context.Context) {
			return p.Lose(rail, kit.ToTarget)
		},
	},
	{
		name: "silent loss from server to client",
		strike: func(_ context.Context, p *pair.Pair, rail int) func(context.Context) {
			return p.Lose(rail, kit.ToInitiator)
		},
	},
	{
		name:    "server power loss",
		server:  true,
		forgets: true,
		strike: func(ctx context.Context, p *pair.Pair, _ int) func(context.Context) {
			p.PowerLoss(ctx)
			return func(ctx context.Context) { p.PowerBack(ctx) }
		},
	},
	{
		name:   "server hung",
		server: true,
		strike: func(ctx context.Context, p *pair.Pair, _ int) func(context.Context) {
			p.Hang(ctx)
			return func(ctx context.Context) { p.Resume(ctx) }
		},
	},
	{
		name:      "server restarted",
		server:    true,
		announced: true,
		strike: func(ctx context.Context, p *pair.Pair, _ int) func(context.Context) {
			p.StopTarget(ctx)
			return func(ctx context.Context) { p.StartTarget(ctx) }
		},
	},
}

// timers are those that bound what follows the fault, for the session of a device.
func (f fault) timers(ctx context.Context, p *pair.Pair, d subject.Device) subject.Timers {
	if f.heard {
		return p.Timers(ctx, d).StillHearing()
	}
	return p.Timers(ctx, d)
}
