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
	"syscall"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Dial asks the peer for a connection.
func (d *device) Dial(ctx context.Context, peer netip.AddrPort, cfg rdma.ConnConfig, privateData []byte, recvs ...rdma.RecvWR) (rdma.Conn, error) {
	c, err := d.dial(ctx, peer, cfg, privateData, recvs)
	if err != nil {
		return nil, d.failed(fmt.Sprintf("dial %s", peer), err)
	}
	return c, nil
}

func (d *device) dial(ctx context.Context, peer netip.AddrPort, cfg rdma.ConnConfig, privateData []byte, recvs []rdma.RecvWR) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg, err := d.completeConn(cfg)
	if err == nil {
		err = d.checkPeer(peer)
	}
	if err == nil {
		err = rdma.CheckLimit("private data", len(privateData), 0, rdma.MaxRequestData)
	}
	if err != nil {
		return nil, err
	}
	c := newConn(d, cfg)
	c.remote = peer
	c.attr = d.attributes(cfg)
	c.attr.timeout = C.uint8_t(cfg.AckTimeout)
	if c.id, c.tag, err = d.newID(c); err != nil {
		return nil, err
	}
	if err := c.dial(ctx, privateData, recvs); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// dial goes through the steps of asking: each is a call of connection management, and an event that answers it.
func (c *conn) dial(ctx context.Context, privateData []byte, recvs []rdma.RecvWR) error {
	if err := c.resolve(ctx); err != nil {
		return err
	}
	c.local = localAddr(c.id)
	if err := c.createQP(); err != nil {
		return err
	}
	if err := c.postRecv(recvs); err != nil {
		return err
	}
	e, err := c.step(ctx, "ask for the connection", func() C.int { return C.shim_connect(c.id, c.param(privateData)) })
	if err != nil {
		return err
	}
	c.peerData = privateDataOf(&e)
	if err := c.ready(&e); err != nil {
		return err
	}
	if err := errno(C.shim_establish(c.id)); err != nil {
		return fmt.Errorf("confirm the connection: %w", err)
	}
	c.establishedOnce.Do(func() { close(c.established) })
	return nil
}

// resolve finds the way to the peer.
func (c *conn) resolve(ctx context.Context) error {
	local, err := toC(netip.AddrPortFrom(c.dev.addr, 0))
	if err != nil {
		return err
	}
	peer, err := toC(c.remote)
	if err != nil {
		return err
	}
	timeout := C.int(c.dev.cfg.ResolveTimeout.Milliseconds())
	_, err = c.step(ctx, "resolve the address", func() C.int { return C.shim_resolve_addr(c.id, &local, &peer, timeout) })
	if err != nil {
		return err
	}
	if c.cfg.AckTimeout != 0 {
		if err := errno(C.shim_set_ack_timeout(c.id, C.uint8_t(c.cfg.AckTimeout))); err != nil {
			return fmt.Errorf("set the ACK timeout: %w", err)
		}
	}
	_, err = c.step(ctx, "resolve the route", func() C.int { return C.shim_resolve_route(c.id, timeout) })
	return err
}

// step begins something and waits for the event that answers it.
func (c *conn) step(ctx context.Context, what string, begin func() C.int) (managementEvent, error) {
	if err := errno(begin()); err != nil {
		if unreachable(err) {
			err = fmt.Errorf("%w: %w", rdma.ErrUnreachable, err)
		}
		return managementEvent{}, wrap(what, err)
	}
	select {
	case e := <-c.steps:
		return e, nil
	case <-c.lost:
		return managementEvent{}, wrap(what, c.Err())
	case <-ctx.Done():
		return managementEvent{}, wrap(what, ctx.Err())
	}
}

// unreachable tells whether the kernel knows no way to the peer.
func unreachable(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
}

// checkPeer refuses an address that this device cannot reach.
func (d *device) checkPeer(peer netip.AddrPort) error {
	addr := peer.Addr().Unmap()
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast():
		return fmt.Errorf("the peer's address is %s, must be one address of one interface", addr)
	case addr.Is4() != d.addr.Is4():
		return fmt.Errorf("the peer's address %s and the device's, %s, are of different families", addr, d.addr)
	case peer.Port() == 0:
		return errors.New("the peer's port is 0")
	}
	return nil
}

// completeConn sets defaults of a connection's configuration and checks it.
func (d *device) completeConn(c rdma.ConnConfig) (rdma.ConnConfig, error) {
	setDefault(&c.SendSGE, 1)
	setDefault(&c.RecvSGE, 1)
	setDefault(&c.MinRNRTimer, d.cfg.MinRNRTimer)
	l := &d.limits
	const maxDepth = 254 // 255 asks the library for its own choice
	limits := []error{
		rdma.CheckLimit("send queue", c.SendQueue, 1, d.Limits().MaxSendWR),
		rdma.CheckLimit("receive queue", c.RecvQueue, 1, int(l.max_qp_wr)),
		rdma.CheckLimit("send and receive queue together", c.SendQueue+c.RecvQueue, 2, int(l.max_cqe)-1),
		rdma.CheckLimit("buffers in a send", c.SendSGE, 1, int(l.max_sge)),
		rdma.CheckLimit("buffers in a receive", c.RecvSGE, 1, int(l.max_sge)),
		rdma.CheckLimit("initiator depth", c.InitiatorDepth, 0, min(int(l.max_initiator_depth), maxDepth)),
		rdma.CheckLimit("responder resources", c.ResponderResources, 0, min(int(l.max_responder_resources), maxDepth)),
		rdma.CheckLimit("retry count", c.RetryCount, 0, 7),
		rdma.CheckLimit("RNR retry count", c.RNRRetryCount, 0, 7),
		rdma.CheckLimit("ACK timeout code", c.AckTimeout, 0, 31),
		rdma.CheckLimit("RNR timer code", c.MinRNRTimer, 1, 31),
	}
	for _, err := range limits {
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// attributes are those of the queue pair that the configuration sets.
func (d *device) attributes(cfg rdma.ConnConfig) C.struct_shim_qp_attr {
	return C.struct_shim_qp_attr{
		max_rd_atomic:      C.uint8_t(cfg.InitiatorDepth),
		max_dest_rd_atomic: C.uint8_t(cfg.ResponderResources),
		min_rnr_timer:      C.uint8_t(cfg.MinRNRTimer),
	}
}
