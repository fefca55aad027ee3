// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"sync"
)

// Scheduler lets the reconnect attempts of many paths happen one at a time, in the order in which they became due, so
// that a server that comes back is not run over. The zero Scheduler is ready. Sessions that share none share the one of
// the process.
type Scheduler struct {
	mu      sync.Mutex // guards the rest
	busy    bool
	waiting []chan struct{}
}

// processScheduler serialises all sessions that have no scheduler of their own.
var processScheduler Scheduler

// turn waits until nobody else attempts. The attempt that follows ends with done, which must be called exactly once.
func (s *Scheduler) turn(ctx context.Context) (done func(), err error) {
	s.mu.Lock()
	if !s.busy {
		s.busy = true
		s.mu.Unlock()
		return s.next, nil
	}
	mine := make(chan struct{})
	s.waiting = append(s.waiting, mine)
	s.mu.Unlock()

	select {
	case <-mine:
		return s.next, nil
	case <-ctx.Done():
		if !s.withdraw(mine) {
			s.next() // it was our turn at the same moment
		}
		return nil, ctx.Err()
	}
}

func (s *Scheduler) withdraw(mine chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.waiting {
		if c == mine {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return true
		}
	}
	return false
}

func (s *Scheduler) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.busy = false
		return
	}
	close(s.waiting[0])
	s.waiting = s.waiting[1:]
}
