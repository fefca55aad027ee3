// SPDX-License-Identifier: Apache-2.0

package failover

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/specreport"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
)

// A stale write is one whose application is gone while it is stuck on a silent path. The next application writes newer data to the
// same blocks over the other path, which the old write must not replace: neither when it is sent again, because its path is given
// up, nor when it is repeated there, because the wire is whole again before.

const (
	secondsPerLoss = 75               // detection, and a reconnect
	secondsPerHeal = 25               // the newer writes may wait for the heal
	newerTime      = 10 * time.Second // for the newer writes before the wire heals: shorter than any detection
	requestTime    = 2 * time.Second  // for a request of a connection, before that is ended
	readsOver      = 64               // as many as use every connection of a path
)

var _ = Describe("old writes on a silent path", kit.Extended, claim.Clauses("IBNBD-FAIL-029"), func() {
	for _, l := range []struct {
		name  string
		begin func(context.Context, *pair.Pair, subject.Device) leaver
	}{
		{"whose connection has ended", beginConnected},
		{"whose disk was unmapped by force", beginMapped},
		{"whose process was killed", beginProcess},
	} {
		It(l.name+" do not replace newer ones when the path is given up", kit.Takes(secondsPerLoss), func(ctx SpecContext) {
			p := pair.Current()
			silence := fallSilent(ctx, p, l.begin)
			newer := silence.writeNewer(ctx)
			p.Until(ctx, "the newer writes are acknowledged", p.Initiator.Timers().StallWithPath().Limit+slack, newer.acknowledged)
			p.Until(ctx, "the path is seen to be lost", p.Initiator.Timers().Detection().Limit+slack, silence.lost)
			silence.heal(ctx)
			silence.expectNewer(ctx, newer)
		})
		It(l.name+" do not replace newer ones when the wire heals before that", kit.Takes(secondsPerHeal), func(ctx SpecContext) {
			p := pair.Current()
			silence := fallSilent(ctx, p, l.begin)
			newer := silence.writeNewer(ctx)
			newer.await(newerTime) // an initiator may have them wait
			silence.heal(ctx)
			p.Until(ctx, "the newer writes are acknowledged", p.Initiator.Timers().StallWithPath().Limit+slack, newer.acknowledged)
			silence.expectNewer(ctx, newer)
		})
	}
})

// leaver is an application that writes and goes, or is about to.
type leaver struct {
	// write begins the old writes, of which some are on each path. ended is called when they are out of the kernel.
	write func(ended func())
	// next ends the application and gives the device of the next one.
	next func(ctx context.Context) subject.Device
}

// mapBeside maps a device over two paths, and another in its session, which keeps that. Of several old writes the first goes over
// the first path, and as long as that has some in flight, newer ones go over the other.
func mapBeside(ctx context.Context, p *pair.Pair) (written, other subject.Device) {
	GinkgoHelper()
	first := p.Request(p.Export(ctx, subject.ExportSpec{}))
	first.Paths = firstPaths(p, 2)
	second := first
	second.Device = p.Export(ctx, subject.ExportSpec{}).Path
	written, other = p.Map(ctx, first), p.Map(ctx, second)
	Expect(p.Initiator.SetPolicy(ctx, other.Session, "mi")).To(Succeed())
	return written, other
}

// silence is a first rail that carries nothing, with old writes on it.
type silence struct {
	pair    *pair.Pair
	leaver  leaver
	watch   *pair.Watch
	mend    func(context.Context)
	outside chan struct{} // closed when the old writes are out of the kernel
}

// fallSilent has the first rail carry nothing, and old writes get stuck there.
func fallSilent(ctx context.Context, p *pair.Pair, begin func(context.Context, *pair.Pair, subject.Device) leaver) *silence {
	GinkgoHelper()
	d, other := mapBeside(ctx, p)
	s := &silence{pair: p, leaver: begin(ctx, p, d), watch: p.Watch(ctx, other), outside: make(chan struct{})}
	before := p.IOCount(ctx, d.Session, p.Path(0))
	p.Mark("rail 0 falls silent")
	s.mend = p.Lose(0, kit.BothWays)
	s.leaver.write(func() { close(s.outside) })
	p.Until(ctx, "old writes are on the silent path", kit.AtOnce, func() bool { return p.IOCount(ctx, d.Session, p.Path(0)) > before })
	p.Mark("old writes are stuck")
	return s
}

func (s *silence) lost() bool { return !s.watch.Connected(s.pair.Path(0)) }

func (s *silence) heal(ctx context.Context) {
	GinkgoHelper()
	s.pair.Mark("heal")
	s.mend(ctx)
}

// newerWrites are those of the application that comes next.
type newerWrites struct {
	device subject.Device // once they are acknowledged
	done   chan struct{}
}

