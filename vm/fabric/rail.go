// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Rail is one broadcast domain: a learning switch that records, counts and breaks what crosses it.
type Rail struct {
	fabric *Fabric
	name   string
	table  switchTable
	wake   chan struct{} // tells the holder that the heap has a new first frame
	quit   chan struct{} // closed when the rail closes
	holder sync.WaitGroup

	frames  atomic.Uint64 // frames offered so far
	dropped atomic.Uint64
	watched atomic.Int32 // how many faults, recordings, hooks and subscriptions there are; 0 is the fast path

	mu         sync.Mutex // makes frames go one at a time while the rail is watched; guards the fields below
	faults     []*Handle
	lastFault  int
	hooks      []*hook
	subs       []*Subscription
	recordings []*Recording
	holding    holding
	holdOrder  uint64
	lastShown  lastShown
	passage    passage // of the frame that passes at present
	closed     bool
}

// RailStats counts what crossed a rail.
type RailStats struct {
	Frames  uint64 `json:"frames"`  // frames that ports and stations offered
	Dropped uint64 `json:"dropped"` // frames, or copies of flooded ones, that faults dropped
	Held    int    `json:"held"`    // frames that faults hold at present
	// Overflow counts frames lost because a destination did not take them in time. No fault asked for that: where it is not
	// zero and no host is hung, the lab itself lost frames.
	Overflow uint64 `json:"overflow"`
}

func newRail(f *Fabric, name string) *Rail {
	r := &Rail{fabric: f, name: name, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	r.holder.Go(r.runHolder)
	return r
}

// Name is the rail's name.
func (r *Rail) Name() string { return r.name }

// Ports returns the rail's ports in the order in which they were added.
func (r *Rail) Ports() []*Port {
	var ports []*Port
	for _, l := range r.table.links() {
		if p, ok := l.(*Port); ok {
			ports = append(ports, p)
		}
	}
	return ports
}

// Stats returns the counters.
func (r *Rail) Stats() RailStats {
	s := RailStats{Frames: r.frames.Load(), Dropped: r.dropped.Load()}
	for _, l := range r.table.links() {
		s.Overflow += l.counters().overflow.Load()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Held = len(r.holding)
	return s
}

func (r *Rail) tell(e Event) {
	e.Rail = r.name
	if e.At.IsZero() {
		e.At = time.Now()
	}
	r.fabric.events.add(e)
}

func (r *Rail) close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	recordings, subs := slices.Clone(r.recordings), slices.Clone(r.subs)
	r.mu.Unlock()
	errs := []error{r.ClearFaults()}
	close(r.quit)
	r.holder.Wait()
	for _, l := range r.table.links() {
		errs = append(errs, l.Close())
	}
	for _, s := range subs {
		s.Close()
	}
	for _, rec := range recordings {
		errs = append(errs, rec.Close())
	}
	return errors.Join(errs...)
}

// offer takes a frame from a link and brings it where it belongs. What it puts into queues goes out when b is flushed.
func (r *Rail) offer(f *Frame, from link, b *batch) {
	f.Number = r.frames.Add(1)
	targets := r.table.route(f.Source(), f.Destination(), from)
	if r.watched.Load() == 0 {
		for _, to := range targets {
			if to != from {
				b.send(f.Data, to)
			}
		}
		return
	}
	r.judge(f, from, targets, b)
}

// judge is offer on a watched rail.
func (r *Rail) judge(f *Frame, from link, targets []link, b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.hooks {
		h.call(f)
	}
	alone := true
	for _, to := range targets {
		if to != from {
			alone = false
			f.To = to.Name()
			r.pass(f, to, b)
		}
	}
	if alone {
		f.To = ""
		r.pass(f, nil, b)
	}
}

// pass brings a frame through the faults to one destination (nil: to nobody); r.mu is held.
func (r *Rail) pass(f *Frame, to link, b *batch) {
	p := &r.passage
	*p = passage{frame: f, data: f.Data}
	var holders, matching []*Handle
	for _, h := range r.faults {
		matched, picked := h.take(f)
		if matched {
			matching = append(matching, h)
		}
		if !picked {
			continue
		}
		p.held = false
		h.apply(p)
		if p.held {
			holders = append(holders, h)
		}
		if p.dropped {
			r.dropped.Add(1)
			r.observe(Dropped, f)
			return
		}
	}
	if p.changed {
		r.observe(Dropped, f)
	}
	out := f
	if p.changed {
		out = f.with(p.data)
	}
	if len(holders) > 0 {
		r.holdBack(p, out, to, holders)
		return
	}
	for range p.copies + 1 {
		r.deliver(out, to, b)
	}
	for _, h := range matching {
		r.overtake(h, f, b)
	}
}

// holdBack keeps a frame until its passage says that it may go; r.mu is held.
func (r *Rail) holdBack(p *passage, out *Frame, to link, holders []*Handle) {
	item := &held{
		frame: out.Clone(), to: to, due: out.At.Add(p.delay), behind: p.behind, copies: p.copies, holders: holders,
	}
	if p.after != nil {
		if item.due.Before(*p.after) {
			item.due = *p.after
		}
		*p.after = item.due
	}
	r.hold(item)
}

// deliver puts a frame into its destination's queue and shows it to who watches; r.mu is held.
func (r *Rail) deliver(f *Frame, to link, b *batch) {
	if to != nil && !b.send(f.Data, to) {
		r.observe(Dropped, f)
		return
	}
	r.observe(Forwarded, f)
}
