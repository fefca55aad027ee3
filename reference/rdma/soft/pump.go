// SPDX-License-Identifier: Apache-2.0

package soft

import "sync"

// pump sends the rest of long READ answers, so that the reader need not. It waits for the link between bursts.
type pump struct {
	mu     sync.Mutex
	queue  []*queuePair
	closed bool
	ready  chan struct{} // one token: there may be work
}

// add gives the pump a queue pair that has answers left. The caller holds the queue pair's lock.
func (u *pump) add(q *queuePair) {
	if q.pumping {
		return
	}
	q.pumping = true
	u.mu.Lock()
	u.queue = append(u.queue, q)
	u.mu.Unlock()
	post(u.ready)
}

// next waits for a queue pair, nil when the pump is closed.
func (u *pump) next() *queuePair {
	for {
		u.mu.Lock()
		if u.closed {
			u.mu.Unlock()
			return nil
		}
		if len(u.queue) > 0 {
			q := u.queue[0]
			u.queue = u.queue[1:]
			u.mu.Unlock()
			return q
		}
		u.mu.Unlock()
		<-u.ready
	}
}

func (u *pump) close() {
	u.mu.Lock()
	u.closed, u.queue = true, nil
	u.mu.Unlock()
	post(u.ready)
}

// run pumps until close.
func (u *pump) run(link Link) {
	for q := u.next(); q != nil; q = u.next() {
		link.Wait()
		q.mu.Lock()
		q.pumping = false
		if q.serve() {
			u.add(q)
		}
		q.mu.Unlock()
	}
}
