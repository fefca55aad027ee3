// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// completionQueue holds the completions of one connection until they are polled. It cannot overflow: a place in a work
// queue is only free again when its completion has been polled.
type completionQueue struct {
	mu         sync.Mutex
	ring       []completion
	head, tail uint64 // polled and pushed
	err        error  // after the last completion

	ready chan struct{} // one token: there may be something to poll

	sendFree, recvFree atomic.Uint64 // work requests whose places are free again
}

// completion is one entry, with the number of its work request in its queue.
type completion struct {
	rdma.Completion
	number uint64
}

func newCompletionQueue(size int) *completionQueue {
	return &completionQueue{ring: make([]completion, size), ready: make(chan struct{}, 1)}
}

// push adds a completion and wakes the poller.
func (c *completionQueue) push(done rdma.Completion, number uint64) {
	c.mu.Lock()
	wake := c.tail == c.head
	c.ring[c.tail%uint64(len(c.ring))] = completion{done, number}
	c.tail++
	c.mu.Unlock()
	if wake {
		post(c.ready)
	}
}

// end lets polling fail with err once all completions are polled.
func (c *completionQueue) end(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	post(c.ready)
}

// discard throws the completions away and lets polling fail with err.
func (c *completionQueue) discard(err error) {
	c.mu.Lock()
	c.head, c.err = c.tail, err
	c.mu.Unlock()
	post(c.ready)
}

// take moves completions to done and frees the places of their work.
func (c *completionQueue) take(done []rdma.Completion) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int(min(uint64(len(done)), c.tail-c.head))
	if n == 0 {
		return 0, c.err
	}
	for i := range n {
		e := &c.ring[c.head%uint64(len(c.ring))]
		c.head++
		done[i] = e.Completion
		if e.Recv {
			c.recvFree.Store(e.number + 1)
		} else {
			c.sendFree.Store(e.number + 1)
		}
	}
	return n, nil
}

// poll waits until take gives something.
func (c *completionQueue) poll(ctx context.Context, done []rdma.Completion) (int, error) {
	if len(done) == 0 {
		return 0, nil
	}
	for {
		if n, err := c.take(done); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-c.ready:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
