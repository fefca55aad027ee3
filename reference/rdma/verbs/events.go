// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// managementEvent is an event of connection management.
type managementEvent = C.struct_shim_cm_event

// sink takes the events of one id of connection management. It is called by one goroutine and must not wait.
type sink interface {
	event(e *managementEvent)
}

// privateDataOf copies what the peer sent along.
func privateDataOf(e *managementEvent) []byte {
	data := make([]byte, e.private_length)
	for i := range data {
		data[i] = byte(e.private_data[i])
	}
	return data
}

// statusError is the errno of an event.
func statusError(e *managementEvent) error {
	if e.status < 0 {
		return syscall.Errno(-e.status)
	}
	return fmt.Errorf("status %d", int(e.status))
}

// newTag gives a number that no sink has had.
func (d *device) newTag() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextTag++
	return d.nextTag
}

// register lets events of the tag go to s, instead of where they went.
func (d *device) register(tag uint64, s sink) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return rdma.ErrClosed
	}
	d.sinks[tag] = s
	return nil
}

func (d *device) unregister(tag uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sinks, tag)
}

// newID makes an id of connection management whose events go to s.
func (d *device) newID(s sink) (*C.struct_rdma_cm_id, uint64, error) {
	tag := d.newTag()
	if err := d.register(tag, s); err != nil {
		return nil, 0, err
	}
	var id *C.struct_rdma_cm_id
	if err := errno(C.shim_create_id(d.channel, C.uint64_t(tag), &id)); err != nil {
		d.unregister(tag)
		return nil, 0, fmt.Errorf("make an id of connection management: %w", err)
	}
	return id, tag, nil
}

// dropID destroys an id; its events go nowhere from then on.
func (d *device) dropID(id *C.struct_rdma_cm_id, tag uint64) error {
	err := wrap("destroy the id of connection management", errno(C.shim_destroy_id(id)))
	d.unregister(tag)
	return err
}

// readManagement hands out events of connection management until the descriptor is closed.
func (d *device) readManagement() {
	var e managementEvent
	for {
		var got error
		err := d.management.wait(func(uintptr) bool {
			got = errno(C.shim_next_event(d.channel, &e))
			return !errors.Is(got, syscall.EAGAIN)
		})
		if err != nil {
			return
		}
		if got == nil {
			d.dispatch(&e)
		}
	}
}

func (d *device) dispatch(e *managementEvent) {
	d.mu.Lock()
	s := d.sinks[uint64(e.tag)]
	d.mu.Unlock()
	switch {
	case s != nil:
		s.event(e)
	case e._type == C.RDMA_CM_EVENT_CONNECT_REQUEST: // for a listener that was closed meanwhile
		C.shim_destroy_id(e.id)
	}
}

// readAsync takes the device's own events until the descriptor is closed.
func (d *device) readAsync() {
	for {
		var got error
		var kind C.int
		var qpn C.uint32_t
		err := d.async.wait(func(uintptr) bool {
			got = errno(C.shim_next_async(d.context, &kind, &qpn))
			return !errors.Is(got, syscall.EAGAIN)
		})
		if err != nil {
			return
		}
		if got == nil {
			d.onAsync(kind, uint32(qpn))
		}
	}
}

func (d *device) onAsync(kind C.int, qpn uint32) {
	if kind == C.IBV_EVENT_DEVICE_FATAL {
		d.failAll(fmt.Errorf("%w: the device reports a fatal error", rdma.ErrDeviceRemoved))
		return
	}
	d.mu.Lock()
	c := d.conns[qpn]
	d.mu.Unlock()
	if c == nil {
		return
	}
	switch kind {
	case C.IBV_EVENT_COMM_EST:
		c.confirm()
	case C.IBV_EVENT_QP_FATAL:
		c.fail(queuePairError(rdma.StatusFatal))
	case C.IBV_EVENT_QP_REQ_ERR:
		c.fail(queuePairError(rdma.StatusRemoteInvalid))
	case C.IBV_EVENT_QP_ACCESS_ERR:
		c.fail(queuePairError(rdma.StatusLocalAccess))
	}
}

// queuePairError is a failure of the queue pair that no work request tells.
func queuePairError(status rdma.Status) error {
	return fmt.Errorf("the queue pair has failed: %w", &rdma.WorkError{Recv: true, Status: status})
}

func (d *device) failAll(err error) {
	d.mu.Lock()
	all := make([]*conn, 0, len(d.conns))
	for _, c := range d.conns {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		c.fail(err)
	}
}
