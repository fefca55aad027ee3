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

var _ = Describe("while one device has all permits of its session and nothing else happens", claim.Clauses("IBNBD-FAIL-030"), func() {
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
	twice := verdict.Bound{Limit: 2*latency + kit.AtOnce, Formula: "twice the slow disk's latency"}

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
	fill := func(ctx SpecContext, device subject.Device) *kit.Started {
		GinkgoHelper()
		reads := p.StartReads(ctx, device, depth, 4096)
		p.AwaitInFlight(ctx, slow, depth)
		return reads
	}
	read := func(ctx SpecContext) error { return p.ReadAt(ctx, other, make([]byte, 4096), 0) }

	It("what waits for one goes on when it is free: a read, a mapping, an unmapping", kit.Takes(25), func(ctx SpecContext) {
		device := begin(ctx, 1)
		third := request
		third.Device = p.Export(ctx, subject.ExportSpec{}).Path
		for _, c := range []struct {
			what  string
			bound verdict.Bound
			do    func()
		}{
			{"a read of another device", soon, func() { Expect(read(ctx)).To(Succeed()) }},
			{"one more read of that device", twice, func() { Expect(p.ReadAt(ctx, device, make([]byte, 4096), 1<<20)).To(Succeed()) }},
			{"a mapping", soon, func() { p.Map(ctx, third) }},
			{"an unmapping", soon, func() { p.Unmap(ctx, other, subject.UnmapNormal) }},
		} {
			reads := fill(ctx, device)
			start := time.Now()
			c.do()
			p.Measure(c.what+" that waits for a permit", time.Since(start), c.bound)
			Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))
		}
	})

	It("what waits for one goes on when a path is lost, and ends when the last one is", kit.Takes(25), func(ctx SpecContext) {
		device := begin(ctx, 2)
		Expect(p.Initiator.SetPolicy(ctx, request.Session, "rr")).To(Succeed())
		reads := fill(ctx, device)
		waiting := p.StartReads(ctx, other, 1, 4096)
		start := time.Now()
		Expect(p.Initiator.DisconnectPath(ctx, request.Session, p.Path(0))).To(Succeed())
		Expect(waiting.Wait(ctx)).To(HaveEach(BeNil()))
		p.Measure("a read that waits for a permit of a lost path", time.Since(start), twice)
		Expect(reads.Wait(ctx)).To(HaveEach(BeNil()))

		reads = fill(ctx, device)
		waiting = p.StartReads(ctx, other, 1, 4096)
		start = time.Now()
		Expect(p.Initiator.DisconnectPath(ctx, request.Session, p.Path(1))).To(Succeed())
		Expect(waiting.Wait(ctx)).NotTo(ContainElement(BeNil()))
		Expect(reads.Wait(ctx)).NotTo(ContainElement(BeNil()))
		p.Measure("a read that waits for a permit of a path that ends", time.Since(start), soon)
	})
})
