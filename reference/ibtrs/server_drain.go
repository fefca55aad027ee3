// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Drain is how a server ends in good order, before Close: it accepts no connection and begins no request any more, and
// returns when the requests that it has begun are answered and their clients have the answers. What comes meanwhile stays
// without an answer, and can be sent again elsewhere when the path is gone. The error says which path was not ready when
// ctx ended. A second call does nothing.
func (s *Server) Drain(ctx context.Context) error {
	if !s.draining.CompareAndSwap(false, true) {
		return nil
	}
	err := s.listeners.Close()
	s.mu.Lock()
	var paths []*ServerPath
	for _, sess := range s.sessions {
		paths = append(paths, sess.paths...)
	}
	s.mu.Unlock()
	errs := make([]error, len(paths))
	var all sync.WaitGroup
	for i, p := range paths {
		all.Go(func() { errs[i] = p.drain(ctx) })
	}
	all.Wait()
	return errors.Join(append(errs, err)...)
}

// drain waits for the requests that were begun, and then for what was sent.
func (p *ServerPath) drain(ctx context.Context) error {
	if p.State() != StateConnected {
		return nil
	}
	if err := p.inflight.wait(ctx); err != nil {
		return fmt.Errorf("path %s: %d requests are not answered: %w", p, p.inflight.n.Load(), err)
	}
	for _, c := range p.channels {
		if err := c.flush(ctx); err != nil {
			return fmt.Errorf("path %s: the client has not confirmed all answers on connection %d: %w", p, c.cid, err)
		}
	}
	return nil
}

// flush waits until the client's adapter has taken all that was sent, or the connection is lost. Work completes in order,
// and a write of nothing needs no place to write to.
func (c *serverChannel) flush(ctx context.Context) error {
	err := c.post(&work{chain: []rdma.SendWR{{ID: workFlush, Op: rdma.OpWrite, Signaled: true}}})
	if err != nil {
		return nil // it is lost, and nothing on it is waited for
	}
	select {
	case <-c.flushed:
	case <-c.conn.Lost():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// pending counts what has begun and not ended. Unlike those of a sync.WaitGroup, its waiters may come and go while it
// counts.
type pending struct {
	n       atomic.Int64
	waiting atomic.Bool // somebody may wait

	mu   sync.Mutex
	zero chan struct{} // closed when n comes to 0; nil while nobody waits
}

func (c *pending) add() { c.n.Add(1) }

func (c *pending) done() {
	if c.n.Add(-1) == 0 && c.waiting.Load() {
		c.wake()
	}
}

func (c *pending) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.zero != nil {
		close(c.zero)
		c.zero = nil
	}
}

// wait waits until the count is 0, or was 0 for a moment, or ctx ends.
func (c *pending) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.zero == nil {
		c.zero = make(chan struct{})
	}
	zero := c.zero
	c.mu.Unlock()
	c.waiting.Store(true) // from now on whoever counts down to 0 wakes; who did it before is seen here
	if c.n.Load() == 0 {
		return nil
	}
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
