// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Work requests of a queue are numbered from 0. The number is their id for the library, above a bit that tells the queue;
// what Go keeps of them is in a ring. Who posts writes an entry before it moves head, and who polls reads it before it
// moves tail, so that the two need no lock between them.

// ring counts the work requests of one queue.
type ring struct {
	size       uint64
	head, tail atomic.Uint64 // posted, and polled
}

// room tells whether n more fit.
func (r *ring) room(n int) bool { return r.head.Load()+uint64(n)-r.tail.Load() <= r.size }

// posted tells whether a request with this number is under way.
func (r *ring) posted(number uint64) bool { return number >= r.tail.Load() && number < r.head.Load() }

func (r *ring) empty() bool { return r.head.Load() == r.tail.Load() }

const (
	recvBit = 1                     // in the library's id: a receive
	marker  = ^uint64(0) &^ recvBit // the library's id of the last request of a queue pair; see mark
)

// sendQueue is the queue of send requests.
type sendQueue struct {
	mu sync.Mutex // held to post
	ring
	entries []sent
}

// sent is what is kept of a send request.
type sent struct {
	id     uint64
	op     rdma.Op
	length int
	window *window
	key    uint32 // that the window gets, or that is taken from it
}

func (q *sendQueue) init(cfg rdma.ConnConfig) {
	q.size, q.entries = uint64(cfg.SendQueue), make([]sent, cfg.SendQueue)
}

func (q *sendQueue) at(number uint64) *sent { return &q.entries[number%q.size] }

// recvQueue is the queue of receives.
type recvQueue struct {
	mu sync.Mutex // held to post
	ring
	ids []uint64
}

func (q *recvQueue) init(cfg rdma.ConnConfig) {
	q.size, q.ids = uint64(cfg.RecvQueue), make([]uint64, cfg.RecvQueue)
}

// maxMessage is the longest message of a reliable connection, in bytes.
const maxMessage = 1 << 31

var errReadForbidden = errors.New("a READ was posted, but none was negotiated: the initiator depth is 0")

// PostSend posts work. Where the driver takes a part of a chain and then fails, the connection is lost: work that was not
// posted cannot be told from work that was.
func (c *conn) PostSend(work ...rdma.SendWR) error {
	return c.dev.failed("post work", c.postSend(work))
}

func (c *conn) postSend(work []rdma.SendWR) error {
	if len(work) == 0 {
		return nil
	}
	q := &c.sending
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	if !q.room(len(work)) {
		return rdma.ErrQueueFull
	}
	if usesWindows(work) {
		c.dev.bindMu.Lock()
		defer c.dev.bindMu.Unlock()
	}
	if err := c.fillSends(work); err != nil {
		return err
	}
	first := q.head.Load()
	q.head.Store(first + uint64(len(work)))
	var posted C.uint32_t
	err := errno(C.shim_post_send(c.qp, C.uint32_t(len(work)), &posted))
	c.noteBinds(work[:posted], first)
	if err != nil {
		q.head.Store(first + uint64(posted))
		return c.postFailed(err, int(posted))
	}
	return nil
}

// postFailed is what the driver's refusal means after checks that should have left nothing to refuse.
func (c *conn) postFailed(err error, posted int) error {
	if posted > 0 {
		c.fail(fmt.Errorf("the driver took %d requests of a chain and refused the next: %w", posted, err))
	}
	return err
}

func usesWindows(work []rdma.SendWR) bool {
	for i := range work {
		if op := work[i].Op; op == rdma.OpBind || op == rdma.OpInvalidate {
			return true
		}
	}
	return false
}

// fillSends checks work and fills the arrays of the shim and the ring with it.
func (c *conn) fillSends(work []rdma.SendWR) error {
	sends := unsafe.Slice(c.qp.sends, len(work))
	elements := unsafe.Slice(c.qp.send_sges, c.cfg.SendQueue*c.cfg.SendSGE)
	used := 0
	for i := range work {
		length, err := c.fillElements(elements[used:], work[i].Local, c.cfg.SendSGE)
		if err == nil {
			err = c.fillSend(&sends[i], work, i, length)
		}
		if err != nil {
			return fmt.Errorf("work request %d of %d: %w", i+1, len(work), err)
		}
		used += len(work[i].Local)
	}
	return nil
}

