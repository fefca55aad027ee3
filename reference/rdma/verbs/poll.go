// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// maxBatch is how many completions are polled at once, at most.
const maxBatch = 64

// poller is what Poll keeps between calls, so that waiting allocates nothing: the closures that it hands out, and the
// context that it listens to as long as it is given the same.
type poller struct {
	mu        sync.Mutex // held by Poll
	try       func(fd uintptr) bool
	tried     error // of try
	interrupt func()
	followed  <-chan struct{} // Done of the context that is listened to
	unfollow  func() bool
	marked    bool // the last request of a lost connection was posted
}

func (p *poller) init(c *conn) {
	p.try = func(uintptr) bool {
		p.tried = errno(C.shim_take_notice(c.qp))
		return !errors.Is(p.tried, syscall.EAGAIN)
	}
	p.interrupt = c.interrupt
}

// follow lets the end of ctx interrupt a wait. It goes on between calls; an interrupt too many does no harm.
func (p *poller) follow(ctx context.Context) {
	if ctx.Done() == p.followed {
		return
	}
	p.forget()
	p.followed = ctx.Done()
	if p.followed != nil {
		p.unfollow = context.AfterFunc(ctx, p.interrupt)
	}
}

func (p *poller) forget() {
	if p.unfollow != nil {
		p.unfollow()
	}
	p.unfollow, p.followed = nil, nil
}

// Poll waits for completions.
func (c *conn) Poll(ctx context.Context, done []rdma.Completion) (int, error) {
	p := &c.polling
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(done) == 0 {
		return 0, nil
	}
	var spinning time.Time
	for {
		if c.closed.Load() {
			return 0, errConnClosed
		}
		spin := c.dev.cfg.Spin > 0 && (spinning.IsZero() || time.Since(spinning) < c.dev.cfg.Spin)
		if n, err := c.take(done, !spin); n > 0 || err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		switch {
		case !spin:
			if err := c.awaitNotice(ctx); err != nil {
				return 0, err
			}
		case spinning.IsZero():
			spinning = time.Now()
		}
	}
}

// awaitNotice waits until the completion queue, which was armed, has something, or until somebody interrupts.
func (c *conn) awaitNotice(ctx context.Context) error {
	p := &c.polling
	p.follow(ctx)
	p.tried = nil
	err := c.notices.wait(p.try)
	if err == nil && !errors.Is(p.tried, syscall.EAGAIN) {
		err = p.tried
	}
	return c.dev.failed("wait for completions", err)
}

// take moves completions to done, as many as there are and fit. With none, it arms the completion queue if it is told to,
// and fails when there will be no more.
func (c *conn) take(done []rdma.Completion, arm bool) (int, error) {
	err := c.Err() // before looking, so that what came before it is found
	total := 0
	for total < len(done) {
		n := int(C.shim_poll(c.qp, C.uint32_t(len(done)-total), toInt(arm && total == 0)))
		if n < 0 {
			return total, c.dev.failed("poll completions", syscall.Errno(-n))
		}
		added, err := c.completeAll(done[total:], unsafe.Slice(c.qp.done, n))
		total += added
		if err != nil {
			return total, err
		}
		if n == 0 || total > 0 && n < int(c.qp.batch) {
			break
		}
	}
	switch {
	case total > 0 || err == nil:
		return total, nil
	case !c.flushes():
		return 0, err
	case !c.polling.marked:
		return 0, c.mark()
	case c.sending.empty() && c.recving.empty():
		return 0, err
	}
	return 0, nil
}

func toInt(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// completeAll translates completions and returns how many there are for the caller.
func (c *conn) completeAll(done []rdma.Completion, from []C.struct_shim_wc) (int, error) {
	n := 0
	for i := range from {
		if uint64(from[i].wr_id) == marker {
			c.retire(c.sending.head.Load())
			continue
		}
		if err := c.complete(&done[n], &from[i]); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// flushes tells whether what is posted on the lost connection will complete.
func (c *conn) flushes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drains
}

// mark posts one more request behind all others of a queue pair that flushes. Its completion tells that no send request
// is left, also where the last were unsignalled and had succeeded.
func (c *conn) mark() error {
	c.polling.marked = true
	// Who has these locks afterwards finds the connection lost, and posts nothing.
	c.sending.mu.Lock()
	defer c.sending.mu.Unlock()
	c.recving.mu.Lock()
	defer c.recving.mu.Unlock()
	err := errno(C.shim_post_marker(c.qp, C.uint64_t(marker)))
	return c.dev.failed("flush the queue pair", err)
}

// complete translates one completion and frees the place of its work.
func (c *conn) complete(to *rdma.Completion, from *C.struct_shim_wc) error {
	*to = rdma.Completion{Status: rdma.Status(from.status), VendorErr: uint32(from.vendor_err)}
	number := uint64(from.wr_id) >> 1
	if uint64(from.wr_id)&recvBit != 0 {
		if !c.recving.posted(number) {
			return c.dev.failed("poll completions", fmt.Errorf("one is for receive %d, which is not posted", number))
		}
		c.completeRecv(to, from, number)
	} else {
		if !c.sending.posted(number) {
			return c.dev.failed("poll completions", fmt.Errorf("one is for send request %d, which is not posted", number))
		}
		c.completeSend(to, number)
	}
	if to.Status != rdma.StatusSuccess && !c.dead.Load() {
		c.fail(to.Err())
	}
	return nil
}

func (c *conn) completeRecv(to *rdma.Completion, from *C.struct_shim_wc, number uint64) {
	q := &c.recving
	to.ID, to.Recv = q.ids[number%q.size], true
	q.tail.Store(number + 1)
	if to.Status != rdma.StatusSuccess {
		return
	}
	to.Length = int(from.length)
	switch {
	case from.opcode == C.IBV_WC_RECV_RDMA_WITH_IMM:
		to.Op, to.Imm = rdma.OpWriteImm, uint32(from.imm)
	case from.flags&C.IBV_WC_WITH_IMM != 0:
		to.Op, to.Imm = rdma.OpSendImm, uint32(from.imm)
	case from.flags&C.IBV_WC_WITH_INV != 0:
		to.Op, to.InvKey = rdma.OpSendInv, uint32(from.invalidated)
		c.dev.keyTaken(to.InvKey)
	}
}

// completeSend frees the place of a request and of the unsignalled ones before it.
func (c *conn) completeSend(to *rdma.Completion, number uint64) {
	e := c.sending.at(number)
	to.ID, to.Op = e.id, e.op
	if e.op == rdma.OpRead && to.Status == rdma.StatusSuccess {
		to.Length = e.length
	}
	c.retire(number)
	if e.window != nil {
		c.noteDone(e, to.Status == rdma.StatusSuccess)
	}
	c.sending.tail.Store(number + 1)
}

// retire frees the places of requests before one, which have succeeded.
func (c *conn) retire(end uint64) {
	q := &c.sending
	for number := q.tail.Load(); number < end; number++ {
		if e := q.at(number); e.window != nil {
			c.noteDone(e, true)
		}
	}
	q.tail.Store(end)
}

// noteDone keeps track of windows: one that was invalidated, or whose bind failed, opens nothing.
func (c *conn) noteDone(e *sent, ok bool) {
	if (e.op == rdma.OpInvalidate) != ok {
		return
	}
	c.dev.bindMu.Lock()
	defer c.dev.bindMu.Unlock()
	if e.window.last == e.key { // otherwise it has been bound anew
		e.window.unbind()
	}
}
