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
	"syscall"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// request is a peer's wish for a connection. It implements rdma.Request.
type request struct {
	dev           *device
	id            *C.struct_rdma_cm_id
	tag           uint64
	asked         managementEvent
	local, remote netip.AddrPort

	mu       sync.Mutex // guards the rest
	answered bool
	gone     error // why the peer waits no more
}

var _ rdma.Request = (*request)(nil)

// LocalAddr is the address and port that the peer asked.
func (r *request) LocalAddr() netip.AddrPort { return r.local }

// RemoteAddr is the peer's.
func (r *request) RemoteAddr() netip.AddrPort { return r.remote }

// PrivateData is what the peer sent, zero-padded.
func (r *request) PrivateData() []byte { return privateDataOf(&r.asked) }

// event is called when the peer has given up, or the device is gone.
func (r *request) event(e *managementEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e._type {
	case C.RDMA_CM_EVENT_DEVICE_REMOVAL:
		r.gone = rdma.ErrDeviceRemoved
	case C.RDMA_CM_EVENT_REJECTED, C.RDMA_CM_EVENT_UNREACHABLE, C.RDMA_CM_EVENT_CONNECT_ERROR, C.RDMA_CM_EVENT_DISCONNECTED:
		r.gone = fmt.Errorf("%w: it has given up", rdma.ErrDisconnected)
	}
}

var errAnswered = errors.New("the request has been answered already")

// take makes the caller the one that answers.
func (r *request) take() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered {
		return errAnswered
	}
	r.answered = true
	return nil
}

// peerGave up is what an answer means that the kernel does not know the request for any more.
func peerGaveUp(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTCONN) {
		return fmt.Errorf("%w: it waits no more: %w", rdma.ErrDisconnected, err)
	}
	return err
}

// Reject refuses.
func (r *request) Reject(privateData []byte) error {
	what := "reject the request of " + r.remote.String()
	if err := rdma.CheckLimit("private data", len(privateData), 0, rdma.MaxRejectData); err != nil {
		return r.dev.failed(what, err)
	}
	if err := r.take(); err != nil {
		return r.dev.failed(what, err)
	}
	return r.dev.failed(what, r.reject(privateData))
}

func (r *request) reject(privateData []byte) error {
	var p C.struct_shim_conn_param
	fillPrivate(&p, privateData)
	r.mu.Lock()
	err := r.gone
	r.mu.Unlock()
	if err == nil {
		err = peerGaveUp(errno(C.shim_reject(r.id, &p)))
	}
	return errors.Join(err, r.dev.dropID(r.id, r.tag))
}

// Accept makes the connection.
func (r *request) Accept(ctx context.Context, cfg rdma.ConnConfig, privateData []byte, recvs ...rdma.RecvWR) (rdma.Conn, error) {
	what := "accept the request of " + r.remote.String()
	if err := r.take(); err != nil {
		return nil, r.dev.failed(what, err)
	}
	c, err := r.prepare(ctx, cfg, privateData)
	if err != nil {
		return nil, r.dev.failed(what, errors.Join(err, r.reject(nil)))
	}
	if err := r.accept(c, privateData, recvs); err != nil {
		// Destroying the id of a request that was not accepted rejects it.
		return nil, r.dev.failed(what, errors.Join(err, c.Close()))
	}
	return c, nil
}

// prepare checks everything and makes a connection of the request, which then gets its events and owns its id.
func (r *request) prepare(ctx context.Context, cfg rdma.ConnConfig, privateData []byte) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg, err := r.dev.completeConn(cfg)
	if err == nil {
		err = rdma.CheckLimit("private data", len(privateData), 0, rdma.MaxReplyData)
	}
	if err != nil {
		return nil, err
	}
	c := newConn(r.dev, cfg)
	c.accepted = true
	c.id, c.tag, c.local, c.remote = r.id, r.tag, r.local, r.remote
	c.peerData = r.PrivateData()
	c.attr = r.dev.attributes(cfg)
	return c, r.dev.register(r.tag, c)
}

func (r *request) accept(c *conn, privateData []byte, recvs []rdma.RecvWR) error {
	r.mu.Lock()
	gone := r.gone // what comes from now on goes to the connection
	r.mu.Unlock()
	if gone != nil {
		return gone
	}
	if err := c.createQP(); err != nil {
		return err
	}
	if err := c.postRecv(recvs); err != nil {
		return err
	}
	if err := c.ready(&r.asked); err != nil {
		return err
	}
	return wrap("reply", peerGaveUp(errno(C.shim_accept(r.id, c.param(privateData)))))
}
