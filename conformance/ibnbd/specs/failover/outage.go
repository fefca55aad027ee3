// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Outages that end at every point of what the initiator makes of them: before it notices, while it does, while it tries to
// reconnect, and long after. Only RDMA is lost, so that attempts to reconnect go as far as the wire.

// outageOf is one outage under way: rail 0 is silent, rail 1 is whole.
type outageOf struct {
	pair     *pair.Pair
	watch    *pair.Watch
	timers   subject.Timers
	clock    *kit.Probe   // of a device on rail 1
	attempts func() int64 // connection requests on rail 0
}

// lasts waits for some time, as a device on the other rail counts it.
func (o outageOf) lasts(ctx context.Context, d time.Duration) {
	GinkgoHelper()
	const second = someIOs // I/Os of a probe
	o.clock.Await(ctx, second*int(d/time.Second))
}

// noticed waits until the path is given up.
func (o outageOf) noticed(ctx context.Context) {
	GinkgoHelper()
	o.pair.Until(ctx, "the path is seen to be lost", o.timers.Detection().Limit+slack, func() bool { return !o.watch.Connected(o.pair.Path(0)) })
}

// wholeAfter waits until all paths are connected and stay so, and gives the time from a heal until they were: a loss may be
// noticed only when the wire is whole again, by a path that was seen connected until then.
func (o outageOf) wholeAfter(ctx context.Context, healed time.Time) time.Duration {
	GinkgoHelper()
	o.pair.Until(ctx, "all paths are connected, and stay so", o.timers.Reconnect().Limit+slack, func() bool {
		whole := o.watch.WholeSince()
		return !whole.IsZero() && time.Since(whole) > kit.AtOnce && time.Since(healed) > kit.AtOnce
	})
	return max(0, o.watch.WholeSince().Sub(healed))
}

// heals are the points at which an outage ends.
var heals = []struct {
	when       string
	decorators []any
	await      func(ctx context.Context, o outageOf)
}{
	{"before the loss is noticed", []any{kit.Takes(30), kit.Extended}, func(ctx context.Context, o outageOf) { o.lasts(ctx, time.Second) }},
	{"while the loss is being noticed", []any{kit.Takes(70), kit.Extended}, func(ctx context.Context, o outageOf) {
		o.lasts(ctx, o.timers.HeartbeatInterval*time.Duration(o.timers.HeartbeatMisses)/2)
	}},
	{"while an attempt to reconnect is under way", []any{kit.Takes(120), kit.Extended}, func(ctx context.Context, o outageOf) {
		o.noticed(ctx)
		before := o.attempts()
		limit := o.timers.Teardown + o.timers.Pause().Limit
		o.pair.Until(ctx, "an attempt is under way", limit+slack, func() bool { return o.attempts() > before })
	}},
	{"after two minutes", []any{kit.Takes(200), kit.Extended}, func(ctx context.Context, o outageOf) { o.lasts(ctx, 2*time.Minute) }},
}

var _ = Describe("failover on a silent rail", func() {
	for _, h := range heals {
		It("that heals "+h.when+" fails no I/O, stalls none beyond the bound, and ends with both paths connected",
			claim.Clauses("IBNBD-FAIL-005", "IBTRS-PATH-006", writesKept), h.decorators, func(ctx SpecContext) {
				p := pair.Current()
				device := mapOver(ctx, p, 2)
				o := outageOf{pair: p, watch: p.Watch(ctx, device), timers: p.Initiator.Timers()}
				o.clock = p.Probe(ctx, mapOverRail(ctx, p, 1), kit.ProbeOptions{})
				o.attempts = p.CountConnectRequestsOn(0)
				app := start(ctx, p, device, mixed)

				struck := p.Mark("fault: RDMA is lost both ways")
				heal := p.Inject(0, fabric.Fault{Match: fabric.IsRoCE(), Action: fabric.Drop{}})
				h.await(ctx, o)
				healed := p.Mark("heal")
				heal(ctx)
				app.goesOn(ctx)
				p.Measure("heal to both paths connected", o.wholeAfter(ctx, healed), o.timers.Reconnect())
				app.goesOn(ctx)
				o.clock.Stop(ctx)
				for _, ios := range app.stop(ctx) {
					p.Measure("I/O stall with another path", ios.Stall(struck), o.timers.StallWithPath())
				}
				app.expectWhole(ctx)
			})
	}

	It("that heals after two minutes brings back a device that has no other path", kit.Takes(200), kit.Extended,
		claim.Clauses("IBNBD-FAIL-006", "IBTRS-PATH-006", "IBNBD-SYSFS-024"), func(ctx SpecContext) {
			p := pair.Current()
			device := mapOver(ctx, p, 1)
			o := outageOf{pair: p, watch: p.Watch(ctx, device), timers: p.Initiator.Timers()}
			o.clock = p.Probe(ctx, mapOverRail(ctx, p, 1), kit.ProbeOptions{})
			p.WriteStamped(ctx, device, 0, 64<<10)
			p.Mark("fault: RDMA is lost both ways")
			heal := p.Inject(0, fabric.Fault{Match: fabric.IsRoCE(), Action: fabric.Drop{}})
			o.noticed(ctx)
			o.lasts(ctx, 2*time.Minute)
			Expect(p.State(ctx, device)).To(Equal("closed"))
			healed := p.Mark("heal")
			heal(ctx)
			p.Until(ctx, "the device is open again", o.timers.Reconnect().Limit+slack, func() bool { return allAre("open", o.watch) })
			p.Measure("heal to device open", o.watch.Since().Sub(healed), o.timers.Reconnect())
			o.clock.Stop(ctx)
			p.VerifyStamped(ctx, device)
		})
})
