// SPDX-License-Identifier: Apache-2.0

package soft

import "time"

// A queue pair has one timer for all that it waits for: the retry time, the end of an RNR wait, a delayed
// acknowledgement. Each is a deadline in a field. Progress moves a deadline without touching the timer; when the timer
// fires too early it is set again.

// arm makes the timer fire not later than at. The caller holds mu.
func (q *queuePair) arm(at time.Time) {
	if at.IsZero() || !q.timerAt.IsZero() && !at.Before(q.timerAt) {
		return
	}
	q.timerAt = at
	wait := time.Until(at)
	if q.timer == nil {
		q.timer = time.AfterFunc(wait, q.onTimer)
		return
	}
	q.timer.Reset(wait)
}

func (q *queuePair) stopTimer() {
	if q.timer != nil {
		q.timer.Stop()
	}
	q.timerAt = time.Time{}
}

// onTimer does what is due.
func (q *queuePair) onTimer() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != qpReady {
		return
	}
	q.timerAt = time.Time{}
	now := time.Now()
	if due(q.req.rnrAt, now) {
		q.endRNRWait()
	}
	if due(q.req.retryAt, now) {
		q.retryTimeout(now)
	}
	if due(q.rsp.ackAt, now) {
		q.rsp.ackNow = true
	}
	if q.serve() {
		q.dev.pump.add(q)
	}
	q.arm(q.req.rnrAt)
	q.arm(q.req.retryAt)
	q.arm(q.rsp.ackAt)
}

// due tells whether a deadline is set and has passed.
func due(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }
