// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/subject"
	"github.com/ibnbd/ibnbd/conformance/suites/kit"
)

// handOver takes one of two paths away time and again while there are many writes on both, and one is just being sent: a request
// that is taken from a path twice, or by two at once, uses its chunk when that belongs to another already.
type handOver struct {
	pair   *kit.Pair
	device subject.Device
}

var _ = Describe("many writes on a path that ends, time and again, are handed over once each", kit.Takes(60), kit.Extended,
	claim.Clauses("IBNBD-FAIL-005", "IBTRS-MP-007"), func() {
		It("when the initiator ends it", func(ctx SpecContext) {
			takeOver(ctx, func(h handOver) error {
				return h.pair.Initiator.DisconnectPath(ctx, h.device.Session, h.pair.Path(0))
			}, func(h handOver) error {
				return h.pair.Initiator.ReconnectPath(ctx, h.device.Session, h.pair.Path(0))
			})
		})

		It("when the target ends it", func(ctx SpecContext) {
			takeOver(ctx, func(h handOver) error {
				return h.pair.Target.Disconnect(ctx, h.device.Session, h.pair.Path(0))
			}, func(handOver) error { return nil }) // the initiator comes back by itself
		})
	})

func takeOver(ctx context.Context, end, restore func(handOver) error) {
	GinkgoHelper()
	const (
		times   = 20
		latency = 200 * time.Millisecond
		pause   = 5 * time.Millisecond // between two writes
		many    = int(2 * latency / pause)
	)
	p := kit.Current()
	r := p.Request(p.Export(ctx, subject.ExportSpec{Latency: latency}))
	r.Paths = firstPaths(p, 2)
	h := handOver{p, p.Map(ctx, r)}
	Expect(p.Initiator.SetPolicy(ctx, h.device.Session, "rr")).To(Succeed())
	watch := p.Watch(ctx, h.device)
	probe := p.Probe(ctx, h.device, kit.ProbeOptions{Write: true, Interval: pause})
	for range times {
		probe.Await(ctx, many)
		Expect(end(h)).To(Succeed())
		probe.Await(ctx, many)
		Expect(restore(h)).To(Succeed())
		p.Until(ctx, "the path is connected again", p.Initiator.Timers().Reconnect().Limit+slack, watch.AllConnected)
	}
	ios := probe.Stop(ctx)
	Expect(ios.Errors()).To(BeEmpty())
	p.VerifyWrites(ctx, ios, h.device)
}
