// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Faults that come more than once, or go before anybody has noticed.

var _ = Describe("failover with a wavering wire", func() {
	It("goes on over the other path while a rail comes and goes", kit.Takes(60),
		claim.Clauses("IBNBD-FAIL-005", "IBTRS-PATH-006", writesKept), func(ctx SpecContext) {
			p := pair.Current()
			device := mapOver(ctx, p, 2)
			o := outageOf{pair: p, watch: p.Watch(ctx, device), timers: p.Initiator.Timers()}
			app := start(ctx, p, device, writing)
			for range 4 {
				p.Mark("carrier lost")
				heal := p.LoseCarrier(0)
				app.goesOn(ctx)
				p.Mark("carrier back")
				heal(ctx)
				app.goesOn(ctx)
			}
			healed := p.Mark("heal")
			p.Measure("heal to reconnected", o.wholeAfter(ctx, healed), o.timers.Reconnect())
			app.stop(ctx)
			app.expectWhole(ctx)
		})

	It("loses both rails in turn, and no I/O", kit.Takes(80),
		claim.Clauses("IBNBD-FAIL-005", "IBTRS-PATH-006", writesKept), func(ctx SpecContext) { loseInTurn(ctx, 1) })

	It("loses both rails in turn, twice over, and no I/O", kit.Takes(160), kit.Extended,
		claim.Clauses("IBNBD-FAIL-005", "IBTRS-PATH-006", writesKept), func(ctx SpecContext) { loseInTurn(ctx, 2) })

	It("goes on over the other path while a rail comes and goes every few seconds for two minutes", kit.Takes(180), kit.Extended,
		claim.Clauses("IBNBD-FAIL-005", "IBTRS-PATH-006", writesKept), func(ctx SpecContext) {
			const times, phase = 12, 5 * time.Second // down, and up again
			p := pair.Current()
			device := mapOver(ctx, p, 2)
			o := outageOf{pair: p, watch: p.Watch(ctx, device), timers: p.Initiator.Timers()}
			o.clock = p.Probe(ctx, mapOverRail(ctx, p, 1), kit.ProbeOptions{})
			app := start(ctx, p, device, mixed)
			for range times {
				p.Mark("carrier lost")
				heal := p.LoseCarrier(0)
				o.lasts(ctx, phase)
				p.Mark("carrier back")
				heal(ctx)
				o.lasts(ctx, phase)
			}
			healed := p.Mark("heal")
			p.Measure("heal to reconnected", o.wholeAfter(ctx, healed), o.timers.Reconnect())
			app.goesOn(ctx)
			o.clock.Stop(ctx)
			app.stop(ctx)
			app.expectWhole(ctx)
		})

	It("costs time only when the wire heals before anybody gives up", kit.Takes(10),
		claim.Clauses("IBTRS-IO-035"), func(ctx SpecContext) {
			p := pair.Current()
			device := mapOver(ctx, p, 1)
			timers := p.Initiator.Timers()
			watch := p.Watch(ctx, device)
			clock := p.Probe(ctx, mapOverRail(ctx, p, 1), kit.ProbeOptions{})
			app := start(ctx, p, device, writing)
			broken := p.Mark("silent loss")
			heal := p.Lose(0, kit.ToTarget) // so that nothing that the target sends is lost
			clock.Await(ctx, someIOs)       // a second, as a device on the other rail counts it
			p.Mark("heal")
			heal(ctx)
			app.goesOn(ctx)
			clock.Stop(ctx)
			for _, ios := range app.stop(ctx) {
				p.Measure("I/O stall", ios.Stall(broken), timers.Detection())
				Expect(ios.Errors()).To(BeEmpty(), "I/O errors although the path was whole")
				p.VerifyWrites(ctx, ios, device)
			}
			Expect(watch.LostAfter(p.Path(0), broken)).To(BeZero(), "the path was given up")
		})
})

// loseInTurn takes the carrier of one rail after the other away under a session over both, each when the other is back.
func loseInTurn(ctx SpecContext, rounds int) {
	const rails = 2
	p := pair.Current()
	device := mapOver(ctx, p, rails)
	timers := p.Initiator.Timers()
	watch := p.Watch(ctx, device)
	app := start(ctx, p, device, writing)
	for i := range rounds * rails {
		rail := i % rails
		broken := p.Mark("carrier lost")
		heal := p.LoseCarrier(rail)
		p.Until(ctx, "the path is seen to be lost", timers.Detection().Limit+slack, func() bool { return !watch.Connected(p.Path(rail)) })
		app.goesOn(ctx)
		healed := p.Mark("heal")
		heal(ctx)
		p.Until(ctx, "the path is connected again", timers.Reconnect().Limit+slack, func() bool { return watch.Connected(p.Path(rail)) })
		p.Measure("path loss noticed", watch.LostAfter(p.Path(rail), broken), timers.Detection())
		p.Measure("heal to reconnected", watch.BackAfter(p.Path(rail), healed), timers.Reconnect())
	}
	app.stop(ctx)
	app.expectWhole(ctx)
}
