// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// serviceDepth sizes the queues of connection 0, and bounds the number of work requests between two signalled ones.
const serviceDepth = 512

// pollBatch is how many completions are taken from a queue at once.
const pollBatch = 64

// channel is one connection of a path, with what both sides need around it: it decides which work requests are
// signalled, holds back work while the send queue is full, and gives receives back in batches.
type channel struct {
	cid  int
	conn rdma.Conn

	mu       sync.Mutex // guards the rest
	period   int        // work requests from one signalled one to the next
	unsaid   int        // work requests since the last signalled one
	first    *work      // held back, in order
	last     *work
	stopped  bool // nothing is posted any more
	joined   work // see postTogether
	progress progress
}

var errChannelStopped = errors.New("connection takes no more work")

// work is a chain of work requests that is posted as a whole. It belongs to its channel until it has been posted.
type work struct {
	next  *work
	chain []rdma.SendWR
	owner *atomic.Uint32 // unless nil: set to requestFree when the chain is posted
}

func newChannel(cid int, conn rdma.Conn, period int) *channel {
	return &channel{cid: cid, conn: conn, period: max(1, min(period, serviceDepth))}
}

// post posts w, or holds it back until there is room. The error of a connection that is lost is returned.
func (c *channel) post(w *work) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errChannelStopped
	}
	if c.first == nil {
		err := c.postNow(w)
		if !errors.Is(err, rdma.ErrQueueFull) {
			return err
		}
	}
	w.next = nil
	if c.first == nil {
		c.first = w
	} else {
		c.last.next = w
	}
	c.last = w
	return nil
}

// postTogether posts several works without owners, in one go if there is room.
func (c *channel) postTogether(all []*work) error {
	err := c.postJoined(all)
	if !errors.Is(err, rdma.ErrQueueFull) {
		return err
	}
	for _, w := range all {
		if err := c.post(w); err != nil {
			return err
		}
	}
	return nil
}

func (c *channel) postJoined(all []*work) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return errChannelStopped
	case c.first != nil:
		return rdma.ErrQueueFull
	}
	c.joined.chain = c.joined.chain[:0]
	for _, w := range all {
		c.joined.chain = append(c.joined.chain, w.chain...)
	}
	return c.postNow(&c.joined)
}

// postNow signals one work request out of so many that the queue can never fill up without one (Clause IBTRS-IO-032).
func (c *channel) postNow(w *work) error {
	last := &w.chain[len(w.chain)-1]
	chosen := last.Signaled
	unsaid := c.unsaid + len(w.chain)
	signaled := chosen || unsaid >= c.period
	last.Signaled = signaled
	if w.owner != nil {
		w.owner.Store(requestFree) // before, because the peer may react before PostSend has returned
	}
	if err := c.conn.PostSend(w.chain...); err != nil {
		last.Signaled = chosen
		if w.owner != nil && !w.owner.CompareAndSwap(requestFree, requestBusy) {
			return breachf("IBTRS-IO-019", "a chunk is used again before its request was answered")
		}
		return err
	}
	if signaled { // w itself may be in use again already
		unsaid = 0
	}
	c.unsaid = unsaid
	c.progress.busy = c.progress.busy || w != &c.progress.question
	return nil
}

// halt gives up what is held back, and lets nothing be posted any more.
func (c *channel) halt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped, c.first, c.last = true, nil, nil
}

// sent posts what was held back. It is called when send requests have completed, so that there is room again; answered says
// that the question about progress is one of them.
func (c *channel) sent(answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress.note(answered)
	for c.first != nil {
		w := c.first
		next := w.next // w may be used again as soon as it is posted
		if err := c.postNow(w); errors.Is(err, rdma.ErrQueueFull) {
			return
		}
		c.first = next
	}
}

// run polls the connection and hands what has completed to handle until the connection is lost and drained, or handle returns
// an error. It returns why.
func (c *channel) run(handle func([]rdma.Completion) error) error {
	var done [pollBatch]rdma.Completion
	for {
		n, err := c.conn.Poll(context.Background(), done[:])
		if err := handle(done[:n]); err != nil {
			return err
		}
		if slices.ContainsFunc(done[:n], isSent) {
			c.sent(slices.ContainsFunc(done[:n], isAnswer))
		}
		if err != nil {
			return err
		}
	}
}

func isSent(done rdma.Completion) bool { return !done.Recv }

// isAnswer says whether it is the completion of the question about progress.
func isAnswer(done rdma.Completion) bool { return !done.Recv && done.ID == workProgress }

// drain takes all that is left out of the completion queue, once the connection is lost.
func (c *channel) drain() {
	var done [pollBatch]rdma.Completion
	for {
		if _, err := c.conn.Poll(context.Background(), done[:]); err != nil {
			return
		}
	}
}

// The kinds of work, in the upper half of the id of a work request.
const (
	workMessage uint64 = iota << 32 // a message or a receive
	workKey                         // taking a key back, or giving a new one; the lower half is the chunk
	workHeartbeat
	workInfo     // the INFO message
	workFlush    // a write of nothing, behind all that was sent
	workProgress // the same, to see whether it is taken
)

// workKind splits the id of a work request.
func workKind(id uint64) (kind uint64, number uint32) { return id &^ 0xffffffff, uint32(id) }

// failed gives the error of a completion that ends its path. Flushed work is no news: its connection is lost already,
// and will say why.
func failed(done *rdma.Completion) error {
	if done.Status == rdma.StatusSuccess || done.Status == rdma.StatusFlushed {
		return nil
	}
	return done.Err()
}

// lost reports whether the connection can carry no more work.
func (c *channel) lost() bool {
	select {
	case <-c.conn.Lost():
		return true
	default:
		return false
	}
}

// receives are the receive buffers of one channel: all empty, or all of the size of a key response.
type receives struct {
	channel *channel
	buffer  rdma.Region // nil if they are empty
	scratch []rdma.RecvWR
	sges    []rdma.SGE
}

// newReceives makes count receives of size bytes each, without posting them.
func newReceives(c *channel, dev rdma.Device, count, size int) (*receives, error) {
	r := &receives{channel: c}
	if size == 0 {
		return r, nil
	}
	var err error
	r.buffer, err = dev.Register(count*size, rdma.LocalWrite)
	return r, err
}

// bytes is the buffer of receive number i.
func (r *receives) bytes(i uint32, size int) []byte {
	at := int(i) * size
	return r.buffer.Bytes()[at : at+size]
}

// post posts receives by their numbers.
func (r *receives) post(numbers ...uint32) error {
	r.scratch, r.sges = r.scratch[:0], r.sges[:0]
	for _, i := range numbers {
		wr := rdma.RecvWR{ID: workMessage | uint64(i)}
		if r.buffer != nil {
			r.sges = append(r.sges, rdma.SGE{Region: r.buffer, Offset: int(i) * KeyResponseSize, Length: KeyResponseSize})
		}
		r.scratch = append(r.scratch, wr)
	}
	if r.buffer != nil { // only now: append moves the elements
		for i := range r.scratch {
			r.scratch[i].Local = r.sges[i : i+1]
		}
	}
	return r.channel.conn.PostRecv(r.scratch...)
}

// postAll posts count receives.
func (r *receives) postAll(count int) error {
	numbers := make([]uint32, count)
	for i := range numbers {
		numbers[i] = uint32(i)
	}
	return r.post(numbers...)
}

func (r *receives) close() error {
	if r == nil || r.buffer == nil {
		return nil
	}
	return r.buffer.Close()
}
