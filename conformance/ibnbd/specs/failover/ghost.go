// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// A ghost write is one that the wire kept while its path failed, and that lands after a newer one to the same blocks which
// was acknowledged on another path. The newer data would be lost without an error anywhere.

const (
	ghosts    = 4         // writes; with two paths that take turns, half of them are kept by the wire
	ghostSize = 16 << 10  // bytes of each
	forever   = time.Hour // longer than any spec: what the wire keeps comes out when the fault is removed
)

var _ = Describe("failover with a wire that keeps what was sent", func() {
	It("lands no old write after a newer one", kit.Takes(70), claim.Clauses("IBNBD-FAIL-020"), func(ctx SpecContext) {
		p := pair.Current()
		if own := p.Target.Info().Own; own != p.Initiator.Info().Own {
			specreport.Skip(verdict.AbilityMissing, "both sides together keep old writes off, and these two are not of one project")
		}
		device := mapOver(ctx, p, 2)
		timers := p.Initiator.Timers()
		watch := p.Watch(ctx, device)
		before := p.IOCount(ctx, device.Session, p.Path(0))

		p.Mark("rail 0 keeps what the initiator sends")
		release := p.Inject(0, fabric.Fault{Match: fabric.ToPort(p.TargetHost.Name()), Action: fabric.Delay{Base: forever, InOrder: true}})
		var old sync.WaitGroup
		for i := range int64(ghosts) {
			block := make([]byte, ghostSize)
			stamp.Fill(block, uint64(i*ghostSize)/stamp.Sector, stamp.Stamp{Sequence: uint64(i)})
			old.Go(func() {
				defer GinkgoRecover()
				Expect(p.WriteAt(ctx, device, block, i*ghostSize)).To(Succeed())
			})
		}
		old.Wait() // those of rail 0 were sent again over rail 1 when their path was given up
		Expect(p.IOCount(ctx, device.Session, p.Path(0))).To(BeNumerically(">", before), "writes that went out on rail 0")
		p.Mark("all old writes are acknowledged")
		for i := range int64(ghosts) {
			p.WriteStamped(ctx, device, i*ghostSize, ghostSize)
		}
		p.Mark("all newer writes are acknowledged, rail 0 gives back what it kept")
		release(ctx)
		p.Until(ctx, "the path is connected again", timers.Reconnect().Limit+slack, func() bool { return watch.Connected(p.Path(0)) })
		p.VerifyStamped(ctx, device)
	})
})
