// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Session is a client's relation to one server, over one path or more. It owns the permits and starts every request.
type Session struct {
	cfg     ClientConfig
	group   UUID
	permits *permits
	slots   []slot

	paths    atomic.Pointer[[]*Path] // in list order; replaced as a whole
	policy   atomic.Uint32
	position atomic.Uint32 // of round-robin
	epoch    atomic.Uint64
	connects atomic.Uint64
	strays   atomic.Uint64
	geometry atomic.Pointer[Geometry] // smallest of all paths that ever were

	changes sync.Mutex // held to add or remove a path, or to close

	mu        sync.Mutex // guards the rest, and is held while events are told
	connected int
	opened    bool
	closed    bool
}

// Open connects all paths, one after the other, and returns the session. If one fails, all are closed again (Clause
// IBTRS-CONN-049) and the error is that of the path: an Errno to errors.Is, the server's own where it told one.
func Open(ctx context.Context, cfg ClientConfig) (*Session, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("open session %.32q: %w", cfg.Name, err)
	}
	s := &Session{cfg: cfg}
	s.paths.Store(&[]*Path{})
	s.policy.Store(uint32(cfg.Policy))
	var err error
	if s.group, err = cfg.newUUID(); err != nil {
		return nil, err
	}
	for _, pc := range cfg.Paths {
		if _, err := s.AddPath(ctx, pc); err != nil {
			return nil, errors.Join(fmt.Errorf("open session %q: %w", cfg.Name, err), s.Close())
		}
	}
	s.mu.Lock()
	s.opened = true
	s.mu.Unlock()
	return s, nil
}

// AddPath connects another path. It returns when the path is connected, or has failed and is gone.
func (s *Session) AddPath(ctx context.Context, pc PathConfig) (*Path, error) {
	s.changes.Lock()
	defer s.changes.Unlock()
	if s.isClosed() {
		return nil, fmt.Errorf("add a path to session %q: %w", s.cfg.Name, errSessionClosed)
	}
	if n := len(*s.paths.Load()); n >= MaxPaths {
		return nil, fmt.Errorf("session %q has %d paths, more are not possible: %w", s.cfg.Name, n, EINVAL)
	}
	p, err := newPath(s, pc)
	if err != nil {
		return nil, err
	}
	p.first = len(*s.paths.Load()) == 0
	if err := p.open(ctx); err != nil {
		return nil, fmt.Errorf("path %s: %w", p, err)
	}
	s.setPaths(append(slices.Clone(*s.paths.Load()), p))
	go p.keep()
	return p, nil
}

// RemovePath closes a path and takes it out of the session. Its requests go to the other paths.
func (s *Session) RemovePath(ctx context.Context, p *Path) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	if err := p.command(ctx, commandRemove); err != nil {
		return fmt.Errorf("remove path %s: %w", p, err)
	}
	s.dropPath(p)
	return nil
}

func (s *Session) dropPath(p *Path) {
	left := slices.DeleteFunc(slices.Clone(*s.paths.Load()), func(q *Path) bool { return q == p })
	s.setPaths(left)
}

func (s *Session) setPaths(paths []*Path) { s.paths.Store(&paths) }

// Close closes all paths and waits until they are gone. Requests in flight fail with ECONNABORTED to errors.Is.
func (s *Session) Close() error {
	s.changes.Lock()
	defer s.changes.Unlock()
	s.mu.Lock()
	already := s.closed
	s.closed = true
	s.mu.Unlock()
	if already {
		return nil
	}
	if s.permits != nil {
		s.permits.stop(errSessionClosed)
	}
	var ends sync.WaitGroup
	errs := make([]error, len(*s.paths.Load()))
	for i, p := range *s.paths.Load() {
		ends.Go(func() { errs[i] = p.command(context.Background(), commandRemove) })
	}
	ends.Wait()
	s.setPaths(nil)
	return errors.Join(errs...)
}

var errSessionClosed = fmt.Errorf("session is closed: %w", ECONNABORTED)

func (s *Session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Name is the session's name.
func (s *Session) Name() string { return s.cfg.Name }

// Group is the UUID by which the server knows the session.
func (s *Session) Group() UUID { return s.group }

// Paths are the paths of the session, in list order. The slice must not be changed.
func (s *Session) Paths() []*Path { return *s.paths.Load() }

// Epoch counts how often the session has come to have a path after having had none, the opening included. What a server
// told in one epoch, such as the id of a device, means nothing in another.
func (s *Session) Epoch() uint64 { return s.epoch.Load() }

// Connects counts how often a path has been connected, the opening included. Whenever it grows the server may have forgotten
// the session: it makes a new one for the path if it had lost all others, which the client can see later, or never.
func (s *Session) Connects() uint64 { return s.connects.Load() }

// Renew gives up all paths as if they had been lost, because the server has forgotten what it told in the given epoch. They
// reconnect by themselves, in another epoch. If the epoch has ended already, nothing happens.
func (s *Session) Renew(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch.Load() != epoch {
		return
	}
	for _, p := range s.Paths() {
		if b := p.current.Load(); b != nil {
			b.fail(errForgotten)
		}
	}
}

var errForgotten = errors.New("the server has forgotten the session")

// Connected reports whether any path is connected.
func (s *Session) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected > 0
}

