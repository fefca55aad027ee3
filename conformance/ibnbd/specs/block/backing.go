// SPDX-License-Identifier: Apache-2.0

package block

import (
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// What becomes of I/O on the disk behind an export.

var _ = Describe("the disk behind an export", func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	It("has completed a write before the initiator hears of it", claim.Clauses("IBTRS-IO-031"), func(ctx SpecContext) {
		const latency = 300 * time.Millisecond
		device := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{Latency: latency})))
		begin := time.Now()
		p.WriteStamped(ctx, device, 0, 4096)
		p.Measure("a write on a slow disk", time.Since(begin), verdict.Bound{AtLeast: latency, Limit: latency + kit.AtOnce, Formula: "the disk's latency"})
	})

	It("is flushed when the initiator's is", kit.Smoke, claim.Clauses("IBNBD-IO-004"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{Cache: true})
		device := p.Map(ctx, p.Request(export))
		p.WriteStamped(ctx, device, 0, 4096)
		before := p.Flushes(ctx, export)
		Expect(p.Flush(ctx, device)).To(Succeed())
		Expect(p.Flushes(ctx, export)).To(BeNumerically(">", before), "flushes")
	})

	It("has made a FUA write durable before the initiator hears of it", claim.Clauses("IBNBD-IO-009"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{Cache: true})
		device := p.Map(ctx, p.Request(export))
		if p.Queue(ctx, device, "fua") != "1" {
			specreport.Skip(verdict.AbilityMissing, "%s does not take FUA writes", device.Disk)
		}
		before := p.Flushes(ctx, export)
		Expect(p.WriteDurably(ctx, device, make([]byte, 4096), 8192)).To(Succeed())
		Expect(p.Flushes(ctx, export)).To(BeNumerically(">", before), "flushes")
	})

	It("cannot be mapped for writing when it is read-only, and for reading it can", claim.Clauses("IBNBD-OPEN-015"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{})
		p.SetReadOnly(ctx, export)
		p.RefusesMap(ctx, p.Request(export))
		r := p.Request(export)
		r.Access = ibnbd.ReadOnly.String()
		Expect(p.ReadAt(ctx, p.Map(ctx, r), make([]byte, 4096), 0)).To(Succeed())
	})

	It("gives EACCES to who would write it when it is read-only", claim.Clauses("IBNBD-OPEN-036"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{})
		p.SetReadOnly(ctx, export)
		_, err := p.TryMap(ctx, p.Request(export))
		Expect(err).To(MatchError(syscall.EACCES))
	})

	It("gives errors and no hang when it goes away under a mapping", claim.Clauses("IBNBD-FAIL-013"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{})
		device := p.Map(ctx, p.Request(export))
		p.WriteStamped(ctx, device, 0, 4096)
		p.Withdraw(ctx, export)
		p.WithinTime(ctx, "I/O on a disk that is gone", kit.AtOnce, func() {
			Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).NotTo(Succeed())
			Expect(p.WriteAt(ctx, device, make([]byte, 4096), 0)).NotTo(Succeed())
		})
		p.Unmap(ctx, device, subject.UnmapNormal)
	})

	It("gets requests larger than the session's limit in parts", claim.Clauses("IBTRS-IO-028"), func(ctx SpecContext) {
		export := p.Export(ctx, subject.ExportSpec{})
		device := p.Map(ctx, p.Request(export))
		p.WriteStamped(ctx, device, 512, 4<<20)
		p.VerifyStamped(ctx, device)
		p.VerifyStampedOnExport(ctx, export)
	})
})
