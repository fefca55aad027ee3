// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Path is one way from a client's device to the server. A goroutine of its own takes it through its states: it
// connects, watches, recovers and reconnects, and obeys commands. What exists while the path is connected is its build.
type Path struct {
	session *Session
	cfg     PathConfig
	uuid    UUID
	log     *slog.Logger

	current  atomic.Pointer[build] // nil unless the path is connected
	inflight atomic.Int64
	stats    pathStats

	orders chan order    // to the path's goroutine
	ended  chan struct{} // the path's goroutine has ended

	mu        sync.Mutex // guards the rest
	state     PathState
	interrupt context.CancelFunc // ends the goroutine's present attempt; nil if there is none
	wanted    int                // commands that the path's goroutine has not taken yet

	// Only the path's goroutine, and open before it, touch these.

	first       bool // requests may create the session
	incarnation uint16
	attempts    int
	depth       uint16 // of the last accept; 0 before the first
	hopeless    bool   // the depth has changed: no more attempts
}

func newPath(s *Session, pc PathConfig) (*Path, error) {
	uuid, err := s.cfg.newUUID()
	if err != nil {
		return nil, err
	}
	p := &Path{session: s, cfg: pc, uuid: uuid, orders: make(chan order), ended: make(chan struct{})}
	p.log = s.cfg.Log.With("session", s.cfg.Name, "path", p.String())
	p.stats.reset()
	return p, nil
}

// String is the path's name: ip:source@ip:destination.
func (p *Path) String() string {
	return PathAddr{
		Src: Addr{IPAddr, p.cfg.Device.Addr()}, Dst: Addr{IPAddr, p.cfg.Server.Addr()}, Port: p.cfg.Server.Port(),
	}.String()
}

// Config says where the path goes.
func (p *Path) Config() PathConfig { return p.cfg }

// UUID is the same over all reconnects (Clause IBTRS-CONN-012).
func (p *Path) UUID() UUID { return p.uuid }

// State is the present state of the path.
func (p *Path) State() PathState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// move changes the state. A transition that is not in the table is a mistake of this package.
func (p *Path) move(to PathState) {
	p.mu.Lock()
	from := p.state
	if !clientTransitions.allow(from, to) {
		p.mu.Unlock()
		panic(fmt.Sprintf("ibtrs: path %s: no transition from %s to %s", p, from, to))
	}
	p.state = to
	p.mu.Unlock()
	p.log.Debug("path changes state", "from", from.String(), "to", to.String())
	if f := p.session.cfg.Transition; f != nil {
		f(p, from, to)
	}
}

// open makes the first build. When it fails the path is dead.
func (p *Path) open(ctx context.Context) error {
	b, err := p.attempt(ctx)
	if err != nil {
		p.move(StateClosing)
		p.move(StateClosed)
		p.move(StateDead)
		return err
	}
	p.connected(b)
	return nil
}

// connected begins the service of a new build.
func (p *Path) connected(b *build) {
	p.attempts = 0
	p.stats.reconnected.Add(1)
	p.move(StateConnected)
	p.session.pathUp(b)
	b.serve()
	p.log.Info("path connected", "incarnation", p.incarnation, "connections", len(b.channels))
}

// command is what a person can tell a path.
type command uint8

const (
	commandReconnect command = iota
	commandDisconnect
	commandRemove
)

type order struct {
	command command
	reply   chan error // one place
}

// Reconnect builds the path anew, now, whatever the reconnect delay. It is refused with EBUSY while a build is under
// way, and fails with ENOTCONN when the attempt fails; then the path goes on by itself (Clause IBTRS-SYSFS-011).
func (p *Path) Reconnect(ctx context.Context) error {
	if s := p.State(); s == StateConnecting || s == StateClosing || s == StateDead {
		return fmt.Errorf("reconnect path %s, which is %s: %w", p, s, EBUSY)
	}
	return p.command(ctx, commandReconnect)
}

// Disconnect closes the path. It stays in the session, and is not reconnected by itself (Clause IBTRS-PATH-010).
func (p *Path) Disconnect(ctx context.Context) error { return p.command(ctx, commandDisconnect) }

var errPathRemoved = errors.New("path was removed")

