// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Handle is one fault on one rail.
type Handle struct {
	rail  *Rail
	id    int
	fault Fault
	done  chan struct{}

	life  sync.Mutex // held while the fault begins or ends; taken before rail.mu
	ports []*Port    // whose carrier this fault holds down; guarded by life
	begin *time.Timer
	end   *time.Timer

	// Guarded by rail.mu:
	state   faultState
	effect  effect
	pick    func(n uint64) bool
	matched uint64
	applied uint64
	err     error
	news    chan struct{} // closed and replaced at each application
}

type faultState int

const (
	waiting faultState = iota // its time has not come
	acting
	over
)

// FaultStats says what a fault has met and done so far.
type FaultStats struct {
	Matched uint64 `json:"matched"` // frames that its predicate matched while it acted
	Applied uint64 `json:"applied"` // frames that it did something to
}

// Inject puts a fault on the rail. Faults act on a frame in the order in which they were injected; a dropped frame does not
// reach later ones. A fault without After acts when Inject returns. The error says what is wrong with the fault's value, or
// why a carrier could not be taken down.
func (r *Rail) Inject(f Fault) (*Handle, error) {
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("fabric: inject on %s: %w", r.name, err)
	}
	h := &Handle{rail: r, fault: f, done: make(chan struct{}), news: make(chan struct{})}
	h.life.Lock()
	defer h.life.Unlock()
	if err := r.addFault(h); err != nil {
		return nil, err
	}
	h.tell(Injected, 0, f.String())
	if f.After > 0 {
		h.begin = time.AfterFunc(f.After, h.beginLater)
		return h, nil
	}
	if err := h.beginNow(); err != nil {
		h.finish()
		return nil, err
	}
	return h, nil
}

func (r *Rail) addFault(h *Handle) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.lastFault++
	h.id = r.lastFault
	r.faults = append(r.faults, h)
	r.watched.Add(1)
	return nil
}

func (h *Handle) beginLater() {
	h.life.Lock()
	defer h.life.Unlock()
	if h.over() {
		return
	}
	if err := h.beginNow(); err != nil {
		h.fail(err)
		h.finish()
	}
}

// beginNow makes the fault act; h.life is held.
func (h *Handle) beginNow() error {
	if loss, ok := h.fault.Action.(CarrierLoss); ok {
		ports, err := h.rail.carriers(loss)
		if err == nil {
			err = loseAll(ports)
		}
		if err != nil {
			return err
		}
		h.ports = ports
	}
	h.tell(Began, 0, "")
	h.rail.mu.Lock()
	h.effect = h.fault.Action.start()
	if h.fault.Pick != nil {
		h.pick = h.fault.Pick.start()
	}
	h.state = acting
	h.rail.mu.Unlock()
	if h.fault.For > 0 {
		h.end = time.AfterFunc(h.fault.For, func() { _ = h.Remove() })
	}
	return nil
}

// Remove ends the fault, if it is not over already: frames that it holds go out, a carrier that it took down comes back. It
// returns what went wrong with the carrier, now or earlier.
func (h *Handle) Remove() error {
	h.life.Lock()
	defer h.life.Unlock()
	if !h.over() {
		h.finish()
	}
	return h.Err()
}

// finish ends the fault; h.life is held and the fault is not over.
func (h *Handle) finish() {
	for _, timer := range []*time.Timer{h.begin, h.end} {
		if timer != nil {
			timer.Stop()
		}
	}
	if err := restoreAll(h.ports); err != nil {
		h.fail(err)
	}
	h.ports = nil
	h.rail.dropFault(h)
	stats := h.Stats()
	h.tell(Ended, 0, fmt.Sprintf("%d frames matched, %d applied", stats.Matched, stats.Applied))
	close(h.done)
}

// dropFault takes a fault from the list and sends out what it holds.
func (r *Rail) dropFault(h *Handle) {
	var b batch
	r.mu.Lock()
	h.state = over
	if i := slices.Index(r.faults, h); i >= 0 {
		r.faults = slices.Delete(slices.Clone(r.faults), i, i+1)
		r.watched.Add(-1)
	}
	r.releaseHeldBy(h, &b)
	r.mu.Unlock()
	b.flush()
}

func (h *Handle) over() bool {
	h.rail.mu.Lock()
	defer h.rail.mu.Unlock()
	return h.state == over
}

func (h *Handle) fail(err error) {
	h.rail.mu.Lock()
	h.err = err
	h.rail.mu.Unlock()
	h.tell(Failed, 0, err.Error())
}

func (h *Handle) tell(kind EventKind, frame uint64, detail string) {
	h.rail.tell(Event{Kind: kind, Fault: h.id, Frame: frame, Detail: detail})
}

// ID is the fault's number on its rail, from 1; events name it.
func (h *Handle) ID() int { return h.id }

// Fault is the value that was injected.
func (h *Handle) Fault() Fault { return h.fault }

// String gives the rail, the number and the fault.
func (h *Handle) String() string { return fmt.Sprintf("%s fault %d: %v", h.rail.name, h.id, h.fault) }

// Active says whether the fault acts at present.
func (h *Handle) Active() bool {
	h.rail.mu.Lock()
	defer h.rail.mu.Unlock()
	return h.state == acting
}

// Done is closed when the fault is over: its time is past, or it was removed.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Err says what went wrong with a carrier, if anything.
func (h *Handle) Err() error {
	h.rail.mu.Lock()
	defer h.rail.mu.Unlock()
	return h.err
}

// Stats returns the counters.
func (h *Handle) Stats() FaultStats {
	h.rail.mu.Lock()
	defer h.rail.mu.Unlock()
	return FaultStats{Matched: h.matched, Applied: h.applied}
}

// WaitApplied returns when the fault has been applied to n frames. It fails when the context ends, or the fault does.
func (h *Handle) WaitApplied(ctx context.Context, n uint64) error {
	for {
		h.rail.mu.Lock()
		applied, news, ended := h.applied, h.news, h.state == over
		h.rail.mu.Unlock()
		if applied >= n {
			return nil
		}
		if ended {
			return fmt.Errorf("fabric: %v: it is over after %d of %d frames", h, applied, n)
		}
		select {
		case <-news:
		case <-h.done:
		case <-ctx.Done():
			return fmt.Errorf("fabric: %v: applied to %d of %d frames: %w", h, applied, n, ctx.Err())
		}
	}
}

// take says whether a frame is for this fault, and counts it; rail.mu is held.
func (h *Handle) take(f *Frame) (matched, picked bool) {
	if h.state != acting || h.effect == nil {
		return false, false
	}
	if h.fault.Match != nil && !h.fault.Match.Match(f) {
		return false, false
	}
	h.matched++
	return true, h.pick == nil || h.pick(h.matched)
}

// apply does the fault's work on a passage; rail.mu is held.
func (h *Handle) apply(p *passage) {
	if !h.effect(p) {
		return
	}
	h.applied++
	close(h.news)
	h.news = make(chan struct{})
	h.tell(Applied, p.frame.Number, p.frame.String())
}

// Faults returns the faults on the rail that are not over, in the order in which they act.
func (r *Rail) Faults() []*Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// ClearFaults removes every fault from the rail.
func (r *Rail) ClearFaults() error {
	var first error
	for _, h := range r.Faults() {
		if err := h.Remove(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
