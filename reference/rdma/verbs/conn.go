// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// conn is a reliable connection. It implements rdma.Conn.
type conn struct {
	dev           *device
	cfg           rdma.ConnConfig
	id            *C.struct_rdma_cm_id
	tag           uint64
	accepted      bool // not dialled
	local, remote netip.AddrPort
	peerData      []byte

	established     chan struct{}
	establishedOnce sync.Once
	lost            chan struct{} // closed with err
	parted          chan struct{} // closed when connection management is through with disconnecting
	partedOnce      sync.Once
	steps           chan managementEvent // what a dialling connection waits for, one after the other

	mu      sync.Mutex // guards err, drains, the state of the queue pair, and the end of qp and id
	err     error
	drains  bool        // the queue pair flushes what is posted
	dead    atomic.Bool // err is set
	closed  atomic.Bool
	qp      *C.struct_shim_qp
	notices *descriptor // of the completion queue

	sending sendQueue
	recving recvQueue
	polling poller
	attr    C.struct_shim_qp_attr
	canRead bool // READs may be posted
}

var _ rdma.Conn = (*conn)(nil)

var errConnClosed = fmt.Errorf("connection %w", rdma.ErrClosed)

func newConn(d *device, cfg rdma.ConnConfig) *conn {
	return &conn{
		dev: d, cfg: cfg,
		established: make(chan struct{}), lost: make(chan struct{}), parted: make(chan struct{}),
		steps: make(chan managementEvent, 1),
	}
}

// createQP makes the queue pair and takes it to where receives may be posted.
func (c *conn) createQP() error {
	c.sending.init(c.cfg)
	c.recving.init(c.cfg)
	sizes := C.struct_shim_sizes{
		sends: C.uint32_t(c.cfg.SendQueue), recvs: C.uint32_t(c.cfg.RecvQueue),
		send_sges: C.uint32_t(c.cfg.SendSGE), recv_sges: C.uint32_t(c.cfg.RecvSGE),
		batch:        C.uint32_t(min(c.cfg.SendQueue+c.cfg.RecvQueue, maxBatch)),
		kernel_flags: c.dev.limits.kernel_flags, chained_binds: c.dev.limits.chained_binds,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := errno(C.shim_create_qp(c.dev.pd, &sizes, &c.qp)); err != nil {
		return fmt.Errorf("create a queue pair: %w", err)
	}
	if err := errno(C.shim_to_init(c.qp, c.id, &c.attr)); err != nil {
		return fmt.Errorf("initialise the queue pair: %w", err)
	}
	var err error
	if c.notices, err = watch(int(c.qp.channel.fd), "completions"); err != nil {
		return err
	}
	c.polling.init(c)
	c.dev.mu.Lock()
	defer c.dev.mu.Unlock()
	c.dev.conns[uint32(c.qp.qp.qp_num)] = c
	return nil
}

// ready takes the queue pair to where it receives and sends, with the numbers of outstanding READs that both sides can.
func (c *conn) ready(e *managementEvent) error {
	c.attr.max_dest_rd_atomic = min(c.attr.max_dest_rd_atomic, e.responder_resources)
	c.attr.max_rd_atomic = min(c.attr.max_rd_atomic, e.initiator_depth)
	c.canRead = c.attr.max_rd_atomic > 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if err := errno(C.shim_to_ready(c.qp, c.id, &c.attr)); err != nil {
		return fmt.Errorf("make the queue pair ready: %w", err)
	}
	c.drains = true
	return nil
}

// param fills what the peer is told.
func (c *conn) param(privateData []byte) *C.struct_shim_conn_param {
	p := &C.struct_shim_conn_param{
		qpn:                 c.qp.qp.qp_num,
		responder_resources: c.attr.max_dest_rd_atomic,
		initiator_depth:     c.attr.max_rd_atomic,
		retry_count:         C.uint8_t(c.cfg.RetryCount),
		rnr_retry_count:     C.uint8_t(c.cfg.RNRRetryCount),
	}
	fillPrivate(p, privateData)
	return p
}

// fillPrivate sets the private data, whose length was checked.
func fillPrivate(p *C.struct_shim_conn_param, data []byte) {
	p.private_length = C.uint8_t(len(data))
	for i, b := range data {
		p.private_data[i] = C.uint8_t(b)
	}
}

// event is called when connection management has something to say.
func (c *conn) event(e *managementEvent) {
	switch e._type {
	case C.RDMA_CM_EVENT_ADDR_RESOLVED, C.RDMA_CM_EVENT_ROUTE_RESOLVED, C.RDMA_CM_EVENT_CONNECT_RESPONSE:
		c.answer(e)
	case C.RDMA_CM_EVENT_ESTABLISHED:
		c.establishedOnce.Do(func() { close(c.established) })
	case C.RDMA_CM_EVENT_DISCONNECTED:
		c.onDisconnected()
	case C.RDMA_CM_EVENT_ADDR_ERROR, C.RDMA_CM_EVENT_ROUTE_ERROR, C.RDMA_CM_EVENT_UNREACHABLE:
		c.fail(c.gone(fmt.Errorf("%w: %w", rdma.ErrUnreachable, statusError(e))))
	case C.RDMA_CM_EVENT_CONNECT_ERROR:
		c.fail(fmt.Errorf("%w: the connection was not made: %w", rdma.ErrDisconnected, statusError(e)))
	case C.RDMA_CM_EVENT_REJECTED:
		c.fail(c.gone(&rdma.RejectError{Reason: uint16(e.status), PrivateData: privateDataOf(e)}))
	case C.RDMA_CM_EVENT_ADDR_CHANGE:
		c.fail(rdma.ErrAddrChange)
	case C.RDMA_CM_EVENT_DEVICE_REMOVAL:
		c.remove()
	}
}

// answer hands an event to the dial that waits for it.
func (c *conn) answer(e *managementEvent) {
	select {
	case c.steps <- *e:
	default: // nobody asked
	}
}

// gone makes of a refusal what it is for a side that had accepted: the end.
func (c *conn) gone(err error) error {
	if c.accepted {
		return fmt.Errorf("%w before it had confirmed the connection: %w", rdma.ErrDisconnected, err)
	}
	return err
}

// onDisconnected is the end of a disconnect, whoever wanted it. A peer that did waits for our answer.
func (c *conn) onDisconnected() {
	c.fail(rdma.ErrDisconnected)
	c.partedOnce.Do(func() { close(c.parted) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed.Load() {
		C.shim_disconnect(c.id) // it fails where it was us who asked, and there is nothing left to say
	}
}

// remove is the end of the device.
func (c *conn) remove() {
	c.mu.Lock()
	c.drains = false // nobody flushes any more
	c.mu.Unlock()
	c.fail(rdma.ErrDeviceRemoved)
	c.partedOnce.Do(func() { close(c.parted) })
	c.interrupt()
}

// confirm tells connection management that the peer's first message has come, which is as good as its confirmation.
func (c *conn) confirm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed.Load() {
		C.shim_confirm(c.id) // it fails where the confirmation has come meanwhile
	}
}

// fail ends the connection's life, for the first reason that is given. What is posted is flushed.
func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = fmt.Errorf("connection to %s: %w", c.remote, err)
	c.dead.Store(true)
	if c.drains {
		if err := errno(C.shim_to_error(c.qp)); err != nil {
			c.drains = false
			c.err = errors.Join(c.err, fmt.Errorf("flush the queue pair: %w", err))
		}
	}
	close(c.lost)
	if c.notices != nil {
		c.notices.interrupt()
	}
}

// interrupt lets a Poll that waits look around.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.notices != nil {
		c.notices.interrupt()
	}
}