// command has the path's goroutine do something and waits until it is done.
func (p *Path) command(ctx context.Context, c command) error {
	o := order{c, make(chan error, 1)}
	p.want(+1)
	select {
	case p.orders <- o:
	case <-p.ended:
		p.want(-1)
		if c == commandRemove {
			return nil
		}
		return errPathRemoved
	case <-ctx.Done():
		p.want(-1)
		return ctx.Err()
	}
	select {
	case err := <-o.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// want counts the commands that the path's goroutine has not taken yet. While there are any, it makes no attempts.
func (p *Path) want(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted += change
	if p.wanted > 0 && p.interrupt != nil {
		p.interrupt()
	}
}

// interruptible gives a context that ends when somebody wants something of the path's goroutine. done must be called.
func (p *Path) interruptible(ctx context.Context) (inner context.Context, done func()) {
	inner, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	p.interrupt = cancel
	if p.wanted > 0 {
		cancel()
	}
	p.mu.Unlock()
	return inner, func() {
		p.mu.Lock()
		p.interrupt = nil
		p.mu.Unlock()
		cancel()
	}
}

// keep takes the path through its states until it is dead.
func (p *Path) keep() {
	defer close(p.ended)
	for {
		switch p.State() {
		case StateConnected:
			p.watch()
		case StateReconnecting:
			p.retry()
		case StateClosed:
			p.rest()
		case StateDead:
			return
		}
	}
}

// watch waits until the build fails or somebody wants something.
func (p *Path) watch() {
	b := p.current.Load()
	select {
	case <-b.failed:
		p.log.Warn("path lost", "cause", b.cause)
		p.leave(b, StateReconnecting)
	case o := <-p.orders:
		p.want(-1)
		if o.command == commandReconnect {
			p.leave(b, StateReconnecting)
			p.attempts = 0
			o.reply <- p.tryNow()
			return
		}
		p.leave(b, StateClosing)
		p.closed(o)
	}
}

// leave ends a connected build: no new requests, then the old ones go elsewhere or fail, then it is taken apart.
func (p *Path) leave(b *build, to PathState) {
	p.move(to)
	p.session.pathDown(b)
	b.end()
}

// closed finishes a disconnect or a removal.
func (p *Path) closed(o order) {
	p.move(StateClosed)
	p.obeyClosed(o)
}

func (p *Path) obeyClosed(o order) {
	if o.command == commandRemove {
		p.move(StateDead)
	}
	o.reply <- nil
}

// rest waits, closed, for a command.
func (p *Path) rest() {
	o := <-p.orders
	p.want(-1)
	if o.command != commandReconnect {
		p.obeyClosed(o)
		return
	}
	p.attempts, p.hopeless = 0, false
	p.move(StateReconnecting)
	o.reply <- p.tryNow()
}

// retry pauses and makes one attempt, or gives up.
func (p *Path) retry() {
	limit := p.session.MaxReconnectAttempts()
	if p.hopeless || limit >= 0 && p.attempts >= limit || p.session.cfg.Rules.StayAway {
		p.log.Warn("path given up", "attempts", p.attempts)
		p.move(StateClosing)
		p.move(StateClosed)
		return
	}
	if o, ordered := p.pause(); ordered {
		if o.command == commandReconnect {
			p.attempts, p.hopeless = 0, false
			o.reply <- p.tryNow()
			return
		}
		p.move(StateClosing)
		p.closed(o)
		return
	}
	p.try() // a failure was counted and logged
}

// pause waits for the reconnect delay to pass. A command ends it early.
func (p *Path) pause() (o order, ordered bool) {
	t := p.session.cfg.Timers
	wait := t.ReconnectDelay + t.ReconnectSettle + p.session.cfg.spread()
	if p.session.cfg.Rules.NoDelay {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case o := <-p.orders:
		p.want(-1)
		return o, true
	case <-timer.C:
		return order{}, false
	}
}

// tryNow is try for a person who waits for the outcome.
func (p *Path) tryNow() error {
	if err := p.try(); err != nil {
		return fmt.Errorf("reconnect path %s: %w: %w", p, ENOTCONN, err)
	}
	return nil
}

// try waits for its turn among all paths of the process and makes one attempt.
func (p *Path) try() error {
	ctx, done := p.interruptible(context.Background())
	defer done()
	next, err := p.session.cfg.Scheduler.turn(ctx)
	if err != nil {
		return err
	}
	defer next()
	p.attempts++
	p.move(StateConnecting)
	b, err := p.attempt(ctx)
	if err != nil {
		p.stats.failed.Add(1)
		p.log.Warn("reconnect failed", "attempt", p.attempts, "error", err)
		p.move(StateReconnecting)
		return err
	}
	p.connected(b)
	return nil
}

// attempt makes one build, in state connecting. If it fails the state is connecting_err, and nothing is left of it.
func (p *Path) attempt(ctx context.Context) (*build, error) {
	if !p.session.cfg.Rules.KeepIncarnation || p.incarnation == 0 {
		p.incarnation++
	}
	b := newBuild(p)
	err := b.connect(ctx)
	if err == nil {
		return b, nil
	}
	var depth *depthError
	p.hopeless = errors.As(err, &depth) && !p.session.cfg.Rules.IgnoreDepthChange
	p.move(StateConnectingErr)
	b.end()
	return nil, err
}
