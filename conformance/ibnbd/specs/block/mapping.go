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
)

// How devices are mapped and given up, by whatever means an initiator has for that.

var _ = Describe("an initiator", func() {
	It("refuses an I/O mode that is unknown with EINVAL", claim.Clauses("IBNBD-SYSFS-007"), func(ctx SpecContext) {
		p := pair.Current()
		r := p.Request(p.Export(ctx, subject.ExportSpec{}))
		for _, mode := range []string{"blockio", "fileio"} {
			r.IOMode = mode
			p.Unmap(ctx, p.Map(ctx, r), subject.UnmapNormal)
			Eventually(p.Target.Sessions).WithContext(ctx).Should(BeEmpty())
		}
		r.IOMode = "netio"
		_, err := p.TryMap(ctx, r)
		Expect(err).To(MatchError(syscall.EINVAL))
		sessions, err := p.Target.Sessions(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(sessions).To(BeEmpty())
	})

	It("takes a device away by force while it is in use, and fails its I/O", kit.Takes(15), claim.Clauses("IBNBD-SYSFS-022"), func(ctx SpecContext) {
		p := pair.Current()
		slow := p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{Latency: 2 * time.Second})))
		reads := p.StartReads(ctx, slow, 8, 4096)
		p.Unmap(ctx, slow, subject.UnmapForce)
		Expect(p.DiskThere(ctx, slow)).To(BeFalse())
		for _, err := range reads.Wait(ctx) {
			Expect(err).To(MatchError(syscall.EIO))
		}
	})
})
