// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// build is one incarnation of a client's path: its connections, the server's chunks as they are seen over them, and the
// local memory that requests are sent from. It is made by connect, serves between serve and the first failure, and is
// taken apart by end.
type build struct {
	path     *Path
	session  *Session
	geometry Geometry
	refresh  bool // the server answers with new keys

	channels  []*clientChannel
	chunks    []Chunk       // by permit; a key changes under the lock of the permit's slot
	memory    rdma.Region   // a piece of the size of a chunk for each permit
	windows   []rdma.Window // by permit: on what a read may fill
	heartbeat *heartbeat

	gate  sync.RWMutex // held to read while a request is being sent
	open  bool         // requests are taken
	epoch uint64       // of the session, while open

	failOnce sync.Once
	failed   chan struct{}
	cause    error          // valid when failed is closed
	stop     chan struct{}  // ends the heartbeat
	running  sync.WaitGroup // pollers and heartbeat
}

// clientChannel is a channel with the client's receives.
type clientChannel struct {
	*channel
	receives *receives
	owed     []uint32 // numbers of receives that are used up and not given back yet; only the poller touches it
}

func newBuild(p *Path) *build {
	b := &build{path: p, session: p.session, failed: make(chan struct{}), stop: make(chan struct{})}
	return b
}

// fail ends the service of the build; the path's goroutine does the rest. The first cause is the one that counts.
func (b *build) fail(err error) {
	b.failOnce.Do(func() {
		b.cause = err
		close(b.failed)
	})
}

// admit lets requests of this epoch in.
func (b *build) admit(epoch uint64) {
	b.gate.Lock()
	defer b.gate.Unlock()
	b.open, b.epoch = true, epoch
}

// dismiss lets no request in any more. When it returns none is being sent.
func (b *build) dismiss() {
	b.gate.Lock()
	defer b.gate.Unlock()
	b.open = false
}

// serve starts the goroutines that work on the build. A connection that is lost stays with its poller until it is
// drained.
func (b *build) serve() {
	for _, c := range b.channels {
		b.running.Go(func() {
			b.fail(c.run(func(done []rdma.Completion) error { return b.handleAll(c, done) }))
			c.drain()
		})
	}
	b.running.Go(func() {
		if err := b.heartbeat.run(b.stop); err != nil {
			b.fail(err)
		}
	})
}

// end takes the build apart: it disconnects and drains, sends the requests of the build elsewhere or fails them, and
// releases everything. The peer of a dead path keeps it waiting for at most the teardown time.
func (b *build) end() {
	close(b.stop)
	ctx, cancel := context.WithTimeout(context.Background(), b.session.cfg.Timers.Teardown)
	defer cancel()
	parting := b.disconnect(ctx)
	b.running.Wait()
	for _, c := range b.channels {
		c.halt()
	}

	b.failover(func(sl *slot) bool { return sl.direction == Read || sl.state == slotInvalidating })
	parting.quarantine(b.session)
	b.failover(func(*slot) bool { return true })

	<-parting.over
	if err := b.release(); err != nil {
		b.path.log.Error("path leaves something behind", "error", err)
	}
}

// parting is the end of all connections of a build.
type parting struct {
	over      chan struct{} // closed when every disconnect has returned
	confirmed bool          // the server has confirmed all of them; valid when over is closed
}

// disconnect begins to disconnect all connections, in the order of their cid.
func (b *build) disconnect(ctx context.Context) *parting {
	p := &parting{over: make(chan struct{}), confirmed: true}
	errs := make([]error, len(b.channels))
	var all sync.WaitGroup
	for i, c := range b.channels {
		all.Go(func() { errs[i] = c.conn.Disconnect(ctx) })
	}
	go func() {
		all.Wait()
		p.confirmed = errors.Join(errs...) == nil
		close(p.over)
	}()
	return p
}

// quarantine waits until nothing that left over the lost path can still be executed by the server as something new:
// the server has confirmed that its side is closed, or whatever was in the network has died out. It is why a write that
// comes later can not be overwritten by one that came before.
func (p *parting) quarantine(s *Session) {
	if s.cfg.Rules.NoQuarantine {
		return
	}
	timer := time.NewTimer(s.cfg.Timers.PacketLifetime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.over:
		if !p.confirmed {
			<-timer.C
		}
	}
}

// release gives back all that connect took, children first.
func (b *build) release() error {
	var errs []error
	for _, c := range b.channels {
		errs = append(errs, c.conn.Close(), c.receives.close())
	}
	for _, w := range b.windows {
		errs = append(errs, w.Close())
	}
	if b.memory != nil {
		errs = append(errs, b.memory.Close())
	}
	return errors.Join(errs...)
}
