// SPDX-License-Identifier: Apache-2.0

// Package failover has the specs in which an initiator loses its target and gets it back: what applications and administrators see
// meanwhile, and when; with times of packets where those tell them.
package failover

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/srp/pair"
	"github.com/ibnbd/ibnbd/conformance/srp/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// loss is a way to lose a target so that it cannot say goodbye.
type loss struct {
	name   string
	strike func(context.Context, *pair.Pair) (heal func(context.Context))
}

var losses = []loss{
	{"a silent wire", func(_ context.Context, p *pair.Pair) func(context.Context) { return p.Lose(0, kit.BothWays) }},
	{"a loss of the carrier", func(_ context.Context, p *pair.Pair) func(context.Context) { return p.LoseCarrier(0) }},
	{"a target that stands still", func(ctx context.Context, p *pair.Pair) func(context.Context) { p.Hang(ctx); return p.Resume }},
}

// slack is added to how long a spec waits, not to what it accepts, so that a late event is measured and shown beside its bound.
const slack = 90 * time.Second

// early is fast_io_fail_tmo before the first attempt, by which mainline acts on it in time.
var early = subject.Timers{FastIOFail: 5 * time.Second, DevLoss: subject.Off, ReconnectDelay: 10 * time.Second}

var _ = Describe("the target is lost by", pair.OfInitiator, func() {
	for _, l := range losses {
		It(l.name+": I/O fails within the bound, and disks come back", kit.Takes(25), claim.Clauses(
			"SRP-TMO-004", "SRP-STATE-001", "SRP-STATE-003", "SRP-STATE-005", "SRP-STATE-006", "SRP-STATE-007", "SRP-STATE-008", "SRP-STATE-009",
			"SRP-RECON-001", "SRP-RECON-015", "SRP-RECON-021", "SRP-RECON-022", "SRP-ROB-004"), func(ctx SpecContext) { lose(ctx, l) })
	}
})

// lose has an application write while the target is lost, and comes back after I/O has failed.
func lose(ctx SpecContext, l loss) {
	const retries = 5
	p := pair.Current()
	port := p.Connect(ctx, 0, pair.Breaks)
	p.Timers(ctx, port, early)
	watch := p.Watch(ctx, port)
	probe := p.Probe(ctx, port.Disks[0], kit.ProbeOptions{Write: true})
	probe.Await(ctx, 20)

	struck := p.Mark("loss: " + l.name)
	heal := l.strike(ctx, p)
	p.Until(ctx, "the port has failed", p.FailBound(retries, early).Limit+slack, func() bool {
		return watch.Is(subject.FailFast, subject.TransportOffline)
	})
	probe.Await(ctx, 3)
	healed := p.Mark("heal")
	heal(ctx)
	p.Until(ctx, "port and disks run again", early.ReconnectDelay+slack, func() bool { return watch.Is(subject.Running, subject.Running) })
	probe.AwaitSuccess(ctx, 5)
	ios := probe.Stop(ctx)

	p.Plot(ios)
	blocked, failed := watch.PortAfter(struck, subject.Blocked), watch.PortAfter(struck, subject.FailFast)
	Expect(blocked).NotTo(BeZero(), "the port was never blocked")
	p.Measure("loss to blocked", blocked.Sub(struck), p.Detection())
	expires := pair.FastIOFail(early)
	p.Measure("blocked to fail-fast", failed.Sub(blocked), verdict.Bound{
		AtLeast: early.FastIOFail - 3*kit.SamplePeriod, Limit: expires.Limit + 3*kit.SamplePeriod, Formula: expires.Formula + ", and three looks",
	})
	p.Measure("loss to first I/O error", ios.FirstError(struck).Sub(struck), p.FailBound(retries, early))
	p.Measure("heal to running", watch.PortAfter(healed, subject.Running).Sub(healed), verdict.Bound{})
	Expect(p.Initiator.Ports(ctx)).To(Equal([]subject.Port{port}), "names, numbers and disks after the reconnect")
	Expect(p.FailedReconnects(ctx, port)).To(BeZero())
	p.VerifyWrites(ctx, ios, port.Disks[0])
}

// slow are losses with I/O outstanding in which much time may pass until that fails.
var slow = []struct {
	name    string
	retries int
	timers  subject.Timers
	lose    func(*pair.Pair) (heal func(context.Context))
	start   func(*kit.Testbed, context.Context, kit.BlockDevice, int, int) *kit.Started
	count   int
	clauses []string
	takes   int // seconds that mainline takes
}{
	{"with the usual timers, and 4 reads outstanding", 5, subject.MainlineTimers, deaf, (*kit.Testbed).StartReads, 4, inAttempt, 95},
	{"while the first attempt runs, and 4 reads are outstanding", 5, subject.Timers{FastIOFail: 5 * time.Second, DevLoss: subject.Off, ReconnectDelay: 2 * time.Second},
		deaf, (*kit.Testbed).StartReads, 4, inAttempt, 85},
	// Writes whose data are in the command need no registration, whose repetition soft-RoCE lets fail.
	{"with a queue pair that never gives up, and 4 writes outstanding", 7, early, silent, (*kit.Testbed).StartWrites, 4, inTime, 70},
	{"with a queue pair that never gives up, and 16 writes outstanding", 7, early, silent, (*kit.Testbed).StartWrites, 16, inTime, 130},
}

// Where nothing arrives at all, an attempt ends when no address is resolved; where addresses are, it lasts as long as its initiator waits.
func silent(p *pair.Pair) func(context.Context) { return p.Lose(0, kit.BothWays) }
func deaf(p *pair.Pair) func(context.Context)   { return p.LoseRDMA(0) }

var (
	inTime    = []string{"SRP-TMO-004"}
	inAttempt = append(inTime, "SRP-TMO-010") // fast_io_fail_tmo expires while an attempt runs
)

var _ = Describe("I/O fails within the bound when the target is lost", pair.OfInitiator, kit.Extended, func() {
	for _, s := range slow {
		It(s.name, kit.Takes(s.takes), claim.Clauses(s.clauses...), func(ctx SpecContext) {
			const size = 4096
			p := pair.Current()
			port := p.Connect(ctx, 0, pair.Retries(s.retries))
			p.Timers(ctx, port, s.timers)
			watch := p.Watch(ctx, port)
			struck := p.Mark("loss")
			heal := s.lose(p)
			errs := s.start(p.Testbed, ctx, port.Disks[0], s.count, size).Wait(ctx)
			p.Measure("loss to I/O error", time.Since(struck), p.FailBound(s.retries, s.timers))
			Expect(errs).To(HaveEach(HaveOccurred()), "I/O that was outstanding at the loss")
			p.Mark("heal")
			heal(ctx)
			// Until then the target has the old channel, of whose end it cannot know.
			p.Until(ctx, "port and disks run again", 2*slack, func() bool { return watch.Is(subject.Running, subject.Running) })
		})
	}
})
