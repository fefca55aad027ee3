// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// What an initiator finds changed when the target comes back.

var _ = Describe("a target that comes back", kit.Takes(40), func() {
	It("with a larger export gives its disk the new size", claim.Clauses("IBNBD-FAIL-003"), func(ctx SpecContext) {
		p := pair.Current()
		if !p.Initiator.Info().Sysfs {
			specreport.Skip(verdict.NoTool, "the disk stands behind NBD, whose size is fixed while it is connected")
		}
		export := p.Export(ctx, subject.ExportSpec{SizeMiB: 16})
		device := p.Map(ctx, p.Request(export))
		Expect(p.Size(ctx, device)).To(BeEquivalentTo(16 << 20))
		outage(ctx, p, []subject.Device{device}, func(ctx context.Context) {
			larger := export.ExportSpec
			larger.SizeMiB = 24
			p.Reprovide(ctx, export, larger)
		})
		Eventually(func() int64 { return p.Size(ctx, device) }).WithContext(ctx).WithTimeout(kit.AtOnce).Should(BeEquivalentTo(24 << 20))
		p.WriteStamped(ctx, device, 20<<20, 4096)
		p.VerifyStamped(ctx, device)
	})

	It("with other device ids serves each disk its own export", claim.Clauses("IBNBD-FAIL-002", "IBNBD-FAIL-001"), func(ctx SpecContext) {
		p := pair.Current()
		exports, devices := mapTogether(ctx, p, 3)
		p.Unmap(ctx, devices[0], subject.UnmapNormal) // its id is free when the others are opened again
		rest := devices[1:]
		outage(ctx, p, rest, func(context.Context) {})
		for i, d := range rest {
			p.WriteStamped(ctx, d, int64(i)*8192, 8192)
		}
		for _, e := range exports[1:] {
			p.VerifyStampedOnExport(ctx, e)
		}
	})

	It("without one of its exports leaves that disk closed and serves the others", claim.Clauses("IBNBD-FAIL-004"), func(ctx SpecContext) {
		p := pair.Current()
		exports, devices := mapTogether(ctx, p, 2)
		outage(ctx, p, devices[:1], func(ctx context.Context) { p.Withdraw(ctx, exports[1]) })
		Expect(p.State(ctx, devices[1])).To(Equal("closed"))
		Expect(p.ReadAt(ctx, devices[1], make([]byte, 4096), 0)).NotTo(Succeed())
		p.WriteStamped(ctx, devices[0], 0, 4096)
		p.VerifyStamped(ctx, devices[0])
	})
})

// outage stops the target, lets something change, starts the target, and waits until the devices are open again.
func outage(ctx context.Context, p *pair.Pair, devices []subject.Device, change func(context.Context)) {
	GinkgoHelper()
	var watches []*pair.Watch
	for _, d := range devices {
		watches = append(watches, p.Watch(ctx, d))
	}
	timers := p.Initiator.Timers()
	p.Mark("the target stops")
	p.StopTarget(ctx)
	p.Until(ctx, "the devices are closed", timers.Detection().Limit+slack, func() bool { return allAre("closed", watches...) })
	change(ctx)
	p.Mark("the target starts")
	p.StartTarget(ctx)
	p.Until(ctx, "the devices are open again", timers.Reconnect().Limit+slack, func() bool { return allAre("open", watches...) })
}

// allAre says whether all devices are in a state. None may be lost meanwhile: that ends the spec.
func allAre(state string, watches ...*pair.Watch) bool {
	GinkgoHelper()
	for _, w := range watches {
		is := w.State()
		Expect(is).NotTo(Equal(pair.Gone), "state of a device")
		if is != state {
			return false
		}
	}
	return true
}

// mapTogether maps so many exports in one session.
func mapTogether(ctx context.Context, p *pair.Pair, count int) (exports []subject.Export, devices []subject.Device) {
	GinkgoHelper()
	session := ""
	for range count {
		e := p.Export(ctx, subject.ExportSpec{})
		r := p.Request(e)
		if session == "" {
			session = r.Session
		}
		r.Session = session
		exports, devices = append(exports, e), append(devices, p.Map(ctx, r))
	}
	return exports, devices
}
