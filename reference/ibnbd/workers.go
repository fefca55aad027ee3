// SPDX-License-Identifier: Apache-2.0

package ibnbd

import "sync"

// workers do I/O that may wait. What waits for a worker is chained through the operations themselves; there are never
// more of them than clients have permits.
type workers struct {
	running sync.WaitGroup

	mu          sync.Mutex // guards the rest
	some        sync.Cond  // there is something to do, or no more
	first, last *blockOp
	stopped     bool
}

func newWorkers(n int) *workers {
	w := &workers{}
	w.some.L = &w.mu
	for range n {
		w.running.Go(w.work)
	}
	return w
}

// give hands an operation to a worker.
func (w *workers) give(op *blockOp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	op.queued = nil
	if w.first == nil {
		w.first = op
	} else {
		w.last.queued = op
	}
	w.last = op
	w.some.Signal()
}

func (w *workers) work() {
	for {
		op := w.next()
		if op == nil {
			return
		}
		op.run()
	}
}

func (w *workers) next() *blockOp {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.first == nil {
		if w.stopped {
			return nil
		}
		w.some.Wait()
	}
	op := w.first
	w.first = op.queued
	return op
}

// stop ends the workers when all is done.
func (w *workers) stop() {
	w.mu.Lock()
	w.stopped = true
	w.some.Broadcast()
	w.mu.Unlock()
	w.running.Wait()
}