// fillElements translates buffers and returns the sum of their lengths. Whether they lie in their regions is for the
// device to say: the work then fails with a local protection error.
func (c *conn) fillElements(to []C.struct_ibv_sge, from []rdma.SGE, most int) (int, error) {
	if err := rdma.CheckLimit("number of buffers in a work request", len(from), 0, most); err != nil {
		return 0, err
	}
	total := 0
	for i := range from {
		e := &from[i]
		r := c.dev.region(e.Region)
		if r == nil {
			return 0, fmt.Errorf("buffer %d: its region is not an open one of device %s", i, c.dev.name)
		}
		if err := rdma.CheckLimit("length of a buffer", e.Length, 1, maxRegion); err != nil {
			return 0, err
		}
		to[i] = C.struct_ibv_sge{addr: C.uint64_t(r.addr + uint64(e.Offset)), length: C.uint32_t(e.Length), lkey: C.uint32_t(r.lkey)}
		total += e.Length
	}
	return total, rdma.CheckLimit("length of a message", total, 0, maxMessage)
}

// fillSend fills one request; its buffers are done.
func (c *conn) fillSend(to *C.struct_shim_send, work []rdma.SendWR, i, length int) error {
	wr := &work[i]
	if int(wr.Op) >= len(opcodes) {
		return fmt.Errorf("unknown %s", wr.Op)
	}
	if wr.Op == rdma.OpRead && !c.canRead {
		return errReadForbidden
	}
	number := c.sending.head.Load() + uint64(i)
	*to = C.struct_shim_send{
		wr_id: C.uint64_t(number << 1), opcode: opcodes[wr.Op], remote_addr: C.uint64_t(wr.RemoteAddr),
		key: C.uint32_t(wr.RemoteKey), imm: C.uint32_t(wr.Imm), nsge: C.uint32_t(len(wr.Local)),
	}
	if wr.Signaled {
		to.flags |= C.IBV_SEND_SIGNALED
	}
	if wr.Fence {
		to.flags |= C.IBV_SEND_FENCE
	}
	*c.sending.at(number) = sent{id: wr.ID, op: wr.Op, length: length}
	switch wr.Op {
	case rdma.OpBind:
		return c.fillBind(to, work, i)
	case rdma.OpInvalidate:
		return c.fillInvalidate(to, work, i)
	}
	return nil
}

// localWindow gives the window of a request.
func (c *conn) localWindow(wr *rdma.SendWR) (*window, error) {
	w := c.dev.window(wr.Window)
	if w == nil {
		return nil, fmt.Errorf("%s: its window is not one of device %s", wr.Op, c.dev.name)
	}
	return w, wrap(wr.Op.String(), w.usable())
}

// presentKey is the key that the window will have when request i is posted, after the binds before it.
func (c *conn) presentKey(w *window, work []rdma.SendWR, i int) uint32 {
	key := uint32(w.mw.rkey)
	for j := range i {
		if changesKey(&work[j], w) {
			key = nextKey(key)
		}
	}
	return key
}

// changesKey tells whether a request gives the window a new key. Of a shared window, taking the key back is a bind too.
func changesKey(wr *rdma.SendWR, w *window) bool {
	return wr.Window == rdma.Window(w) && (wr.Op == rdma.OpBind || wr.Op == rdma.OpInvalidate && w.shared)
}

