// SPDX-License-Identifier: Apache-2.0

package transport

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

var _ = Describe("a session with two paths", func() {
	var (
		p      *pair.Pair
		export subject.Export
		device subject.Device
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		export = p.Export(ctx, subject.ExportSpec{})
		r := p.Request(export)
		r.Paths = []subject.PathAddr{p.Path(0), p.Path(1)}
		device = p.Map(ctx, r)
	})

	// load writes and reads count blocks of 4 KiB with checks, and gives the number of I/O requests on each path.
	load := func(ctx SpecContext, count int) [2]uint64 {
		GinkgoHelper()
		before := [2]uint64{p.IOCount(ctx, device.Session, p.Path(0)), p.IOCount(ctx, device.Session, p.Path(1))}
		for i := range count {
			p.WriteStamped(ctx, device, int64(i)*4096, 4096)
		}
		p.VerifyStamped(ctx, device)
		return [2]uint64{p.IOCount(ctx, device.Session, p.Path(0)) - before[0], p.IOCount(ctx, device.Session, p.Path(1)) - before[1]}
	}

	It("connects both", kit.Smoke, claim.Clauses("IBTRS-CONN-028"), func(ctx SpecContext) {
		Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(p.Path(0), p.Path(1)))
	})

	It("has min-inflight as its policy", claim.Clauses("IBTRS-MP-001"), func(ctx SpecContext) {
		Expect(p.Initiator.Policy(ctx, device.Session)).To(HavePrefix("min-inflight"))
	})

	It("takes turns under round-robin", claim.Clauses("IBTRS-MP-002"), func(ctx SpecContext) {
		Expect(p.Initiator.SetPolicy(ctx, device.Session, "rr")).To(Succeed())
		n := load(ctx, 32)
		Expect(n[0]).To(BeNumerically("~", n[1], 1+(n[0]+n[1])/10), "requests on the two paths: %v", n)
	})

	It("uses the idle path under min-inflight while the other has requests outstanding", claim.Clauses("IBTRS-MP-003"), func(ctx SpecContext) {
		Expect(p.Initiator.SetPolicy(ctx, device.Session, "mi")).To(Succeed())
		before := [2]uint64{p.IOCount(ctx, device.Session, p.Path(0)), p.IOCount(ctx, device.Session, p.Path(1))}
		Expect(p.StartReads(ctx, device, 64, 4096).Wait(ctx)).To(HaveEach(BeNil()))
		for i := range before {
			Expect(p.IOCount(ctx, device.Session, p.Path(i))).To(BeNumerically(">", before[i]), "path %d took its share", i)
		}
	})

	It("does not use a path that is disconnected", claim.Clauses("IBTRS-MP-005"), func(ctx SpecContext) {
		Expect(p.Initiator.SetPolicy(ctx, device.Session, "rr")).To(Succeed())
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		n := load(ctx, 16)
		Expect(n[0]).To(BeZero())
		Expect(n[1]).To(BeNumerically(">=", 16))
	})

	It("changes its policy under load without an error", claim.Clauses("IBTRS-MP-006"), func(ctx SpecContext) {
		probe := p.Probe(ctx, device, kit.ProbeOptions{Write: true})
		for range 10 {
			for _, policy := range []string{"rr", "mi", "ml"} {
				Expect(p.Initiator.SetPolicy(ctx, device.Session, policy)).To(Succeed())
			}
		}
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty())
	})

	It("loses no I/O when a path is removed under load", claim.Clauses("IBTRS-PATH-019", "IBNBD-FAIL-005"), func(ctx SpecContext) {
		probe := p.Probe(ctx, device, kit.ProbeOptions{Write: true})
		Expect(p.Initiator.RemovePath(ctx, device.Session, p.Path(0))).To(Succeed())
		probe.Await(ctx, 20)
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty())
		p.VerifyWrites(ctx, ios, device)
		Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(p.Path(1)))
	})

	It("carries on when the server closes one path", claim.Clauses("IBNBD-FAIL-005"), func(ctx SpecContext) {
		probe := p.Probe(ctx, device, kit.ProbeOptions{Write: true})
		Expect(p.Target.Disconnect(ctx, device.Session, p.Path(0))).To(Succeed())
		probe.Await(ctx, 20)
		ios := probe.Stop(ctx)
		Expect(ios.Errors()).To(BeEmpty())
		p.VerifyWrites(ctx, ios, device)
	})
})

