// SPDX-License-Identifier: Apache-2.0

package ibnbd

import "sync"

// writeOrder lets writes that touch the same blocks happen one after the other, in the order in which they came, whatever
// path or session they came on. It is the server's part in keeping the writes of a lost path from landing after newer
// ones: a write that has reached the server is in the order, and everything that comes later finds it there.
type writeOrder struct {
	mu          sync.Mutex // guards the rest
	first, last *blockOp   // all writes that have not ended, in the order in which they came
	waiting     int
}

// enter puts a write into the order and reports whether it may begin. If not, leave of an earlier one will tell.
func (o *writeOrder) enter(op *blockOp) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	op.waits = o.blocked(op)
	if op.waits {
		o.waiting++
	}
	op.before, op.after = o.last, nil
	if o.last == nil {
		o.first = op
	} else {
		o.last.after = op
	}
	o.last = op
	return !op.waits
}

// blocked reports whether an earlier write touches blocks of op. op need not be in the order yet.
func (o *writeOrder) blocked(op *blockOp) bool {
	for at := o.first; at != nil && at != op; at = at.after {
		if at.offset < op.offset+op.length && op.offset < at.offset+at.length {
			return true
		}
	}
	return false
}

// leave takes a write that has ended out of the order, and gives the writes that may begin now, chained by ready.
func (o *writeOrder) leave(op *blockOp) (ready *blockOp) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if op.before == nil {
		o.first = op.after
	} else {
		op.before.after = op.after
	}
	if op.after == nil {
		o.last = op.before
	} else {
		op.after.before = op.before
	}
	if o.waiting == 0 {
		return nil
	}
	for at := o.last; at != nil; at = at.before {
		if at.waits && !o.blocked(at) {
			at.waits = false
			o.waiting--
			at.ready, ready = ready, at
		}
	}
	return ready
}
