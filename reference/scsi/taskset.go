// SPDX-License-Identifier: Apache-2.0

package scsi

// taskState is how far a task is.
type taskState uint8

const (
	taskIdle      taskState = iota
	taskWaiting             // for its buffer, or for its turn
	taskRunning             // Run has been called
	taskCommitted           // its response is on its way
)

// taskSet are the tasks of a unit, in the order in which they came.
type taskSet struct {
	first, last *Task
	fenced      int // tasks that are not simple
	count       int
}

// barrier calls done when a number of aborted tasks have ended.
type barrier struct {
	left int
	done func()
}

func (s *taskSet) add(t *Task) {
	t.prev, t.next = s.last, nil
	if s.last == nil {
		s.first = t
	} else {
		s.last.next = t
	}
	s.last = t
	s.count++
	if t.attribute != Simple {
		s.fenced++
	}
}

func (s *taskSet) remove(t *Task) {
	if t.prev == nil {
		s.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		s.last = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	s.count--
	if t.attribute != Simple {
		s.fenced--
	}
}

// enabled tells whether it is the task's turn: an ordered task waits for all older ones, a simple task for older ones that
// are not simple, head of queue for nobody (SAM-5 8.6).
func (s *taskSet) enabled(t *Task) bool {
	if t.aborted || t.attribute == HeadOfQueue || s.fenced == 0 {
		return true
	}
	for older := t.prev; older != nil; older = older.prev {
		if t.attribute == Ordered || older.attribute != Simple {
			return false
		}
	}
	return true
}

// startable tells whether Run must be called now, and counts the task as running if so.
func (s *taskSet) startable(t *Task) bool {
	if t.state != taskWaiting || !t.ready || !s.enabled(t) {
		return false
	}
	t.state = taskRunning
	return true
}

// Submit puts the task into the task set of its unit. An attribute that SAM does not know counts as Ordered (Clause SRP-CMD-017),
// and so does ACA, since there never is one.
func (t *Task) Submit(a Attribute) {
	if a != Simple && a != HeadOfQueue {
		a = Ordered
	}
	if t.unit == nil {
		t.state = taskWaiting
		return
	}
	t.unit.mu.Lock()
	defer t.unit.mu.Unlock()
	t.attribute, t.aborted, t.ready = a, false, false
	t.barriers = t.barriers[:0]
	t.state = taskWaiting
	t.unit.tasks.add(t)
}

// Ready says that the buffer of the task is there, and its data-out in it; or that neither will come, because the task was
// aborted. Run follows when it is the task's turn. Ready may be called again.
func (t *Task) Ready() {
	if t.unit == nil {
		if t.state == taskWaiting {
			t.state = taskRunning
			t.Run()
		}
		return
	}
	t.unit.mu.Lock()
	t.ready = true
	start := t.unit.tasks.startable(t)
	t.unit.mu.Unlock()
	if start {
		t.Run()
	}
}

// Aborted tells whether the task was aborted.
func (t *Task) Aborted() bool {
	if t.unit == nil {
		return false
	}
	t.unit.mu.Lock()
	defer t.unit.mu.Unlock()
	return t.aborted
}

// Commit says that the response of the task will be sent now, and forbids it for an aborted one. After Commit an abort has no
// effect but to wait for the end of the task.
func (t *Task) Commit() bool {
	if t.unit == nil {
		return true
	}
	t.unit.mu.Lock()
	defer t.unit.mu.Unlock()
	if t.aborted {
		return false
	}
	t.state = taskCommitted
	return true
}

// End takes the task out of the task set. Its buffers are not used any more, by RDMA or otherwise.
func (t *Task) End() {
	if t.unit == nil {
		t.state = taskIdle
		return
	}
	u := t.unit
	u.mu.Lock()
	t.state = taskIdle
	fenced := u.tasks.fenced > 0
	u.tasks.remove(t)
	var done []func()
	for _, b := range t.barriers {
		if b.left--; b.left == 0 {
			done = append(done, b.done)
		}
	}
	clear(t.barriers)
	t.barriers = t.barriers[:0]
	var start []*Task
	if fenced { // else nobody has waited for his turn
		start = u.tasks.turn()
	}
	u.mu.Unlock()
	for _, f := range done {
		f()
	}
	runAll(start)
}

// turn returns the tasks whose turn has come.
func (s *taskSet) turn() (start []*Task) {
	for t := s.first; t != nil; t = t.next {
		if s.startable(t) {
			start = append(start, t)
		}
	}
	return start
}

func runAll(start []*Task) {
	for _, t := range start {
		t.Run()
	}
}

// Abort aborts the task and calls done when it has ended. If its response is on its way, that is waited for instead, and if it
// has ended already, done is called at once: the function is complete in any case (Clauses SRP-TM-002, SRP-TM-003).
func (t *Task) Abort(done func()) {
	if t.unit == nil {
		done()
		return
	}
	t.unit.abort(func(other *Task) bool { return other == t }, done)
}

// AbortTaskSet aborts all tasks of the initiator on a unit; ok is false if there is no such unit.
func (n *Nexus) AbortTaskSet(lun LUN, done func()) (ok bool) {
	u := n.luns.unit(lun)
	if u == nil {
		return false
	}
	u.abort(func(t *Task) bool { return t.nexus == n }, done)
	return true
}

// ClearTaskSet aborts all tasks on a unit; the other initiators get a unit attention.
func (n *Nexus) ClearTaskSet(lun LUN, done func()) (ok bool) {
	return n.abortAll(lun, CommandsCleared, done)
}

// Reset is a logical unit reset: it aborts all tasks on a unit; the other initiators get a unit attention (Clause SRP-TM-004).
func (n *Nexus) Reset(lun LUN, done func()) (ok bool) {
	return n.abortAll(lun, BusDeviceReset, done)
}

func (n *Nexus) abortAll(lun LUN, why Code, done func()) (ok bool) {
	u := n.luns.unit(lun)
	if u == nil {
		return false
	}
	u.mu.Lock()
	for other := range u.nexuses {
		if other != n {
			other.raise(u, why)
		}
	}
	u.mu.Unlock()
	u.abort(func(*Task) bool { return true }, done)
	return true
}

// abort aborts those of the chosen tasks that have not been committed, and calls done when all of them have ended.
func (u *Unit) abort(chosen func(*Task) bool, done func()) {
	b := &barrier{done: done}
	u.mu.Lock()
	for t := u.tasks.first; t != nil; t = t.next {
		if chosen(t) {
			t.aborted = t.state != taskCommitted
			t.barriers = append(t.barriers, b)
			b.left++
		}
	}
	complete := b.left == 0
	start := u.tasks.turn() // aborted tasks wait for no turn
	u.mu.Unlock()
	if complete {
		done()
	}
	runAll(start)
}
