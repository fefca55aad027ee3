// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// What a path carries before it is lost, and when it has come back.

const (
	shareReads  = 16          // at a time
	shareDisk   = time.Second // of latency, so that all of them are under way at once, on any machine
	shareDetour = 100 * time.Millisecond
)

var _ = Describe("a path that was lost and has come back", claim.Clauses("IBTRS-MP-011"), func() {
	It("carries its share again under every policy when it has lost its carrier once", kit.Takes(55), func(ctx SpecContext) {
		shareAfter(ctx, carrierLoss, 1)
	})
	It("carries its share again under every policy when its packets were lost", kit.Takes(90), kit.Extended, func(ctx SpecContext) {
		shareAfter(ctx, silentLoss, 1)
	})
	It("carries its share again under every policy when it has lost its carrier three times", kit.Takes(150), kit.Extended, func(ctx SpecContext) {
		shareAfter(ctx, carrierLoss, 3)
	})
})

// sharing is a session of two paths, and reads on a slow disk.
type sharing struct {
	pair   *pair.Pair
	device subject.Device
	count  func() []int
}

// shareAfter compares what rail 0 carries before a fault strikes it so many times, and afterwards.
func shareAfter(ctx SpecContext, f fault, times int) {
	p := pair.Current()
	r := p.Request(p.Export(ctx, subject.ExportSpec{Latency: shareDisk}))
	r.Paths = firstPaths(p, 2)
	s := &sharing{pair: p, count: p.CountIO(r.Session)}
	s.device = p.Map(ctx, r)
	watch, timers := p.Watch(ctx, s.device), p.Initiator.Timers()

	s.expectShares(ctx, "before")
	for range times {
		p.Mark("fault: " + f.name)
		heal := f.strike(ctx, p, 0)
		p.Until(ctx, "the path is seen to be lost", timers.Detection().Limit+slack, func() bool { return !watch.Connected(p.Path(0)) })
		healed := p.Mark("heal")
		heal(ctx)
		p.Until(ctx, "the path is connected again", timers.Reconnect().Limit+slack, watch.AllConnected)
		p.Measure("heal to reconnected", watch.BackAfter(p.Path(0), healed), timers.Reconnect())
	}
	s.expectShares(ctx, "afterwards")
}

// expectShares expects each policy to divide the reads as it is defined: in halves, but for the one that wants the shorter way.
func (s *sharing) expectShares(ctx SpecContext, when string) {
	GinkgoHelper()
	const half = shareReads / 2
	for _, policy := range []string{"rr", "mi"} {
		n := s.load(ctx, policy)
		Expect(n).To(HaveEach(BeNumerically("~", half, half/2)), "requests on the rails under %s, %s: %v", policy, when, n)
	}
	// The second path is made the longer one. Heartbeats tell how long a way is; two intervals have at least one of each path.
	straight := s.pair.Inject(1, fabric.Fault{
		Match: fabric.ToPort(s.pair.TargetHost.Name()), Action: fabric.Delay{Base: shareDetour, InOrder: true},
	})
	defer straight(ctx)
	n := []int{0, 0}
	limit := 3*s.pair.Initiator.Timers().HeartbeatInterval + kit.AtOnce
	s.pair.Until(ctx, "requests take the shorter way under ml, "+when, limit, func() bool {
		n = s.load(ctx, "ml")
		return n[1] == 0
	})
	Expect(n[0]).To(BeNumerically("~", shareReads, half/2), "requests on the shorter way under ml, %s: %v", when, n)
}

// load reads under a policy and gives the number of requests that each rail has carried.
func (s *sharing) load(ctx SpecContext, policy string) []int {
	GinkgoHelper()
	Expect(s.pair.Initiator.SetPolicy(ctx, s.device.Session, policy)).To(Succeed())
	before := s.count()
	Expect(s.pair.StartReads(ctx, s.device, shareReads, 4096).Wait(ctx)).To(HaveEach(BeNil()))
	after := s.count()
	for rail := range after {
		after[rail] -= before[rail]
	}
	return after[:2]
}
