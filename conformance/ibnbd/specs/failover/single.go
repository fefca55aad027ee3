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
)

// One request is under way when its path is lost, and none comes after it.

var _ = Describe("failover of a single write, with silence after it,", kit.Takes(42), claim.Clauses("IBNBD-FAIL-030"), func() {
	It("takes no longer on silent loss than the bound", func(ctx SpecContext) { writeAlone(ctx, silentLoss) })
	It("takes no longer on carrier loss than the bound", kit.Extended, func(ctx SpecContext) { writeAlone(ctx, carrierLoss) })
})

// writeAlone writes on two paths in turn, one write after the other, until one of them has had to leave the lost path.
func writeAlone(ctx SpecContext, f fault) {
	const size = 4096
	p := pair.Current()
	r := p.Request(p.Export(ctx, subject.ExportSpec{}))
	r.Paths = firstPaths(p, 2)
	device := p.Map(ctx, r)
	Expect(p.Initiator.SetPolicy(ctx, device.Session, "rr")).To(Succeed())

	bound := f.timers(ctx, p, device).StallWithPath()
	p.Mark("fault: " + f.name)
	heal := f.strike(ctx, p, 0)
	carried := func() uint64 { return p.IOCount(ctx, device.Session, p.Path(0)) }
	before := carried()
	for i := int64(0); carried() == before; i++ {
		Expect(i).To(BeNumerically("<", 4), "writes of which none was sent on the first path")
		begin := time.Now()
		p.WriteStamped(ctx, device, i*size, size)
		p.Measure("a write with nothing after it", time.Since(begin), bound)
	}
	heal(ctx)
	p.VerifyStamped(ctx, device)
}
