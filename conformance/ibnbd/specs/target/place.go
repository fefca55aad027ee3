// SPDX-License-Identifier: Apache-2.0

package target

import (
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Where a target is found, and how many clients it has a place for.

var _ = Describe("a target", func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	// shallow makes the target serve with a queue so short that its memory is enough for many sessions and paths.
	shallow := func(ctx SpecContext) {
		GinkgoHelper()
		opts := p.TargetOptions()
		opts.QueueDepth = 4
		p.RestartTarget(ctx, opts)
	}

	It("is found at port 1234 of the TCP port space", claim.Clauses("IBTRS-CONN-001", "IBTRS-CONN-002"), func(ctx SpecContext) {
		const service = 0x0000000001060000 + 1234
		requests := p.WatchConnectRequests()
		client := newTester(p, p.Export(ctx, subject.ExportSpec{}))
		Expect(client.NewSession().NewPath(0).Connect(ctx)).To(Succeed())
		Expect(requests()).NotTo(BeEmpty())
		Expect(requests()).To(HaveEach(HaveField("Service", BeEquivalentTo(service))))
	})

	It("rejects the 129th path of a session", kit.Takes(25), kit.Extended, claim.Clauses("IBTRS-CONN-035", "IBTRS-CONN-060"), func(ctx SpecContext) {
		const rails = 2
		shallow(ctx)
		var ways []tester.Rail // no two paths of a session may have the same addresses
		for i := range ibtrs.MaxPaths + 1 {
			rail := i % rails
			ways = append(ways, tester.Rail{Device: p.StationAt(rail, i/rails), Addr: netip.AddrPortFrom(p.TargetAddr(rail), ibtrs.DefaultPort)})
		}
		Expect(attacks.TooManyPaths(ctx, newTesterOver(p.Export(ctx, subject.ExportSpec{}), ways...))).To(Succeed())
	})

	It("has a place for 128 sessions", kit.Takes(20), kit.Extended, claim.Clauses("IBNBD-LIM-006"), func(ctx SpecContext) {
		const sessions, size = 128, 4096
		shallow(ctx)
		export := p.Export(ctx, subject.ExportSpec{})
		client := newTester(p, export)
		for i := range sessions {
			path, opened, err := client.NewSession().Ready(ctx, export.Path, ibnbd.ReadOnly)
			Expect(err).NotTo(HaveOccurred(), "session %d", i+1)
			_, err = path.ReadAt(ctx, opened.DeviceID, uint64(i), size)
			Expect(err).NotTo(HaveOccurred(), "a read in session %d", i+1)
		}
	})

	It("ends a path on which INFO does not come", kit.Takes(65), kit.Extended, claim.Clauses("IBTRS-CONN-050"), func(ctx SpecContext) {
		const halfOpen = 60 * time.Second
		export := p.Export(ctx, subject.ExportSpec{})
		client := tester.New(tester.Target{
			Rails:   []tester.Rail{{Device: p.Station(0), Addr: netip.AddrPortFrom(p.TargetAddr(0), ibtrs.DefaultPort)}},
			Exports: [2]string{export.Path, export.Path}, Patience: halfOpen + kit.AtOnce,
		})
		DeferCleanup(client.Close)
		begin := time.Now()
		Expect(attacks.HalfOpen(ctx, client)).To(Succeed())
		p.Measure("connection to its end", time.Since(begin), verdict.Bound{Limit: halfOpen + kit.AtOnce, Formula: "the project's own limit of 60 s"})
	})
})
