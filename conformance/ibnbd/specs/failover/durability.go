// SPDX-License-Identifier: Apache-2.0

package failover

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

var _ = Describe("a target that loses power, and the cache of its disk", kit.Takes(25), func() {
	const (
		block = 64 << 10
		where = 1 << 20
	)
	// crash takes the power away, brings it back, and looks for what must not be forgotten. That is proof only if the disk has forgotten
	// something else, which was written last.
	crash := func(ctx SpecContext, p *pair.Pair, d subject.Device) {
		watch, timers := p.Watch(ctx, d), p.Initiator.Timers()
		p.Mark("the target loses power")
		forgotten := p.PowerLoss(ctx)
		p.Until(ctx, "the device is closed", timers.Detection().Limit+slack, func() bool { return allAre("closed", watch) })
		p.PowerBack(ctx)
		p.Mark("the target is back")
		p.Until(ctx, "the device is open again", timers.Reconnect().Limit+slack, func() bool { return allAre("open", watch) })
		p.VerifyStamped(ctx, d)
		if forgotten == 0 {
			specreport.Skip(verdict.NothingLost, "the target's disk forgot nothing, not even a write that was neither flushed nor FUA")
		}
	}

	verify := func(ctx SpecContext, p *pair.Pair, d subject.Device) {
		Expect(p.WriteAt(ctx, d, make([]byte, block), 2*where)).To(Succeed(), "a write that may be forgotten")
		crash(ctx, p, d)
	}

	It("has what was flushed", claim.Clauses("IBNBD-FAIL-018", "IBNBD-IO-004"), func(ctx SpecContext) {
		p := pair.Current()
		d := p.Map(ctx, p.Request(p.DurableExport()))
		p.WriteStamped(ctx, d, where, block)
		Expect(p.Flush(ctx, d)).To(Succeed())
		verify(ctx, p, d)
	})

	It("has what was written with FUA", claim.Clauses("IBNBD-FAIL-018", "IBNBD-IO-009"), func(ctx SpecContext) {
		p := pair.Current()
		d := p.Map(ctx, p.Request(p.DurableExport()))
		p.WriteStampedDurably(ctx, d, where, block)
		verify(ctx, p, d)
	})

	It("has what was written in file mode", claim.Clauses("IBNBD-IO-030"), func(ctx SpecContext) {
		p := pair.Current()
		if p.Initiator.Info().Dialect != catalogue.IBNBD {
			specreport.Skip(verdict.AbilityMissing, "the initiator can ask for no I/O mode")
		}
		r := p.Request(p.DurableExport())
		r.IOMode = "fileio"
		d := p.Map(ctx, r)
		p.WriteStamped(ctx, d, where, block)
		p.WriteBeside(ctx, p.DurableExport(), 2*where, block) // in file mode everything lasts, so the control goes another way
		crash(ctx, p, d)
	})
})