// writeNewer ends the old application and has the next one write the same blocks.
func (s *silence) writeNewer(ctx context.Context) *newerWrites {
	n := &newerWrites{done: make(chan struct{})}
	go func() {
		defer GinkgoRecover()
		defer close(n.done)
		n.device = s.leaver.next(ctx)
		s.pair.Mark("the old application is gone")
		for i := range int64(ghosts) {
			s.pair.WriteStamped(ctx, n.device, i*ghostSize, ghostSize)
		}
		s.pair.Mark("newer writes are acknowledged")
	}()
	return n
}

func (n *newerWrites) acknowledged() bool { return closed(n.done) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// await waits until they are acknowledged, but not for longer than a time.
func (n *newerWrites) await(most time.Duration) {
	select {
	case <-n.done:
	case <-time.After(most):
	}
}

// expectNewer expects the newer data when nothing of the old writes can be under way any more: the path is connected, perhaps again,
// and what was repeated on any of its connections has come, because reads that were sent behind it have.
func (s *silence) expectNewer(ctx context.Context, n *newerWrites) {
	GinkgoHelper()
	p, timers := s.pair, s.pair.Initiator.Timers()
	p.Until(ctx, "the old writes have ended", timers.StallWithPath().Limit+slack, func() bool { return closed(s.outside) })
	p.StartReads(ctx, n.device, readsOver, 4096).Wait(ctx) // a read may fail with its path, and is not judged
	p.Until(ctx, "the path is connected", timers.Reconnect().Limit+slack, s.watch.AllConnected)
	p.VerifyStamped(ctx, n.device)
}

// oldWrites writes blocks to a device, all at once, and gives a function that waits for their end. They may fail.
func oldWrites(ctx context.Context, p *pair.Pair, d subject.Device) (wait func()) {
	var all sync.WaitGroup
	for i := range int64(ghosts) {
		block := make([]byte, ghostSize)
		stamp.Fill(block, uint64(i*ghostSize)/stamp.Sector, stamp.Stamp{Sequence: uint64(i)})
		all.Go(func() { _ = p.WriteAt(ctx, d, block, i*ghostSize) })
	}
	return all.Wait
}

// beginConnected is an application that has a connection of its own to the initiator, which the kernel ends when a request takes
// too long. The next one uses the disk of the mapping.
func beginConnected(ctx context.Context, p *pair.Pair, d subject.Device) leaver {
	GinkgoHelper()
	initiator, can := p.Initiator.(subject.Connector)
	if !can {
		specreport.Skip(verdict.AbilityMissing, "applications have no connections to the initiator %s", p.Initiator.Info().Name)
	}
	connected, err := initiator.Connect(ctx, d, requestTime)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) error { return initiator.Disconnect(ctx, connected) })
	ended := make(chan struct{})
	return leaver{
		write: func(outside func()) {
			wait := oldWrites(ctx, p, connected)
			go func() { wait(); close(ended); outside() }()
		},
		next: func(ctx context.Context) subject.Device {
			GinkgoHelper()
			p.Until(ctx, "the kernel has ended the connection", p.Initiator.Timers().Detection().Limit, func() bool { return closed(ended) })
			return d
		},
	}
}

// beginMapped is an application whose disk is unmapped by force while it writes, and mapped again.
func beginMapped(ctx context.Context, p *pair.Pair, d subject.Device) leaver {
	return leaver{
		write: func(outside func()) {
			wait := oldWrites(ctx, p, d)
			go func() { wait(); outside() }()
		},
		next: func(ctx context.Context) subject.Device {
			GinkgoHelper()
			Expect(p.Initiator.Unmap(ctx, d, subject.UnmapForce)).To(Succeed())
			return p.Map(ctx, subject.MapRequest{Session: d.Session, Paths: firstPaths(p, 2), Device: d.Export})
		},
	}
}

// beginProcess is a process that is killed while it writes. The kernel may keep it until its writes have ended.
func beginProcess(ctx context.Context, p *pair.Pair, d subject.Device) leaver {
	options := ioprobe.Options{Device: d.Node, Write: true, Size: ghostSize, Span: ghosts * ghostSize, Limit: ghosts}
	var process *agent.Process
	return leaver{
		write: func(outside func()) {
			GinkgoHelper()
			var err error
			process, err = p.InitiatorHost.Agent().Start(context.WithoutCancel(ctx), agent.Command{Path: agent.GuestProgram, Args: options.Args()})
			Expect(err).NotTo(HaveOccurred())
			go func() { <-process.Done(); outside() }()
		},
		next: func(context.Context) subject.Device {
			GinkgoHelper()
			Expect(process.Kill()).To(Succeed())
			return d
		},
	}
}
