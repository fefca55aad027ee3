// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// afterCrash is how long a target may keep what a crashed initiator had (clauses IBTRS-PATH-016, IBNBD-FAIL-008).
var afterCrash = verdict.Bound{Limit: 70 * time.Second, Formula: "the protocol's own limit"}

var _ = Describe("a target whose initiator loses power", kit.Takes(15), func() {
	It("keeps its name and its device from others until it has noticed, and then gives them away",
		claim.Clauses("IBTRS-PATH-016", "IBNBD-FAIL-007", "IBNBD-FAIL-008"), func(ctx SpecContext) {
			p := pair.Current()
			export := p.Export(ctx, subject.ExportSpec{})
			r := p.Request(export)
			r.Access = ibnbd.ReadWrite.String()
			device := p.Map(ctx, r)
			p.WriteStamped(ctx, device, 0, 64<<10)

			lost := p.Mark("the initiator loses power")
			p.InitiatorPowerLoss()
			p.InitiatorPowerBack(ctx)
			p.Mark("the initiator is back")
			named := p.Request(p.Export(ctx, subject.ExportSpec{})) // a disk that nobody has, so that only the name stands against it
			named.Session = r.Session
			p.RefusesMap(ctx, named)
			other := p.Request(export)
			other.Access = ibnbd.ReadWrite.String()
			gone := func() bool { return !p.TargetHasPath(ctx, r.Session, p.Path(0)) }
			stale := p.CountStaleConnections()
			_, err := p.TryMap(ctx, other)
			switch {
			case err == nil: // a connection request from the new machine can tell the target that the old one is gone
				Expect(gone()).To(BeTrue(), "two writers at a time")
			case stale() > 0: // the new machine used a queue pair number of the old one again, and got no further
				Expect(err).To(MatchError(syscall.ECONNRESET), "a connection that the connection manager refused")
			default:
				Expect(err).To(MatchError(syscall.EPERM), "a second writer")
			}
			p.Until(ctx, "the target has let the session go", afterCrash.Limit+slack, gone)
			p.Measure("crash to session gone", time.Since(lost), afterCrash)
			for _, d := range p.Devices(ctx) {
				p.Unmap(ctx, d, subject.UnmapNormal)
			}
			again := p.Map(ctx, r)
			p.VerifyStampedVia(ctx, device, again)
			p.Unmap(ctx, again, subject.UnmapNormal)
			p.Map(ctx, other)
		})
})

var _ = Describe("many sessions to one target", kit.Takes(55), func() {
	It("all come back when it restarts", claim.Clauses("IBNBD-FAIL-001", "IBTRS-PATH-006", "IBTRS-PATH-009", "IBNBD-FAIL-011"), func(ctx SpecContext) {
		const sessions = 24
		p := pair.Current()
		opts := p.TargetOptions()
		opts.QueueDepth = 16 // so that the chunks of all of them fit in the target's memory
		p.RestartTarget(ctx, opts)
		var devices []subject.Device
		for i := range sessions {
			r := p.Request(p.Export(ctx, subject.ExportSpec{SizeMiB: 1}))
			r.Paths = []subject.PathAddr{p.Path(i % 2)}
			devices = append(devices, p.Map(ctx, r))
			p.WriteStamped(ctx, devices[i], 0, 4096)
		}
		requests := p.WatchConnectRequests()
		connections := 3
		timers := p.Initiator.Timers()
		stopped := time.Now()
		outage(ctx, p, devices, func(context.Context) {})
		p.Measure("stop to all sessions open", time.Since(stopped), timers.Reconnect())
		p.Measure("stop to the first attempt on the wire", requests()[0].At.Sub(stopped), verdict.Bound{
			AtLeast: timers.ReconnectDelay + timers.ReconnectSettle, Limit: timers.Pause().Limit + timers.Teardown,
			Formula: "teardown " + timers.Teardown.String() + " + " + timers.Pause().Formula,
		})
		for _, d := range devices {
			p.VerifyStamped(ctx, d)
		}
		Expect(len(requests())).To(BeNumerically("<=", sessions*(connections+2)), "connection requests, two failed attempts for each session at most")
	})
})
