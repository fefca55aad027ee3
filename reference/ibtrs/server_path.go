// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ibnbd/ibnbd/reference/burst"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// ServerPath is the server's side of one incarnation of a path: its connections, and the chunks that the client fills
// over them. It is never used again: a reconnect makes another.
type ServerPath struct {
	server        *Server
	session       *ServerSession
	device        rdma.Device
	uuid          UUID
	incarnation   uint16
	client, local netip.Addr
	log           *slog.Logger
	refused       *burst.Log // requests

	taken    []bool           // by cid: a connection exists or is being accepted; guarded by the server's lock
	channels []*serverChannel // by cid; guarded by mu until the path is connected

	// Made by the INFO exchange.

	handler   SessionHandler
	memory    rdma.Region   // the chunks
	windows   []rdma.Window // by chunk, with key refresh
	answers   rdma.Region   // a key response for each chunk, with key refresh
	requests  []ServerRequest
	heartbeat *heartbeat
	stats     serverStats

	serving atomic.Bool // the state is connected

	mu       sync.Mutex // guards the rest
	state    PathState
	failed   bool
	accepts  int         // connections that are just being accepted
	accepted *sync.Cond  // on mu: accepts has come down
	deadline *time.Timer // for the INFO request

	stop     chan struct{}  // ends the heartbeat
	running  sync.WaitGroup // pollers and heartbeat
	inflight pending        // requests that have not been responded to
}

// serverChannel is a channel with the server's receives.
type serverChannel struct {
	*channel
	receives *receives
	info     rdma.Region   // of connection 0: the INFO request, then the INFO response
	flushed  chan struct{} // one token: what flush has sent has arrived

	// Of the completions that are being dealt with; only the poller touches them.

	used     []uint32         // numbers of their receives
	renewing []*ServerRequest // requests whose chunks get new keys
	renewals []*work          // which do that
}

var errSuperseded = errors.New("the client has begun a newer incarnation of the path")

func newServerPath(sess *ServerSession, dev rdma.Device, local, remote netip.Addr, r ConnRequest) *ServerPath {
	p := &ServerPath{
		server: sess.server, session: sess, device: dev, uuid: r.PathUUID, incarnation: r.Incarnation,
		client: remote, local: local, stop: make(chan struct{}),
		taken: make([]bool, max(int(r.ConnectionCount), int(r.CID)+1)),
	}
	p.accepted = sync.NewCond(&p.mu)
	p.channels = make([]*serverChannel, len(p.taken))
	p.log = sess.server.cfg.Log.With("path", p.String())
	p.refused = burst.New(p.log, slog.LevelInfo, "request refused")
	return p
}

// String is the path's name from the client's point of view: ip:client@ip:server (Clause IBTRS-SYSFS-016).
func (p *ServerPath) String() string {
	return PathAddr{Src: Addr{IPAddr, p.client}, Dst: Addr{IPAddr, p.local}}.String()
}

// Session is the session of the path.
func (p *ServerPath) Session() *ServerSession { return p.session }

// UUID identifies the path.
func (p *ServerPath) UUID() UUID { return p.uuid }

// Incarnation is the client's counter for this path.
func (p *ServerPath) Incarnation() uint16 { return p.incarnation }

// Client and Local are the two ends of the path.
func (p *ServerPath) Client() netip.Addr { return p.client }

// Local is the server's address.
func (p *ServerPath) Local() netip.Addr { return p.local }

// State is the present state of the path.
func (p *ServerPath) State() PathState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Disconnect begins to close the path and returns at once (Clause IBTRS-SYSFS-017).
func (p *ServerPath) Disconnect() { p.fail(errDisconnectOrdered) }

var errDisconnectOrdered = errors.New("disconnect was ordered")

// move changes the state if the table allows it. It gives the state before, and whether it has changed.
func (p *ServerPath) move(to PathState) (from PathState, ok bool) {
	p.mu.Lock()
	from = p.state
	if ok = serverTransitions.allow(from, to); ok {
		p.state = to
		p.serving.Store(to == StateConnected)
	}
	p.mu.Unlock()
	if ok && p.server.cfg.Transition != nil {
		p.server.cfg.Transition(p, from, to)
	}
	return from, ok
}

// awaitInfo ends the path if it is not connected in time.
func (p *ServerPath) awaitInfo(wait time.Duration) {
	p.deadline = time.AfterFunc(wait, func() {
		if p.State() == StateConnecting {
			p.fail(breachf("IBTRS-CONN-050", "no INFO request within %s", wait))
		}
	})
}

// accept accepts one connection and starts to poll it.
func (p *ServerPath) accept(ctx context.Context, request rdma.Request, cid int) error {
	c := &serverChannel{flushed: make(chan struct{}, 1)}
	var recvs []rdma.RecvWR
	if cid == 0 {
		var err error
		if c.info, err = p.device.Register(p.infoSize(), rdma.LocalWrite); err != nil {
			no := refuse(ENOMEM, "", "memory for the INFO exchange: %v", err)
			return p.server.reject(request, no)
		}
		length := InfoRequestSize
		if p.server.cfg.Rules.LongInfo {
			length += DescriptorSize
		}
		recvs = []rdma.RecvWR{{ID: workInfo, Local: []rdma.SGE{{Region: c.info, Length: length}}}}
	}
	response := Accept(p.server.cfg.Geometry, p.server.cfg.flags())
	if f := p.server.cfg.Rules.EditConnResponse; f != nil {
		f(cid, &response)
	}
	data, _ := response.AppendBinary(nil)
	conn, err := request.Accept(ctx, p.connConfig(cid), data, recvs...)
	if err != nil {
		return errors.Join(fmt.Errorf("accept connection %d: %w", cid, err), closeRegion(c.info))
	}
	c.channel = newChannel(cid, conn, int(p.server.cfg.Geometry.QueueDepth))
	p.mu.Lock()
	p.channels[cid] = c
	p.mu.Unlock()
	p.running.Go(func() { p.poll(c) })
	return nil
}

