// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// One thing waits, for what one other thing brings, and nothing else happens that could wake it.

var _ = Describe("while one device has all permits of its session and nothing else happens", kit.Takes(10), claim.Clauses("IBNBD-FAIL-030"), func() {
	const (
		depth   = 2
		latency = 2 * time.Second
	)
	var (
		p       *pair.Pair
		request subject.MapRequest // of the slow device
		slow    subject.Export
		other   subject.Device // that has nothing under way
	)
	soon := verdict.Bound{Limit: latency + kit.AtOnce, Formula: "the slow disk's latency"}

	// begin maps two devices in one session.
	begin := func(ctx SpecContext, paths int) subject.Device {
		GinkgoHelper()
		p = pair.Current()
		opts := p.TargetOptions()
		opts.QueueDepth = depth
		p.RestartTarget(ctx, opts)
		slow = p.Export(ctx, subject.ExportSpec{Latency: latency})
		request = p.Request(slow)
		request.Paths = nil
		for rail := range paths {
			request.Paths = append(request.Paths, p.Path(rail))
		}
		device := p.Map(ctx, request)
		another := request
		another.Device = p.Export(ctx, subject.ExportSpec{}).Path
		other = p.Map(ctx, another)
		return device
	}
	// fill has the slow disk hold as many reads as there are permits.
	fill := func(ctx SpecContext, device subject.Device) *kit.Reads {
		GinkgoHelper()
		reads := p.StartReads(ctx, device, depth, 4096)
		p.AwaitInFlight(ctx, slow, depth)
		return reads
	}
	read := func(ctx SpecContext) error { return p.ReadAt(ctx, other, make([]byte, 4096), 0) }

	It("a read of another device is sent when a permit is free", func(ctx SpecContext) {
		reads := fill(ctx, begin(ctx, 1))
		start := time.Now()
		Expect(read(ctx)).To(Succeed())
		p.Measure("a read that waits for a permit", time.Since(start), soon)
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
	})

	It("a third read of that device is sent when a permit is free", func(ctx SpecContext) {
		device := begin(ctx, 1)
		reads := fill(ctx, device)
		start := time.Now()
		Expect(p.ReadAt(ctx, device, make([]byte, 4096), 1<<20)).To(Succeed())
		p.Measure("a read that waits for a permit, and then for the disk", time.Since(start),
			verdict.Bound{AtLeast: latency, Limit: 2*latency + kit.AtOnce, Formula: "twice the disk's latency"})
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
	})

	It("another device is mapped when a permit is free", func(ctx SpecContext) {
		reads := fill(ctx, begin(ctx, 1))
		third := request
		third.Device = p.Export(ctx, subject.ExportSpec{}).Path
		start := time.Now()
		p.Map(ctx, third)
		p.Measure("a mapping that waits for a permit", time.Since(start), soon)
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
	})

	It("another device is unmapped when a permit is free", func(ctx SpecContext) {
		reads := fill(ctx, begin(ctx, 1))
		start := time.Now()
		p.Unmap(ctx, other, subject.UnmapNormal)
		p.Measure("an unmapping that waits for a permit", time.Since(start), soon)
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
	})

	It("a read of another device is sent when a permit is free that came over another path", func(ctx SpecContext) {
		device := begin(ctx, 2)
		Expect(p.Initiator.SetPolicy(ctx, request.Session, "rr")).To(Succeed())
		reads := fill(ctx, device)
		waiting := p.StartReads(ctx, other, 1, 4096)
		Expect(p.Initiator.DisconnectPath(ctx, request.Session, p.Path(0))).To(Succeed())
		start := time.Now()
		Expect(waiting.Wait(ctx)).To(HaveEach(BeNil()))
		p.Measure("a read that waits for a permit of a lost path", time.Since(start),
			verdict.Bound{Limit: 2*latency + kit.AtOnce, Formula: "twice the slow disk's latency"})
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
	})

	It("a read of another device fails when the only path ends", func(ctx SpecContext) {
		reads := fill(ctx, begin(ctx, 1))
		waiting := p.StartReads(ctx, other, 1, 4096)
		start := time.Now()
		Expect(p.Initiator.DisconnectPath(ctx, request.Session, p.Path(0))).To(Succeed())
		Expect(waiting.Wait(ctx)).NotTo(ContainElement(BeNil()))
		Expect(reads.Wait(ctx)).NotTo(ContainElement(BeNil()))
		p.Measure("a read that waits for a permit of a path that has ended", time.Since(start), soon)
	})
})
