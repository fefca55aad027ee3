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
)

var _ = Describe("many writes on a path that ends, time and again, are handed over once each", kit.Takes(90), kit.Extended,
	claim.Clauses("IBNBD-FAIL-005"), func() {
		It("when the initiator ends it", func(ctx SpecContext) {
			handOver(ctx, func(p *pair.Pair, d subject.Device) error {
				return p.Initiator.DisconnectPath(ctx, d.Session, p.Path(0))
			})
		})

		It("when the target ends it", func(ctx SpecContext) {
			handOver(ctx, func(p *pair.Pair, d subject.Device) error {
				return p.Target.Disconnect(ctx, d.Session, p.Path(0))
			})
		})
	})

// handOver takes one of two paths away time and again while there are many writes on both, and one is just being sent: a request
// that is taken from a path twice, or by two at once, uses its chunk when that belongs to another already.
func handOver(ctx context.Context, end func(*pair.Pair, subject.Device) error) {
	GinkgoHelper()
	const (
		times   = 20
		latency = 200 * time.Millisecond
		pause   = 5 * time.Millisecond // between two writes
		many    = int(2 * latency / pause)
	)
	p := pair.Current()
	r := p.Request(p.Export(ctx, subject.ExportSpec{Latency: latency}))
	r.Paths = firstPaths(p, 2)
	d := p.Map(ctx, r)
	Expect(p.Initiator.SetPolicy(ctx, d.Session, "rr")).To(Succeed())
	watch := p.Watch(ctx, d)
	probe := p.Probe(ctx, d, kit.ProbeOptions{Write: true, Interval: pause})
	for range times {
		probe.Await(ctx, many)
		Expect(end(p, d)).To(Succeed())
		probe.Await(ctx, many)
		p.Until(ctx, "the target has let the path go", p.Initiator.Timers().Teardown, func() bool { return !p.TargetKeepsPath(ctx, d.Session, p.Path(0)) })
		Expect(p.Initiator.ReconnectPath(ctx, d.Session, p.Path(0))).To(Succeed(), "sooner than it would by itself")
		p.Until(ctx, "the path is connected again", p.Initiator.Timers().Reconnect().Limit+slack, watch.AllConnected)
	}
	ios := probe.Stop(ctx)
	Expect(ios.Errors()).To(BeEmpty())
	p.VerifyWrites(ctx, ios, d)
}