func (c *conn) fillBind(to *C.struct_shim_send, work []rdma.SendWR, i int) error {
	wr := &work[i]
	w, err := c.localWindow(wr)
	if err != nil {
		return err
	}
	r := c.dev.region(wr.Bind.Region)
	if r == nil {
		return fmt.Errorf("bind a window: its region is not an open one of device %s", c.dev.name)
	}
	key := nextKey(c.presentKey(w, work, i))
	to.mw, to.mr, to.key = w.mw, r.mr, C.uint32_t(key)
	to.bind_addr, to.bind_length = C.uint64_t(r.addr+uint64(wr.Bind.Offset)), C.uint64_t(wr.Bind.Length)
	to.bind_access = C.uint32_t(accessFlags(wr.Bind.Access))
	e := c.sending.at(c.sending.head.Load() + uint64(i))
	e.window, e.key = w, key
	return nil
}

// fillInvalidate fills a local invalidation; a shared window is bound to nothing instead.
func (c *conn) fillInvalidate(to *C.struct_shim_send, work []rdma.SendWR, i int) error {
	w, err := c.localWindow(&work[i])
	if err != nil {
		return err
	}
	key := c.presentKey(w, work, i)
	e := c.sending.at(c.sending.head.Load() + uint64(i))
	e.window, e.key = w, key
	if !w.shared {
		to.key = C.uint32_t(key)
		return nil
	}
	r := w.boundBefore(work, i)
	if r == nil {
		return errors.New("invalidate: the shared window is not bound")
	}
	to.opcode = C.IBV_WR_BIND_MW
	to.mw, to.mr, to.key = w.mw, r.mr, C.uint32_t(nextKey(key))
	to.bind_addr = C.uint64_t(r.addr)
	return nil
}

// boundBefore is the region that the window will be bound to when request i is posted.
func (w *window) boundBefore(work []rdma.SendWR, i int) *region {
	bound := w.bound
	for j := range i {
		if !changesKey(&work[j], w) {
			continue
		}
		bound = nil
		if work[j].Op == rdma.OpBind {
			bound = w.dev.region(work[j].Bind.Region)
		}
	}
	return bound
}

// noteBinds keeps track of which windows open which regions, for work that was posted.
func (c *conn) noteBinds(work []rdma.SendWR, first uint64) {
	for i := range work {
		if work[i].Op != rdma.OpBind {
			continue
		}
		e := c.sending.at(first + uint64(i))
		e.window.bind(c.dev.region(work[i].Bind.Region), c)
		e.window.last = e.key
	}
}

// PostRecv posts receives.
func (c *conn) PostRecv(work ...rdma.RecvWR) error {
	return c.dev.failed("post receives", c.postRecv(work))
}

func (c *conn) postRecv(work []rdma.RecvWR) error {
	if len(work) == 0 {
		return nil
	}
	q := &c.recving
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	if !q.room(len(work)) {
		return rdma.ErrQueueFull
	}
	if err := c.fillRecvs(work); err != nil {
		return err
	}
	first := q.head.Load()
	q.head.Store(first + uint64(len(work)))
	var posted C.uint32_t
	if err := errno(C.shim_post_recv(c.qp, C.uint32_t(len(work)), &posted)); err != nil {
		q.head.Store(first + uint64(posted))
		return c.postFailed(err, int(posted))
	}
	return nil
}

// fillRecvs checks receives and fills the arrays of the shim and the ring with them.
func (c *conn) fillRecvs(work []rdma.RecvWR) error {
	q := &c.recving
	recvs := unsafe.Slice(c.qp.recvs, len(work))
	elements := unsafe.Slice(c.qp.recv_sges, c.cfg.RecvQueue*c.cfg.RecvSGE)
	used, first := 0, q.head.Load()
	for i := range work {
		if _, err := c.fillElements(elements[used:], work[i].Local, c.cfg.RecvSGE); err != nil {
			return fmt.Errorf("receive %d of %d: %w", i+1, len(work), err)
		}
		number := first + uint64(i)
		recvs[i] = C.struct_shim_recv{wr_id: C.uint64_t(number<<1 | recvBit), nsge: C.uint32_t(len(work[i].Local))}
		q.ids[number%q.size] = work[i].ID
		used += len(work[i].Local)
	}
	return nil
}
