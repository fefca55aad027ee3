// SPDX-License-Identifier: Apache-2.0

package srp

import "sync"

// workers execute what may wait for a backend. The queue has no limit of its own: what can be in it is bounded by the requests
// of all channels.
type workers struct {
	mu      sync.Mutex // guards the rest
	more    sync.Cond
	queue   []func()
	closed  bool
	running sync.WaitGroup
}

func newWorkers(n int) *workers {
	w := &workers{}
	w.more.L = &w.mu
	for range n {
		w.running.Go(w.run)
	}
	return w
}

func (w *workers) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, f)
	w.more.Signal()
}

func (w *workers) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.queue) == 0 {
			if w.closed {
				return
			}
			w.more.Wait()
		}
		f := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		f()
		w.mu.Lock()
	}
}

// close waits until all that was queued is done.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	w.more.Broadcast()
	w.mu.Unlock()
	w.running.Wait()
}