// LocalAddr is the device's address and the port that the connection was made from or to.
func (c *conn) LocalAddr() netip.AddrPort { return c.local }

// RemoteAddr is the peer's address and port.
func (c *conn) RemoteAddr() netip.AddrPort { return c.remote }

// PeerData is the private data of the peer's request or reply.
func (c *conn) PeerData() []byte { return c.peerData }

// Established is closed when both sides have agreed.
func (c *conn) Established() <-chan struct{} { return c.established }

// Lost is closed when the connection can carry no more work.
func (c *conn) Lost() <-chan struct{} { return c.lost }

// Err is why the connection was lost.
func (c *conn) Err() error {
	if !c.dead.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Disconnect flushes all work, tells the peer and waits for its consent.
func (c *conn) Disconnect(ctx context.Context) error {
	const what = "disconnect"
	c.fail(errConnClosed)
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return nil
	}
	err := errno(C.shim_disconnect(c.id))
	c.mu.Unlock()
	if errors.Is(err, syscall.EINVAL) {
		return nil // no connection any more: the peer was faster, or the device is gone
	}
	if err != nil {
		return c.dev.failed(what+" from "+c.remote.String(), err)
	}
	select {
	case <-c.parted:
		return nil
	case <-ctx.Done():
		return c.dev.failed(what+" from "+c.remote.String(), ctx.Err())
	}
}

// Close disconnects without waiting for the peer, and gives everything back.
func (c *conn) Close() error {
	c.fail(errConnClosed)
	c.mu.Lock()
	if c.closed.Load() {
		c.mu.Unlock()
		return nil
	}
	c.closed.Store(true)
	C.shim_disconnect(c.id) // it fails where there is no connection, or none any more
	c.mu.Unlock()
	c.interrupt()

	// From here on nobody begins to poll or to post, and who does is waited for.
	c.polling.mu.Lock()
	defer c.polling.mu.Unlock()
	c.polling.forget()
	c.sending.mu.Lock()
	defer c.sending.mu.Unlock()
	c.recving.mu.Lock()
	defer c.recving.mu.Unlock()
	return wrap("close the connection to "+c.remote.String(), c.release())
}

// release gives back what the connection has made, as far as it got.
func (c *conn) release() error {
	var errs []error
	if c.qp != nil {
		c.dev.mu.Lock()
		if c.qp.qp != nil {
			delete(c.dev.conns, uint32(c.qp.qp.qp_num))
		}
		c.dev.mu.Unlock()
		errs = append(errs, c.dev.renewWindows(c))
		if c.notices != nil {
			errs = append(errs, c.notices.close())
		}
		errs = append(errs, wrap("destroy the queue pair", errno(C.shim_destroy_qp(c.qp))))
	}
	return errors.Join(append(errs, c.dev.dropID(c.id, c.tag))...)
}
