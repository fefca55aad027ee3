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
)

var _ = Describe("a session with four paths", kit.Rails(4), func() {
	const paths = 4
	var (
		p      *pair.Pair
		device subject.Device
	)

	// mapAll maps an export over all paths, with a policy.
	mapAll := func(ctx SpecContext, spec subject.ExportSpec, policy string) {
		GinkgoHelper()
		p = pair.Current()
		r := p.Request(p.Export(ctx, spec))
		r.Paths = nil
		for rail := range paths {
			r.Paths = append(r.Paths, p.Path(rail))
		}
		device = p.Map(ctx, r)
		Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(r.Paths))
		Expect(p.Initiator.SetPolicy(ctx, device.Session, policy)).To(Succeed())
	}

	// carried gives the number of requests that each path carries meanwhile.
	carried := func(ctx SpecContext, do func()) (n [paths]uint64) {
		GinkgoHelper()
		for rail := range n {
			n[rail] = p.IOCount(ctx, device.Session, p.Path(rail))
		}
		do()
		for rail := range n {
			n[rail] = p.IOCount(ctx, device.Session, p.Path(rail)) - n[rail]
		}
		return n
	}
	// load writes so many blocks of 4 KiB and reads them back.
	load := func(ctx SpecContext, count int64) func() {
		return func() {
			GinkgoHelper()
			for i := range count {
				p.WriteStamped(ctx, device, i*4096, 4096)
			}
			p.VerifyStamped(ctx, device)
		}
	}

	It("takes turns over all of them under round-robin", claim.Clauses("IBTRS-MP-002", "IBTRS-CONN-028"), func(ctx SpecContext) {
		mapAll(ctx, subject.ExportSpec{}, "rr")
		n := carried(ctx, load(ctx, 32))
		quarter := (n[0] + n[1] + n[2] + n[3]) / paths
		Expect(n).To(HaveEach(BeNumerically("~", quarter, 1+quarter/5)), "requests on the paths")
	})

	It("uses all of them under min-inflight", claim.Clauses("IBTRS-MP-003"), func(ctx SpecContext) {
		const reads = 32 // at a time, on a disk that is slow enough for all to be under way at once, on any machine
		mapAll(ctx, subject.ExportSpec{Latency: 3 * time.Second}, "mi")
		n := carried(ctx, func() { Expect(p.StartReads(ctx, device, reads, 4096).Wait(ctx)).To(HaveEach(BeNil())) })
		Expect(n).To(HaveEach(BeNumerically("~", reads/paths, reads/paths/2)), "requests on the paths")
	})

	It("uses those that are left when two are disconnected, and all again when they are back",
		claim.Clauses("IBTRS-MP-005", "IBTRS-PATH-011"), func(ctx SpecContext) {
			mapAll(ctx, subject.ExportSpec{}, "rr")
			for _, rail := range []int{0, 2} {
				Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(rail))).To(Succeed())
			}
			n := carried(ctx, load(ctx, 16))
			Expect([]uint64{n[0], n[2]}).To(HaveEach(BeZero()), "requests on disconnected paths")
			Expect([]uint64{n[1], n[3]}).To(HaveEach(BeNumerically(">=", 12)), "requests on connected paths")
			for _, rail := range []int{0, 2} {
				Expect(p.Initiator.ReconnectPath(ctx, device.Session, p.Path(rail))).To(Succeed())
			}
			Expect(carried(ctx, load(ctx, 16))).To(HaveEach(BeNumerically(">", 0)), "requests on the paths")
		})
})
