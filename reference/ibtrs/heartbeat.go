// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// errPeerSilent ends a path whose peer gave no sign of life.
var errPeerSilent = errors.New("peer is silent: heartbeats stay without answer")

// heartbeat watches over one path, on connection 0. Both sides run it alike, independently (Clauses IBTRS-HB-001 to
// IBTRS-HB-011). At each look it asks the other connections whether they still carry something.
type heartbeat struct {
	channel  *channel
	others   []*channel
	interval time.Duration
	misses   int
	alter    func(Immediate) (Immediate, bool) // may change or suppress what is sent; may be nil
	ignore   bool                              // never declare the peer dead

	missed atomic.Int32
	sentAt atomic.Int64 // nanoseconds of the monotonic clock since base
	base   time.Time
}

// alive notes that something was received, anything at all (Clause IBTRS-HB-005).
func (h *heartbeat) alive() {
	if h.missed.Load() != 0 {
		h.missed.Store(0)
	}
}

// run sends and counts until stop is closed. It returns an error when the peer is dead. On a machine that is held up, a
// look comes late. The next one then comes in time all the same, so that the peer's silence is noticed in time; but after
// a heartbeat a whole interval passes, so that none comes too soon (Clauses IBTRS-HB-001, IBTRS-HB-004).
func (h *heartbeat) run(stop <-chan struct{}) error {
	next := time.Now().Add(h.interval)
	timer := time.NewTimer(h.interval)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-timer.C:
			sent, err := h.tick()
			if err != nil {
				return err
			}
			if sent {
				next = time.Now()
			}
			next = next.Add(h.interval)
			timer.Reset(time.Until(next))
		}
	}
}

// tick is one look at the peer. It sends a heartbeat unless the last one is still without an answer.
func (h *heartbeat) tick() (sent bool, err error) {
	for _, c := range h.others {
		if c.lost() {
			continue // its poller says so
		}
		if err := c.look(h.misses); err != nil && !h.ignore {
			return false, fmt.Errorf("connection %d: %w", c.cid, err)
		}
	}
	switch missed := h.missed.Load(); {
	case missed > int32(h.misses) && !h.ignore:
		return false, errPeerSilent
	case missed > 0:
		h.missed.CompareAndSwap(missed, missed+1) // something may have come in just now
		return false, nil
	}
	h.missed.Store(1)
	h.sentAt.Store(int64(time.Since(h.base)))
	return true, h.send(Heartbeat)
}

// acknowledge answers a heartbeat, at once.
func (h *heartbeat) acknowledge() error { return h.send(HeartbeatAck) }

// latency is the time since the last heartbeat was sent.
func (h *heartbeat) latency() time.Duration {
	return time.Since(h.base) - time.Duration(h.sentAt.Load())
}

// send writes nothing, with immediate data: address and key are 0 and not looked at.
func (h *heartbeat) send(imm Immediate) error {
	if h.alter != nil {
		altered, ok := h.alter(imm)
		if !ok {
			return nil
		}
		imm = altered
	}
	w := &work{chain: []rdma.SendWR{{ID: workHeartbeat, Op: rdma.OpWriteImm, Imm: uint32(imm)}}}
	return h.channel.post(w)
}