func closeRegion(r rdma.Region) error {
	if r == nil {
		return nil
	}
	return r.Close()
}

// infoSize is room for the INFO request and, behind it, the longest INFO response.
func (p *ServerPath) infoSize() int {
	return InfoRequestSize + InfoResponseSize + DescriptorSize*int(p.server.cfg.Geometry.QueueDepth)
}

// connConfig sizes a connection: connection 0 also for binding a window to every chunk (Clause IBTRS-INFO-023).
func (p *ServerPath) connConfig(cid int) rdma.ConnConfig {
	limits := p.device.Limits()
	depth := int(p.server.cfg.Geometry.QueueDepth)
	send, recv := 5*depth+1, depth+1
	if cid == 0 {
		send, recv = max(2*serviceDepth+2, depth+2), 2*serviceDepth+2
	}
	if p.server.cfg.LegacyClients {
		send += legacyDescriptors
	}
	return rdma.ConnConfig{
		SendQueue: capped(send, limits.MaxSendWR), RecvQueue: capped(recv, limits.MaxRecvWR),
		RetryCount: 7, RNRRetryCount: 7,
	}
}

// poll works on one connection until it is lost, then sees it drained.
func (p *ServerPath) poll(c *serverChannel) {
	cause := c.run(func(done []rdma.Completion) error { return p.handleAll(c, done) })
	if !p.server.cfg.Rules.OutliveConnection || !p.othersLive(c) {
		p.fail(cause)
	}
	c.drain()
}

// othersLive reports whether another connection than c is not lost.
func (p *ServerPath) othersLive(c *serverChannel) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.channels, func(o *serverChannel) bool { return o != nil && o != c && !o.lost() })
}

// fail begins to close the path, once. The rest happens in a goroutine of its own.
func (p *ServerPath) fail(cause error) {
	p.mu.Lock()
	already := p.failed
	if !already {
		p.failed = true
		p.server.running.Add(1) // under the lock, so that a server which closes waits for this path
	}
	p.mu.Unlock()
	if already {
		return
	}
	from, _ := p.move(StateClosing)
	p.log.Info("path closes", "incarnation", p.incarnation, "cause", cause)
	go func() {
		defer p.server.running.Done()
		p.close(from == StateConnecting)
	}()
}

// close takes the path apart: no request is begun any more, the connections go, the requests that the block layer has
// are waited for, and only then their memory goes (Clause IBTRS-PATH-021).
func (p *ServerPath) close(halfOpen bool) {
	p.noMoreConnections(halfOpen)
	close(p.stop)
	ctx, cancel := context.WithTimeout(context.Background(), p.server.cfg.Timers.Teardown)
	defer cancel()
	if p.servesClosing() {
		p.channels[0].conn.Disconnect(ctx)
		_ = p.inflight.wait(ctx)
	}
	var parting sync.WaitGroup
	for _, c := range p.channels {
		if c != nil {
			parting.Go(func() { c.conn.Disconnect(ctx) }) // a client that does not answer is no news
		}
	}
	p.running.Wait()
	p.dropWaiting()
	if !p.server.cfg.Rules.ForgetInflight {
		_ = p.inflight.wait(context.Background()) // nothing else ends it
	}
	if p.handler != nil {
		p.session.pathDown()
	}
	cancel() // a client that has not answered by now is not waited for
	parting.Wait()
	if err := p.release(); err != nil {
		p.log.Error("path leaves something behind", "error", err)
	}
	p.refused.Close()
	p.move(StateClosed)
	p.session.remove(p)
}

// noMoreConnections waits for connections that are just being accepted. Others see, under the server's lock, that the
// path is closing.
func (p *ServerPath) noMoreConnections(halfOpen bool) {
	p.server.mu.Lock()
	if halfOpen {
		p.server.halfOpen--
	}
	p.server.mu.Unlock()
	p.awaitAccepts()
	if p.deadline != nil {
		p.deadline.Stop()
	}
}

// accepting counts a connection that is being accepted, +1, or has been, -1.
func (p *ServerPath) accepting(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepts += change
	p.accepted.Broadcast()
}

// awaitAccepts waits until no connection is just being accepted: the client knows of an accept before Accept returns.
func (p *ServerPath) awaitAccepts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.accepts > 0 {
		p.accepted.Wait()
	}
}

// release gives everything back, children first.
func (p *ServerPath) release() error {
	var errs []error
	for _, c := range p.channels {
		if c != nil {
			c.halt()
			errs = append(errs, c.conn.Close(), c.receives.close(), closeRegion(c.info))
		}
	}
	for _, w := range p.windows {
		errs = append(errs, w.Close())
	}
	return errors.Join(append(errs, closeRegion(p.memory), closeRegion(p.answers))...)
}
