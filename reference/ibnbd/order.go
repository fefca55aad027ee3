// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"sync"
	"sync/atomic"
)

// order lets operations that touch the same blocks happen one after the other, in the order in which they came: a write, or
// whatever else changes blocks, waits for earlier ones, and a read does where it is asked to.
//
// Both sides have one for each device. On the server it is that of the writes of all paths and sessions: a write that has
// come there is in the order, and everything that comes later finds it. On the client it is that of one mapping: a request
// leaves the order only when it cannot take effect any more, however long ago its application has gone.
type order[T any] struct {
	writes atomic.Int64 // in the order

	mu          sync.Mutex // guards the rest
	first, last *place[T]  // all that have not ended, in the order in which they came
	waiting     int
}

// place is where an operation stands in an order.
type place[T any] struct {
	offset, length int64 // bytes of the device

	// Of the order.

	op            T    // whose place it is
	reads         bool // it waits for writes, and nobody waits for it
	listed, waits bool
	before, after *place[T]
	ready         *place[T] // the next of those that may begin
}

// enter puts a write into the order and reports whether it may begin. If not, leave of an earlier one will tell.
func (o *order[T]) enter(p *place[T], op T) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes.Add(1)
	return o.enlist(p, op, false)
}

// read is enter for a read. One that may begin is not put into the order.
func (o *order[T]) read(p *place[T], op T) bool {
	if o.writes.Load() == 0 {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.blocked(p) {
		return true
	}
	return o.enlist(p, op, true)
}

// enlist puts an operation at the end of the list. The caller holds the lock.
func (o *order[T]) enlist(p *place[T], op T, reads bool) bool {
	p.op, p.reads, p.waits = op, reads, o.blocked(p)
	if p.waits {
		o.waiting++
	}
	p.listed, p.before, p.after = true, o.last, nil
	if o.last == nil {
		o.first = p
	} else {
		o.last.after = p
	}
	o.last = p
	return !p.waits
}

// blocked reports whether an earlier write touches blocks of p, which need not be in the order yet. The caller holds the lock.
func (o *order[T]) blocked(p *place[T]) bool {
	for at := o.first; at != nil && at != p; at = at.after {
		if !at.reads && at.offset < p.offset+p.length && p.offset < at.offset+at.length {
			return true
		}
	}
	return false
}

// leave takes an operation that has ended out of the order, and gives those that may begin now, chained by ready. One that is
// not in the order changes nothing.
func (o *order[T]) leave(p *place[T]) (ready *place[T]) {
	ready, _ = o.quit(p)
	return ready
}

// quit is leave for an operation that may still be waiting, and reports whether it was: nobody lets it begin then.
func (o *order[T]) quit(p *place[T]) (ready *place[T], waited bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !p.listed {
		return nil, false
	}
	waited = p.waits
	o.unlist(p)
	for at := o.last; at != nil && o.waiting > 0; {
		before := at.before
		if at.waits && !o.blocked(at) {
			at.ready, ready = ready, at
			if at.waits = false; at.reads {
				o.unlist(at)
			}
			o.waiting--
		}
		at = before
	}
	return ready, waited
}

// unlist takes an operation out of the list. The caller holds the lock.
func (o *order[T]) unlist(p *place[T]) {
	if p.before == nil {
		o.first = p.after
	} else {
		p.before.after = p.after
	}
	if p.after == nil {
		o.last = p.before
	} else {
		p.after.before = p.before
	}
	if p.waits {
		p.waits = false
		o.waiting--
	}
	if p.listed = false; !p.reads {
		o.writes.Add(-1)
	}
}
