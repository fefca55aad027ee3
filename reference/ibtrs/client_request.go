// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Request is one request of a client. Its fields are the caller's until [Session.Do] or [Session.Start] is called, and
// again when it is done; a request may then be used again. The zero Request is a read without data.
type Request struct {
	Direction Direction // Read or Write
	Admin     bool      // goes on connection 0
	Header    []byte    // user header; copied before Do or Start waits for the answer
	Data      []byte    // Write: what is sent, copied like Header. Read: where the answer goes

	// Epoch, unless 0, is what [Session.Epoch] was when the header was made. If the session has lost all its paths since
	// then, the request fails instead of reaching a server that may know nothing of the header's meaning.
	Epoch uint64
	// Revoked, unless nil, is set by whoever takes the request back, together with others: it is not sent any more then, and
	// not again on another path, but fails. One that is under way ends with its path, unless it is answered before.
	Revoked *atomic.Bool
	// Done is called when a request that was started has ended, with nil, an Errno of the server, or the error of the
	// transport. From then on it cannot take effect any more. Done runs in a goroutine of the transport and must not wait.
	Done func(r *Request, err error)

	Owner any // is the caller's, to find its way back in Done

	waiter permitWaiter
	result chan error // one place; used by Do
	slot   *slot      // where it is in flight
}

func (r *Request) direction() Direction {
	if r.Direction == Write {
		return Write
	}
	return Read
}

// complete tells the owner of the request that it has ended.
func (r *Request) complete(err error) {
	if r.Done != nil {
		r.Done(r, err)
		return
	}
	r.result <- err
}

// Do sends a request and waits for its end: nil, the Errno that the server answered with, or an error of the transport
// (ECONNABORTED to errors.Is when no path is left). When ctx ends first, Do returns its error at once and nothing of r
// is touched any more. The request itself lives on, and keeps its permit, until the server has answered or its path is lost;
// it is not sent again. Whoever must know when it cannot take effect any more uses Start and Cancel.
func (s *Session) Do(ctx context.Context, r *Request) error {
	if r.result == nil {
		r.result = make(chan error, 1)
	}
	r.Done = nil
	if err := s.start(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		if r.slot.cancel(r, nil) {
			return ctx.Err()
		}
		return <-r.result
	}
}

// Start sends a request and returns; r.Done, which must be set, is called when it has ended. ctx bounds the wait for a
// permit alone. When Start returns an error, Done is not called.
func (s *Session) Start(ctx context.Context, r *Request) error { return s.start(ctx, r) }

// Cancel says that nobody waits for a request any more which was started: r.Data is not touched from now on, and the request
// is not sent again when its path is lost. It may still take effect until Done is called, as always. False says that it has
// ended: Done has been called, or is about to be.
func (s *Session) Cancel(r *Request) bool { return r.slot.cancel(r, r) }

func (s *Session) start(ctx context.Context, r *Request) error {
	if err := checkSize(s.Geometry(), r.direction(), len(r.Data), len(r.Header)); err != nil {
		return err
	}
	permit, err := s.takePermit(ctx, r)
	if err != nil {
		return err
	}
	sl := &s.slots[permit]
	sl.load(r, s.Epoch())
	if err := s.dispatch(sl, nil); err != nil {
		if s.cfg.Rules.WaitForPath {
			<-ctx.Done()
		}
		s.permits.release(permit)
		return err
	}
	return nil
}

func (s *Session) takePermit(ctx context.Context, r *Request) (int, error) {
	if permit, ok := s.permits.try(); ok {
		return permit, nil
	}
	if s.cfg.Rules.NoPermitLine {
		return 0, fmt.Errorf("session %q has no free chunk: %w", s.cfg.Name, EBUSY)
	}
	if r.waiter.given == nil {
		r.waiter.given = make(chan int, 1)
	}
	return s.permits.take(ctx, &r.waiter)
}

// slotState tells what a slot is waiting for.
type slotState uint8

const (
	slotFree slotState = iota
	slotSent
	slotInvalidating // the answer is there; the client's own key is being taken back
)

// slot is the place of the one request that holds a permit.
type slot struct {
	permit uint32

	mu       sync.Mutex // guards the rest
	state    slotState
	req      *Request // nil when its owner does not want to hear of it any more
	canceled bool     // nobody waits for it
	build    *build   // that carries it
	channel  *clientChannel
	epoch    uint64

	direction  Direction
	admin      bool
	dataLen    int
	headerLen  int
	bound      bool  // the window of this permit on build opens memory
	answer     Errno // while invalidating
	request    work
	invalidate work
	chain      [2]rdma.SendWR
	undo       [1]rdma.SendWR
	element    [1]rdma.SGE
}

// load makes the slot that of r.
func (sl *slot) load(r *Request, epoch uint64) {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if r.Epoch != 0 {
		epoch = r.Epoch
	}
	r.slot = sl
	sl.req, sl.epoch, sl.canceled = r, epoch, false
	sl.direction, sl.admin = r.direction(), r.Admin
	sl.dataLen, sl.headerLen = len(r.Data), len(r.Header)
}

// cancel ends the wait of r's owner, who is told of its end if owner is r, but not if it is nil. It reports false if the
// request has ended already.
func (sl *slot) cancel(r, owner *Request) bool {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	if sl.req != r || sl.state == slotFree {
		return false
	}
	sl.req, sl.canceled = owner, true
	return true
}

// givenUp says that the request must not be sent, or not again. The caller holds the lock.
func (sl *slot) givenUp() bool {
	return sl.canceled || sl.req != nil && sl.req.Revoked != nil && sl.req.Revoked.Load()
}
