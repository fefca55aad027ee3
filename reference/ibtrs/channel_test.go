// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// narrow is a connection whose send queue has few places, which are free again only when a signalled work request
// completes.
type narrow struct {
	rdma.Conn
	size   int
	posted []rdma.SendWR // all that ever was
	held   int           // of these, places that are not free again
}

func (n *narrow) PostSend(work ...rdma.SendWR) error {
	if n.held+len(work) > n.size {
		return rdma.ErrQueueFull
	}
	n.posted = append(n.posted, work...)
	n.held += len(work)
	return nil
}

// complete frees everything up to the last signalled work request, and reports whether there was one.
func (n *narrow) complete() bool {
	for i := range n.held {
		if n.posted[len(n.posted)-1-i].Signaled {
			n.held = i
			return true
		}
	}
	return false
}

// TestChannelNeverStalls posts chains of all lengths faster than they complete: whatever the depth, work is held back in
// order and a signalled request is always among those that fill the queue (Clause IBTRS-IO-032).
func TestChannelNeverStalls(t *testing.T) {
	for depth := 1; depth <= 40; depth++ {
		conn := &narrow{size: 5*depth + 1}
		c := newChannel(1, conn, depth)
		const chains = 500
		want := 0
		for i := range chains {
			length := 1 + i%min(5, depth+1)
			chain := make([]rdma.SendWR, length)
			for k := range chain {
				chain[k].ID = uint64(want)
				want++
			}
			if err := c.post(&work{chain: chain}); err != nil {
				t.Fatal(err)
			}
			if i%(3*depth) == 0 && conn.complete() {
				c.sent(false)
			}
		}
		for c.first != nil {
			if !conn.complete() {
				t.Fatalf("depth %d: the queue is full, and nothing in it is signalled", depth)
			}
			c.sent(false)
		}
		if len(conn.posted) != want {
			t.Fatalf("depth %d: %d work requests were posted of %d", depth, len(conn.posted), want)
		}
		for i, wr := range conn.posted {
			if wr.ID != uint64(i) {
				t.Fatalf("depth %d: work request %d was posted in place %d", depth, wr.ID, i)
			}
		}
	}
}

// TestQuestionWhereTheQueueIsFull looks at a connection whose queue has no room: the question is held back, asked once, and what
// completes meanwhile counts as a sign of life.
func TestQuestionWhereTheQueueIsFull(t *testing.T) {
	const misses = 2
	conn := &narrow{size: 1}
	c := newChannel(1, conn, 1)
	if err := c.post(&work{chain: make([]rdma.SendWR, 1)}); err != nil {
		t.Fatal(err)
	}
	look := func(want error) {
		t.Helper()
		if err := c.look(misses); !errors.Is(err, want) {
			t.Errorf("look: %v, want %v", err, want)
		}
	}
	questions := func() (n int) {
		for _, wr := range conn.posted {
			if wr.ID == workProgress {
				n++
			}
		}
		return n
	}
	look(nil) // asks
	look(nil)
	look(nil)
	if n := questions(); n != 0 {
		t.Errorf("%d questions were posted to a queue that is full", n)
	}
	conn.complete()
	c.sent(false)
	if n := questions(); n != 1 {
		t.Errorf("%d questions were posted when there was room, must be 1", n)
	}
	look(nil) // something has completed since
	for range misses {
		look(nil)
	}
	look(errStuck)
	conn.complete()
	c.sent(true)
	for range misses + 2 {
		look(nil) // nothing to ask for
	}
	if n := questions(); n != 1 {
		t.Errorf("%d questions in all, must be 1", n)
	}
}

// TestChannelFreesARequestWhenItIsPosted holds a response back: its request must not be free before.
func TestChannelFreesARequestWhenItIsPosted(t *testing.T) {
	conn := &narrow{size: 1}
	c := newChannel(1, conn, 1)
	var first, second atomic.Uint32
	for _, owner := range []*atomic.Uint32{&first, &second} {
		owner.Store(requestBusy)
		if err := c.post(&work{chain: make([]rdma.SendWR, 1), owner: owner}); err != nil {
			t.Fatal(err)
		}
	}
	if first.Load() != requestFree || second.Load() != requestBusy {
		t.Error("a request is free without its response being posted, or the other way round")
	}
	conn.complete()
	c.sent(false)
	if second.Load() != requestFree {
		t.Error("a request is not free although its response is posted")
	}
	c.halt()
	if err := c.post(&work{chain: make([]rdma.SendWR, 1)}); !errors.Is(err, errChannelStopped) {
		t.Errorf("post to a channel that was halted: %v", err)
	}
}
