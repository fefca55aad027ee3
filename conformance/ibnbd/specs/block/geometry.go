// SPDX-License-Identifier: Apache-2.0

package block

import (
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("the geometry of a mapped device", func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	DescribeTable("is that of the export", func(ctx SpecContext, blockSize, sizeMiB int) {
		export := p.Export(ctx, subject.ExportSpec{BlockSize: blockSize, SizeMiB: sizeMiB})
		d := p.Map(ctx, p.Request(export))
		Expect(p.Size(ctx, d)).To(BeEquivalentTo(sizeMiB<<20), "bytes")
		Expect(p.Queue(ctx, d, "logical_block_size")).To(Equal(strconv.Itoa(blockSize)))
		Expect(p.Queue(ctx, d, "physical_block_size")).To(Equal(p.ExportQueue(ctx, export, "physical_block_size")))
	},
		Entry("with blocks of 512 bytes", kit.Smoke, claim.Clauses("IBNBD-OPEN-001", "IBNBD-OPEN-002"), 512, 16),
		Entry("with blocks of 1024 bytes", claim.Clauses("IBNBD-OPEN-001", "IBNBD-OPEN-002"), 1024, 8),
		Entry("with blocks of 4096 bytes", claim.Clauses("IBNBD-OPEN-001", "IBNBD-OPEN-002"), 4096, 32),
		Entry("of a single MiB", claim.Clauses("IBNBD-OPEN-001"), 512, 1),
	)

	It("offers discard and write-zeroes only where the export does", claim.Clauses("IBNBD-IO-006", "IBNBD-IO-007"), func(ctx SpecContext) {
		with := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{Discard: true})))
		without := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
		Expect(p.Queue(ctx, with, "discard_max_bytes")).NotTo(Equal("0"))
		Expect(p.Queue(ctx, without, "discard_max_bytes")).To(Equal("0"))
	})

	It("shows a write cache where the export has one", claim.Clauses("IBNBD-COMPAT-004"), func(ctx SpecContext) {
		cached := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{Cache: true})))
		plain := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
		Expect(p.Queue(ctx, cached, "write_cache")).To(Equal("write back"))
		Expect(p.Queue(ctx, plain, "write_cache")).To(Equal("write through"))
	})

	It("gives each device of a session its own id, the first included", claim.Clauses("IBNBD-OPEN-014"), func(ctx SpecContext) {
		first := p.Export(ctx, subject.ExportSpec{SizeMiB: 4})
		r := p.Request(first)
		a := p.Map(ctx, r)
		second := p.Export(ctx, subject.ExportSpec{SizeMiB: 8})
		r.Device = second.Path
		b := p.Map(ctx, r)
		p.WriteStamped(ctx, a, 0, 4096)
		p.WriteStamped(ctx, b, 0, 4096)
		p.VerifyStamped(ctx, a)
		p.VerifyStamped(ctx, b)
	})
})