// Geometry is what a request may use: the depth, and the smallest sizes among the paths.
func (s *Session) Geometry() Geometry { return *s.geometry.Load() }

// Inflight is the number of permits in use.
func (s *Session) Inflight() int { return s.permits.inUse() }

// Policy is how paths are chosen.
func (s *Session) Policy() Policy { return Policy(s.policy.Load()) }

// SetPolicy changes how paths are chosen, also under load (Clause IBTRS-MP-006).
func (s *Session) SetPolicy(p Policy) error {
	if !p.Valid() {
		return fmt.Errorf("multipath policy %d, must be 0 to 2: %w", p, EINVAL)
	}
	s.policy.Store(uint32(p))
	return nil
}

// MaxReconnectAttempts is how often in a row a lost path is tried.
func (s *Session) MaxReconnectAttempts() int { return s.cfg.MaxReconnectAttempts }

// Strays is the number of responses that no request was waiting for (Clauses IBTRS-IMM-009, IBTRS-IMM-010).
func (s *Session) Strays() uint64 { return s.strays.Load() }

// adopt takes the geometry of a path's accept into the session's: the first one makes the permits, later ones must have
// the same depth and can only lower the sizes.
func (s *Session) adopt(g Geometry) error {
	old := s.geometry.Load()
	if old == nil {
		s.permits = newPermits(int(g.QueueDepth))
		s.permits.lazy = s.cfg.Rules.WakeOnTraffic
		s.slots = make([]slot, g.QueueDepth)
		for k := range s.slots {
			s.slots[k].permit = uint32(k)
		}
		s.geometry.Store(&g)
		return nil
	}
	if g.QueueDepth != old.QueueDepth {
		return &depthError{had: old.QueueDepth, has: g.QueueDepth}
	}
	least := Geometry{g.QueueDepth, min(g.MaxIOSize, old.MaxIOSize), min(g.MaxHeaderSize, old.MaxHeaderSize)}
	s.geometry.Store(&least)
	return nil
}

// depthError is a server that changed its queue depth, upon which nothing but a person can help (Clause
// IBTRS-CONN-039).
type depthError struct{ had, has uint16 }

func (e *depthError) Error() string {
	return fmt.Sprintf("queue depth changed from %d to %d", e.had, e.has)
}

func (e *depthError) Unwrap() error { return ECONNRESET }

// pathUp makes a build usable.
func (s *Session) pathUp(b *build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected++
	s.connects.Add(1)
	if s.connected == 1 {
		s.epoch.Add(1)
	}
	b.admit(s.epoch.Load())
	b.path.current.Store(b)
	if s.connected == 1 && s.opened && s.cfg.Restored != nil {
		s.cfg.Restored()
	}
}

// pathDown makes a build unusable; requests in it are still to be dealt with.
func (s *Session) pathDown(b *build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.path.current.Store(nil)
	b.dismiss()
	s.connected--
	if (s.connected == 0 || s.cfg.Rules.LostWithFirst) && s.opened && s.cfg.Lost != nil {
		s.cfg.Lost()
	}
}

// Bounds are the times that a user of a session can rely on.
type Bounds struct {
	StallWithPath    Bound `json:"stall_with_path"`    // of one I/O whose path dies when another is whole
	ErrorWithoutPath Bound `json:"error_without_path"` // until an I/O fails when no path is left
	Reconnect        Bound `json:"reconnect"`          // from heal to a connected path
}

// Bounds follow from the timers and from how many paths there are.
func (s *Session) Bounds() Bounds {
	t := s.cfg.Timers
	b := Bounds{t.StallWithPath(), t.ErrorWithoutPath(), t.Reconnect(len(s.Paths()))}
	if edit := s.cfg.Rules.EditBounds; edit != nil {
		edit(&b)
	}
	return b
}

// Lines are for people, one for each bound.
func (b Bounds) Lines() []string {
	return []string{
		"worst I/O stall with another path: " + b.StallWithPath.String(),
		"worst time to error without one: " + b.ErrorWithoutPath.String(),
		"worst time from heal to reconnected: " + b.Reconnect.String(),
	}
}