var _ = Describe("a path", func() {
	var (
		p      *pair.Pair
		device subject.Device
	)

	BeforeEach(func(ctx SpecContext) {
		p = pair.Current()
		device = p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
	})

	It("carries I/O after it was added", claim.Clauses("IBTRS-MP-009", "IBTRS-CONN-053"), func(ctx SpecContext) {
		Expect(p.Initiator.AddPath(ctx, device.Session, p.Path(1))).To(Succeed())
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		before := p.IOCount(ctx, device.Session, p.Path(1))
		p.WriteStamped(ctx, device, 0, 65536)
		p.VerifyStamped(ctx, device)
		Expect(p.IOCount(ctx, device.Session, p.Path(1))).To(BeNumerically(">", before))
	})

	It("can be added over IPv6 beside IPv4", claim.Clauses("IBTRS-CONN-053"), func(ctx SpecContext) {
		Expect(p.Initiator.AddPath(ctx, device.Session, p.Path6(1))).To(Succeed())
		Expect(p.ConnectedPaths(ctx, device.Session)).To(ConsistOf(p.Path(0), p.Path6(1)))
	})

	It("stays closed after disconnect, and comes back by reconnect", claim.Clauses("IBTRS-PATH-010", "IBTRS-PATH-011"), func(ctx SpecContext) {
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		Expect(p.State(ctx, device)).To(Equal("closed"))
		Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).NotTo(Succeed())
		Expect(p.Initiator.ReconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		Eventually(p.State).WithContext(ctx).WithArguments(device).Should(Equal("open"))
		Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).To(Succeed())
	})

	It("fails I/O at once when it is closed and was the last", claim.Clauses("IBNBD-IO-019"), func(ctx SpecContext) {
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		p.WithinTime(ctx, "an I/O without a path", kit.AtOnce, func() {
			Expect(p.ReadAt(ctx, device, make([]byte, 4096), 0)).NotTo(Succeed())
		})
	})

	It("lets its device be unmapped while it is closed", claim.Clauses("IBNBD-FAIL-009"), func(ctx SpecContext) {
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		p.Unmap(ctx, device, subject.UnmapNormal)
	})

	It("refuses another mapping without hanging while it is closed", claim.Clauses("IBNBD-FAIL-010"), func(ctx SpecContext) {
		Expect(p.Initiator.DisconnectPath(ctx, device.Session, p.Path(0))).To(Succeed())
		r := p.Request(p.Export(ctx, subject.ExportSpec{}))
		r.Session = device.Session
		p.RefusesMap(ctx, r)
	})
})

var _ = Describe("a session of several paths", func() {
	It("fails to open as a whole when one path cannot be opened", claim.Clauses("IBTRS-CONN-049"), func(ctx SpecContext) {
		p := pair.Current()
		r := p.Request(p.Export(ctx, subject.ExportSpec{}))
		r.Paths = []subject.PathAddr{p.Path(0), {Source: p.Path(1).Source, Destination: p.UnusedAddr(1)}}
		p.RefusesMap(ctx, r)
		Eventually(p.Target.Sessions).WithContext(ctx).Should(BeEmpty())
	})
})

var _ = Describe("the modules", pair.Sysfs(clauses.Initiator), func() {
	It("close everything on both sides when the client's are unloaded", claim.Clauses("IBNBD-FAIL-012"), func(ctx SpecContext) {
		p := pair.Current()
		p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
		p.Map(ctx, p.Request(p.Export(ctx, subject.ExportSpec{})))
		p.RestartInitiator(ctx)
		Expect(p.Devices(ctx)).To(BeEmpty())
		Eventually(p.Target.Sessions).WithContext(ctx).Should(BeEmpty())
	})

	It("connect and disconnect 20 times and leave nothing behind", claim.Clauses("IBNBD-SYSFS-036"), func(ctx SpecContext) {
		p := pair.Current()
		export := p.Export(ctx, subject.ExportSpec{})
		for range 20 {
			p.Unmap(ctx, p.Map(ctx, p.Request(export)), subject.UnmapNormal)
		}
	})
})
