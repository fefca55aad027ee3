// SPDX-License-Identifier: Apache-2.0

package failover

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("a target that loses power, and the cache of its disk", kit.Takes(25), func() {
	const (
		block = 64 << 10
		where = 1 << 20
	)
	// lose takes the power away and brings it back.
	lose := func(ctx SpecContext, p *pair.Pair, d subject.Device) {
		watch, timers := p.Watch(ctx, d), p.Initiator.Timers()
		p.Mark("the target loses power")
		p.PowerLoss(ctx)
		p.Until(ctx, "the device is closed", timers.Detection().Limit+slack, func() bool { return allAre("closed", watch) })
		p.PowerBack(ctx)
		p.Mark("the target is back")
		p.Until(ctx, "the device is open again", timers.Reconnect().Limit+slack, func() bool { return allAre("open", watch) })
	}

	It("has what was flushed", claim.Clauses("IBNBD-FAIL-018", "IBNBD-IO-004"), func(ctx SpecContext) {
		p := pair.Current()
		d := p.Map(ctx, p.Request(p.DurableExport()))
		p.WriteStamped(ctx, d, where, block)
		Expect(p.Flush(ctx, d)).To(Succeed())
		Expect(p.WriteAt(ctx, d, make([]byte, block), 2*where)).To(Succeed(), "a write that may be forgotten")
		lose(ctx, p, d)
		p.VerifyStamped(ctx, d)
	})

	It("has what was written with FUA", claim.Clauses("IBNBD-FAIL-018", "IBNBD-IO-009"), func(ctx SpecContext) {
		p := pair.Current()
		d := p.Map(ctx, p.Request(p.DurableExport()))
		Expect(p.WriteAt(ctx, d, make([]byte, block), 2*where)).To(Succeed(), "a write that may be forgotten")
		p.WriteStampedDurably(ctx, d, where, block)
		lose(ctx, p, d)
		p.VerifyStamped(ctx, d)
	})
})
