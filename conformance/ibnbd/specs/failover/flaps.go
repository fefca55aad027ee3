// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Paths that are lost and come back many times in a short time.

const (
	flaps = 20
	// linesPerFlap is what either side may log for a path that ends and comes back: its connections, the path, the session and the
	// device, on the way down and up, and an attempt that fails between.
	linesPerFlap = 20
)

var _ = Describe("twenty quick flaps", func() {
	It("of a rail lose no I/O, end with both paths connected, and leave few lines in any log", kit.Takes(50),
		claim.Clauses("IBTRS-PATH-024", "IBNBD-FAIL-034", "IBNBD-FAIL-005", writesKept), func(ctx SpecContext) {
			p := pair.Current()
			device := mapOver(ctx, p, 2)
			o := outageOf{pair: p, watch: p.Watch(ctx, device), timers: p.Initiator.Timers()}
			app := start(ctx, p, device, writing)
			logged := p.CountLogLines(ctx)
			for i := range flaps {
				p.Mark("carrier lost")
				heal := p.LoseCarrier(0)
				app.probes[0].Await(ctx, 1+i%4*3) // I/Os on the other rail, a twentieth of a second each
				p.Mark("carrier back")
				heal(ctx)
				app.probes[0].Await(ctx, 1+i%3*4)
			}
			healed := p.Mark("heal")
			p.Measure("heal to both paths connected", o.wholeAfter(ctx, healed), o.timers.Reconnect())
			app.goesOn(ctx)
			expectLines(logged(ctx), flaps)
			app.stop(ctx)
			app.expectWhole(ctx)
			Expect(p.Initiator.RemovePath(ctx, device.Session, p.Path(0))).To(Succeed())
			addAgain(ctx, p, device, kit.AtOnce)
		})

	It("of a path that the target ends leave it connected when it is told to reconnect", kit.Takes(30), kit.Extended,
		claim.Clauses("IBTRS-PATH-024", "IBNBD-FAIL-034"), func(ctx SpecContext) {
			p := pair.Current()
			device := mapOver(ctx, p, 2)
			watch := p.Watch(ctx, device)
			logged := p.CountLogLines(ctx)
			for range flaps {
				Expect(p.Target.Disconnect(ctx, device.Session, p.Path(0))).To(Succeed())
				p.Until(ctx, "the path is seen to be lost", kit.AtOnce, func() bool { return !watch.Connected(p.Path(0)) })
				Eventually(p.Initiator.ReconnectPath).WithContext(ctx).WithTimeout(kit.AtOnce).
					WithArguments(device.Session, p.Path(0)).Should(Succeed(), "reconnecting a path that the target has ended")
				p.Until(ctx, "the path is connected again", kit.AtOnce, watch.AllConnected)
			}
			expectLines(logged(ctx), flaps)
			p.WriteStamped(ctx, device, 0, 64<<10)
			p.VerifyStamped(ctx, device)
		})
})

var _ = Describe("a path that was removed", claim.Clauses("IBTRS-CONN-057"), func() {
	It("can be added again, twenty times over", kit.Takes(10), func(ctx SpecContext) {
		p := pair.Current()
		device := mapOver(ctx, p, 2)
		logged := p.CountLogLines(ctx)
		for range flaps {
			Expect(p.Initiator.RemovePath(ctx, device.Session, p.Path(0))).To(Succeed())
			addAgain(ctx, p, device, kit.AtOnce)
		}
		expectLines(logged(ctx), flaps)
		p.WriteStamped(ctx, device, 0, 64<<10)
		p.VerifyStamped(ctx, device)
	})

	It("while the wire was silent can be added again when the target has noticed", kit.Takes(75), kit.Extended, func(ctx SpecContext) {
		p := pair.Current()
		device := mapOver(ctx, p, 2)
		p.Mark("rail 0 falls silent")
		heal := p.Lose(0, kit.BothWays)
		Expect(p.Initiator.RemovePath(ctx, device.Session, p.Path(0))).To(Succeed())
		healed := p.Mark("heal")
		heal(ctx)
		notices := p.Target.Timers().Detection()
		limit := notices.Limit + p.Target.Timers().Teardown
		addAgain(ctx, p, device, limit)
		p.Measure("heal to added again", time.Since(healed), verdict.Bound{Limit: limit, Formula: "detection: " + notices.Formula + " + teardown"})
		p.WriteStamped(ctx, device, 0, 64<<10)
		p.VerifyStamped(ctx, device)
	})
})

// addAgain adds the first path until that succeeds. Before that it may fail, because the target has not ended the old one yet.
func addAgain(ctx context.Context, p *pair.Pair, d subject.Device, limit time.Duration) {
	GinkgoHelper()
	var last error
	p.Until(ctx, "the path is added again", limit, func() bool {
		last = p.Initiator.AddPath(ctx, d.Session, p.Path(0))
		Expect(last).To(Or(BeNil(), MatchError(syscall.EEXIST)), "adding a path that was removed")
		return last == nil
	})
	Expect(p.ConnectedPaths(ctx, d.Session)).To(ConsistOf(firstPaths(p, 2)))
}

// expectLines expects both sides to have logged few lines for each of so many flaps.
func expectLines(logged pair.LogLines, count int) {
	GinkgoHelper()
	Expect(logged).To(HaveField("Target", BeNumerically("<=", count*linesPerFlap)), "lines of the target")
	Expect(logged).To(HaveField("Initiator", BeNumerically("<=", count*linesPerFlap)), "lines of the initiator")
}
