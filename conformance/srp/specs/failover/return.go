// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
)

// disable disables the target port, until enable is called or the spec ends.
func disable(ctx SpecContext, p *pair.Pair) (enable func(context.Context)) {
	GinkgoHelper()
	err := p.Target.Control(ctx, attacks.Disable)
	if errors.Is(err, foreign.ErrNotSupported) {
		specreport.Skip(verdict.NoHook, "%v", err)
	}
	Expect(err).NotTo(HaveOccurred())
	done := false
	enable = func(ctx context.Context) {
		GinkgoHelper()
		if !done {
			done = true
			Expect(p.Target.Control(ctx, attacks.Enable)).To(Succeed())
		}
	}
	DeferCleanup(enable)
	return enable
}

var _ = Describe("a target that disconnects", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	It("and rejects logins for a while is reconnected, and no I/O fails meanwhile", kit.Takes(12), claim.Clauses(
		"SRP-STATE-002", "SRP-STATE-005", "SRP-STATE-006", "SRP-STATE-015", "SRP-TMO-011", "SRP-RECON-001", "SRP-RECON-010", "SRP-RECON-014",
		"SRP-RECON-016", "SRP-RECON-021", "SRP-RECON-022", "SRP-RECON-023"), func(ctx SpecContext) {
		const delay, most = time.Second, 600 * time.Second
		port := p.Connect(ctx, 0, "")
		p.Timers(ctx, port, subject.Timers{FastIOFail: most, DevLoss: subject.Off, ReconnectDelay: delay})
		watch := p.Watch(ctx, port)
		probe := p.Probe(ctx, port.Disks[0], kit.ProbeOptions{Write: true})
		probe.Await(ctx, 10)
		requests := p.WatchConnectRequests()

		lost := p.Mark("the target disconnects")
		enable := disable(ctx, p)
		p.Until(ctx, "port and disks are blocked", kit.AtOnce, func() bool { return watch.Is(subject.Blocked, subject.Blocked) })
		p.Until(ctx, "three attempts have failed", 5*delay+slack, func() bool { return p.FailedReconnects(ctx, port) >= 3 })
		p.Mark("the target lets initiators in again")
		enable(ctx)
		p.Until(ctx, "port and disks run again", delay+slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		Expect(p.FailedReconnects(ctx, port)).To(BeZero(), "failed_reconnects after the reconnect")
		probe.AwaitSuccess(ctx, 10)
		ios := probe.Stop(ctx)

		p.Plot(ios)
		p.Measure("disconnect to blocked", watch.PortAfter(lost, subject.Blocked).Sub(lost), verdict.Bound{
			Limit: delay, Formula: "less than the shortest timer, reconnect_delay 1s",
		})
		const late = delay/4 + 2*kit.SamplePeriod
		p.Measure("disconnect to the first connection request", requests()[0].At.Sub(lost), verdict.Bound{
			AtLeast: delay - kit.SamplePeriod, Limit: delay + late, Formula: "reconnect_delay 1s, and what a timer is late by",
		})
		Expect(ios.Errors()).To(BeEmpty(), "I/O while fast_io_fail_tmo has not expired")
		Expect(p.Initiator.Ports(ctx)).To(Equal([]subject.Port{port}), "names, numbers and disks after the reconnect")
		p.VerifyWrites(ctx, ios, port.Disks[0])
	})

	It("takes disks to transport-offline at once if fast_io_fail_tmo is 0", kit.Takes(6), claim.Clauses("SRP-STATE-001", "SRP-STATE-004", "SRP-STATE-005", "SRP-STATE-014"),
		func(ctx SpecContext) {
			const delay = 2 * time.Second
			port := p.Connect(ctx, 0, "")
			p.Timers(ctx, port, subject.Timers{FastIOFail: 0, DevLoss: subject.Off, ReconnectDelay: delay})
			watch := p.Watch(ctx, port)
			lost := p.Mark("the target disconnects")
			enable := disable(ctx, p)
			p.Until(ctx, "the port has failed", kit.AtOnce, func() bool { return watch.Is(subject.FailFast, subject.TransportOffline) })
			p.Measure("disconnect to fail-fast", watch.PortAfter(lost, subject.FailFast).Sub(lost), verdict.Bound{
				Limit: time.Second, Formula: "less than any timer",
			})
			begin := time.Now()
			Expect(p.ReadAt(ctx, port.Disks[0], make([]byte, 4096), 0)).NotTo(Succeed(), "a read of a disk that is transport-offline")
			p.Measure("a read of such a disk", time.Since(begin), verdict.Bound{Limit: time.Second, Formula: "less than any timer"})
			enable(ctx)
			p.Until(ctx, "port and disks run again", 5*delay+slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		})

	It("is reconnected when it has been started anew", kit.Takes(12), claim.Clauses("SRP-RECON-015", "SRP-STATE-005", "SRP-STATE-006"), func(ctx SpecContext) {
		const delay = 2 * time.Second
		port := p.Connect(ctx, 0, "")
		p.Timers(ctx, port, subject.Timers{FastIOFail: 10 * time.Second, DevLoss: subject.Off, ReconnectDelay: delay})
		watch := p.Watch(ctx, port)
		lost := p.Mark("the target ends")
		Expect(p.Target.Stop(ctx)).To(Succeed())
		p.Until(ctx, "the loss is seen", kit.AtOnce, func() bool { return !watch.PortAfter(lost, subject.Blocked).IsZero() })
		p.Mark("the target begins")
		Expect(p.Target.Start(ctx)).To(Succeed())
		p.Until(ctx, "port and disks run again", 5*delay+slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		Expect(p.ReadAt(ctx, port.Disks[1], make([]byte, 4096), 0)).To(Succeed())
		Expect(p.Initiator.Ports(ctx)).To(Equal([]subject.Port{port}), "names, numbers and disks after the reconnect")
	})
})

var _ = Describe("disks are kept", pair.OfInitiator, func() {
	var p *pair.Pair

	BeforeEach(func() { p = pair.Current() })

	It("when the RDMA device is removed, and work when it is back", kit.Takes(10), claim.Clauses("SRP-STATE-012"), func(ctx SpecContext) {
		port := p.Connect(ctx, 0, pair.Breaks)
		p.Timers(ctx, port, subject.Timers{FastIOFail: 5 * time.Second, DevLoss: subject.Off, ReconnectDelay: time.Second})
		watch := p.Watch(ctx, port)
		removed := p.Mark("the RDMA device is removed")
		putBack := p.RemoveRDMADevice(ctx, 0)
		p.Until(ctx, "the loss is seen", kit.AtOnce, func() bool {
			return watch.After(removed, func(l subject.Look) bool { return l.Port != subject.Running }).At.After(removed)
		})
		kept := p.Keeps(ctx, watch, kit.AtOnce)
		putBack(ctx)
		p.Expect("SRP-STATE-012", kept, "port and disks have gone %s after the RDMA device was removed", watch.Now().At.Sub(removed).Round(kit.SamplePeriod))
		p.Until(ctx, "port and disks run again", slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		Expect(p.ReadAt(ctx, port.Disks[0], make([]byte, 4096), 0)).To(Succeed())
	})

	It("when the target comes back before the removal has begun", kit.Takes(75), kit.Extended, claim.Clauses("SRP-STATE-011"), func(ctx SpecContext) {
		const outage = 50 * time.Second
		port := p.Connect(ctx, 0, pair.Breaks)
		// The attempt that begins after 10 s is still running when the wire is whole again, far behind dev_loss_tmo.
		p.Timers(ctx, port, subject.Timers{FastIOFail: 5 * time.Second, DevLoss: 15 * time.Second, ReconnectDelay: 10 * time.Second})
		watch := p.Watch(ctx, port)
		struck := p.Mark("loss: no packet of RDMA arrives")
		heal := p.LoseRDMA(0)
		p.StartReads(ctx, port.Disks[0], 1, 4096)
		p.Until(ctx, "the wire was silent for so long", outage+kit.AtOnce, func() bool {
			return time.Since(struck) > outage || watch.Now().Port == subject.Gone
		})
		if watch.Now().Port == subject.Gone {
			heal(ctx)
			returnInTime(ctx, p)
			return
		}
		replies := p.CountConnectReplies()
		healed := p.Mark("heal")
		heal(ctx)
		p.Until(ctx, "the target has accepted a login", slack, func() bool { return replies() > 0 })
		p.Until(ctx, "the port is not failed any more", kit.AtOnce, func() bool { return watch.Now().Port != subject.FailFast })
		p.Expect("SRP-STATE-011", p.Keeps(ctx, watch, kit.AtOnce), "port and disks have gone %s after the heal, though the target has accepted the login", watch.Now().At.Sub(healed).Round(kit.SamplePeriod))
	})
})

// returnInTime has a target come back before dev_loss_tmo, of an initiator that acts on that in time, and waits until it would have expired.
func returnInTime(ctx SpecContext, p *pair.Pair) {
	timers := subject.Timers{FastIOFail: 2 * time.Second, DevLoss: 25 * time.Second, ReconnectDelay: time.Second}
	port := p.Connect(ctx, 0, pair.Breaks) // which ends what the target still has of the port that is gone
	p.Timers(ctx, port, timers)
	watch := p.Watch(ctx, port)
	struck := p.Mark("loss: no packet of RDMA arrives")
	heal := p.LoseRDMA(0)
	p.StartReads(ctx, port.Disks[0], 1, 4096)
	p.Until(ctx, "the port has failed", p.FailBound(5, timers).Limit+slack, func() bool { return watch.Now().Port == subject.FailFast })
	p.Mark("heal")
	heal(ctx)
	p.Until(ctx, "port and disks run again", timers.DevLoss, func() bool { return watch.Is(subject.Running, subject.Running) })
	expiry := watch.PortAfter(struck, subject.Blocked).Add(timers.DevLoss)
	p.Expect("SRP-STATE-011", p.Keeps(ctx, watch, time.Until(expiry)+kit.AtOnce), "port and disks have gone after a reconnect before dev_loss_tmo")
}

var _ = Describe("targets that are lost together", pair.OfInitiator, func() {
	It("are reconnected one at a time", kit.Takes(30), claim.Clauses("SRP-RECON-004"), func(ctx SpecContext) { loseTogether(ctx, 4) })
	It("are reconnected one at a time: 16", kit.Takes(60), kit.Extended, claim.Clauses("SRP-RECON-004"), func(ctx SpecContext) { loseTogether(ctx, 16) })
})

// loseTogether loses so many targets at once, by a silent wire, and gets them back.
func loseTogether(ctx SpecContext, count int) {
	GinkgoHelper()
	p := pair.Current()
	var ports []subject.Port
	for n := range count {
		port := p.Connect(ctx, 0, fmt.Sprintf("%s,ch_count=1,initiator_ext=%x", pair.Breaks, n+1))
		p.Timers(ctx, port, subject.Timers{FastIOFail: 30 * time.Second, DevLoss: subject.Off, ReconnectDelay: 2 * time.Second})
		ports = append(ports, port)
	}
	requests := p.WatchConnectRequests()
	p.Mark("loss: no packet of RDMA arrives")
	heal := p.LoseRDMA(0)
	for _, port := range ports {
		p.StartReads(ctx, port.Disks[0], 1, 4096)
	}
	// A connection request that is repeated shows that its attempt was unfinished until then. As many attempts as there are ports show
	// that there was more than one to make.
	p.Until(ctx, "attempts overlap, or follow each other", p.Detection().Limit+slack+time.Duration(count)*pair.AttemptMax, func() bool {
		return len(overlap(requests())) > 0 || repeated(requests()) && attempts(requests()) >= count
	})
	seen := requests()
	p.Mark("heal")
	heal(ctx)
	for _, port := range ports {
		p.Until(ctx, port.Name+" runs again", slack, func() bool { return p.Look(ctx, port).Port == subject.Running })
	}
	p.Expect("SRP-RECON-004", len(overlap(seen)) == 0, "attempts have begun while that of another port was unfinished: %v", overlap(seen))
}

// repeated says whether any connection was asked for twice.
func repeated(requests []kit.ConnectRequest) bool {
	seen := make(map[uint32]bool)
	return slices.ContainsFunc(requests, func(r kit.ConnectRequest) bool {
		before := seen[r.ID]
		seen[r.ID] = true
		return before
	})
}

// attempts counts the connections that were asked for.
func attempts(requests []kit.ConnectRequest) int {
	seen := make(map[uint32]bool)
	for _, r := range requests {
		seen[r.ID] = true
	}
	return len(seen)
}

// overlap lists how long after the first request of one connection those of others were first asked for, of which that one was asked for again
// afterwards.
func overlap(requests []kit.ConnectRequest) (after []time.Duration) {
	first, last := make(map[uint32]time.Time), make(map[uint32]time.Time)
	for _, r := range requests {
		if _, is := first[r.ID]; !is {
			first[r.ID] = r.At
		}
		last[r.ID] = r.At
	}
	for id, begun := range first {
		if last[id].Equal(begun) {
			continue
		}
		for other, at := range first {
			if other != id && at.After(begun) && at.Before(last[id]) {
				after = append(after, at.Sub(begun))
			}
		}
	}
	slices.Sort(after)
	return after
}
