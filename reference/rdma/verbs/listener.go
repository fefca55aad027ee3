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

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// listener takes connection requests. It implements rdma.Listener.
type listener struct {
	dev   *device
	id    *C.struct_rdma_cm_id
	tag   uint64
	addr  netip.AddrPort
	queue chan *request

	mu     sync.Mutex // guards the rest, and adding to queue
	err    error      // why there will be no more requests
	done   chan struct{}
	closed bool
}

var _ rdma.Listener = (*listener)(nil)

// Listen waits for connection requests.
func (d *device) Listen(port uint16) (rdma.Listener, error) {
	l := &listener{dev: d, queue: make(chan *request, d.cfg.Backlog), done: make(chan struct{})}
	if err := l.listen(port); err != nil {
		return nil, d.failed(fmt.Sprintf("listen on %s", netip.AddrPortFrom(d.addr, port)), err)
	}
	return l, nil
}

func (l *listener) listen(port uint16) error {
	local, err := toC(netip.AddrPortFrom(l.dev.addr, port))
	if err != nil {
		return err
	}
	if l.id, l.tag, err = l.dev.newID(l); err != nil {
		return err
	}
	err = errno(C.shim_bind(l.id, &local))
	if err == nil {
		err = errno(C.shim_listen(l.id, C.int(l.dev.cfg.Backlog)))
	}
	if err != nil {
		return errors.Join(err, l.dev.dropID(l.id, l.tag))
	}
	l.addr = netip.AddrPortFrom(l.dev.addr, localAddr(l.id).Port())
	return nil
}

// Addr is the address and port that is listened on.
func (l *listener) Addr() netip.AddrPort { return l.addr }

// event is called for a request, and when there can be no more.
func (l *listener) event(e *managementEvent) {
	switch e._type {
	case C.RDMA_CM_EVENT_CONNECT_REQUEST:
		l.add(e)
	case C.RDMA_CM_EVENT_DEVICE_REMOVAL:
		l.end(rdma.ErrDeviceRemoved)
	case C.RDMA_CM_EVENT_ADDR_CHANGE:
		l.end(rdma.ErrAddrChange)
	}
}

// add queues a request. One that does not fit is rejected by destroying its id.
func (l *listener) add(e *managementEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &request{dev: l.dev, id: e.id, asked: *e, local: localAddr(e.id), remote: peerAddr(e.id), tag: l.dev.newTag()}
	C.shim_set_tag(e.id, C.uint64_t(r.tag))
	if l.err != nil || len(l.queue) == cap(l.queue) || l.dev.register(r.tag, r) != nil {
		C.shim_destroy_id(e.id)
		return
	}
	l.queue <- r
}

// end lets Next fail, once those that wait have been given out.
func (l *listener) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.done)
	}
}

// Next waits for a request.
func (l *listener) Next(ctx context.Context) (rdma.Request, error) {
	what := "wait for a connection request on " + l.addr.String()
	select {
	case r := <-l.queue:
		return r, nil
	default:
	}
	select {
	case r := <-l.queue:
		return r, nil
	case <-l.done:
		return nil, l.dev.failed(what, l.err)
	case <-ctx.Done():
		return nil, l.dev.failed(what, ctx.Err())
	}
}

// Close stops listening and rejects requests that wait.
func (l *listener) Close() error {
	l.end(fmt.Errorf("listener %w", rdma.ErrClosed))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	errs := []error{l.dev.dropID(l.id, l.tag)}
	for len(l.queue) > 0 {
		select {
		case r := <-l.queue:
			if err := r.Reject(nil); !errors.Is(err, rdma.ErrDisconnected) { // a peer that has given up is no failure
				errs = append(errs, err)
			}
		default: // Next was faster
		}
	}
	return l.dev.failed("close the listener on "+l.addr.String(), errors.Join(errs...))
}
