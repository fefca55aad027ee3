// SPDX-License-Identifier: Apache-2.0

package block

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

// Other exports are memory of the target's machine. This one is a disk that reads and writes memory by itself, through an IOMMU
// where the lab has one, which then may make one piece of several that do not lie together.

var _ = Describe("an export whose disk reaches memory by itself", kit.Takes(3), claim.Clauses("IBNBD-IO-001"), func() {
	It("brings back what was written, in pieces of every size", kit.Smoke, func(ctx SpecContext) {
		p := pair.Current()
		p.CheckIOMMU(ctx)
		export := p.DurableExport()
		device := p.Map(ctx, p.Request(export))
		offset := int64(512)
		for _, size := range []int{512, 4096, 3 * 512, 64 << 10, 124 << 10, 124<<10 - 512, 128 << 10, 1 << 20} {
			p.WriteStamped(ctx, device, offset, size)
			offset += int64(size) + 512
		}
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	})
})
