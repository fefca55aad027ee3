// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Disposition says what became of a frame.
type Disposition string

// The dispositions of a frame.
const (
	Forwarded Disposition = "forwarded" // it left the rail, as it is shown
	Dropped   Disposition = "dropped"   // it did not arrive as it is shown: a fault or a full queue lost it, or a fault changed it
)

// Observation is a frame and its disposition. A delayed frame is seen when it leaves, and a flooded one once.
type Observation struct {
	Frame       *Frame
	Disposition Disposition
}

// hook is a function that sees frames before the faults do.
type hook struct {
	call func(*Frame)
}

// Hook calls see with every frame that is offered to the rail, before any fault decides, one frame at a time and in order,
// until remove is called. It is for what feeds predicates: see runs on the forwarding path, under the rail's lock, so it
// must be quick, must not block and must not call the fabric.
func (r *Rail) Hook(see func(f *Frame)) (remove func()) {
	h := &hook{see}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(slices.Clone(r.hooks), h)
	r.watched.Add(1)
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hooks = slices.DeleteFunc(slices.Clone(r.hooks), func(other *hook) bool { return other == h })
		r.watched.Add(-1)
	})
}

// Subscription brings copies of all frames of a rail to a reader that may take its time.
type Subscription struct {
	rail   *Rail
	frames chan Observation
	lost   atomic.Uint64
}

// Subscribe begins to collect observations for a reader. At most buffer of them wait (at least 1); what does not fit is lost to
// this reader alone, and counted.
func (r *Rail) Subscribe(buffer int) *Subscription {
	s := &Subscription{rail: r, frames: make(chan Observation, max(buffer, 1))}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		close(s.frames)
		return s
	}
	r.subs = append(r.subs, s)
	r.watched.Add(1)
	return s
}

// Frames is where the observations come; it is closed with the subscription.
func (s *Subscription) Frames() <-chan Observation { return s.frames }

// Lost is how many observations did not fit into the buffer.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Close ends the subscription; what is in the buffer can still be read.
func (s *Subscription) Close() {
	s.rail.mu.Lock()
	defer s.rail.mu.Unlock()
	i := slices.Index(s.rail.subs, s)
	if i < 0 {
		return
	}
	s.rail.subs = slices.Delete(s.rail.subs, i, i+1)
	s.rail.watched.Add(-1)
	close(s.frames)
}

func (s *Subscription) show(observation Observation) {
	select {
	case s.frames <- observation:
	default:
		s.lost.Add(1)
	}
}

// lastShown remembers what was shown of the frame that passes at present, to show a flooded frame once and not once for
// each destination.
type lastShown struct {
	number      uint64
	disposition Disposition
	to          string
}

// seen says whether this is the same frame with the same disposition, on its way to another destination.
func (s *lastShown) seen(disposition Disposition, f *Frame) bool {
	again := s.number == f.Number && s.disposition == disposition && s.to != f.To
	if !again {
		*s = lastShown{f.Number, disposition, f.To}
	}
	return again
}

// observe shows a frame and its disposition to recordings and subscriptions; r.mu is held.
func (r *Rail) observe(disposition Disposition, f *Frame) {
	if len(r.recordings) == 0 && len(r.subs) == 0 || r.lastShown.seen(disposition, f) {
		return
	}
	for _, rec := range r.recordings {
		rec.write(disposition, f.Data)
	}
	if len(r.subs) == 0 {
		return
	}
	observation := Observation{f.Clone(), disposition}
	for _, s := range r.subs {
		s.show(observation)
	}
}
