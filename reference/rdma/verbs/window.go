// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// window is a memory window: of type 1 if it is shared, otherwise of type 2. It implements rdma.Window.
//
// Its fields are guarded by the device's bindMu.
type window struct {
	dev    *device
	shared bool
	mw     *C.struct_ibv_mw // nil when closed, or when renewing it failed
	broken error            // why mw is nil although the window is open
	last   uint32           // key of the last posted bind, 0 before the first
	bound  *region          // what it opens; nil if nothing
	conn   *conn            // that a window of type 2 was last bound on, or tried to be
}

var _ rdma.Window = (*window)(nil)

// NewWindow makes a window of type 2.
func (d *device) NewWindow() (rdma.Window, error) { return d.newWindow(false) }

// NewSharedWindow makes a window of type 1.
func (d *device) NewSharedWindow() (rdma.Window, error) { return d.newWindow(true) }

func (d *device) newWindow(shared bool) (rdma.Window, error) {
	const what = "make a window"
	d.bindMu.Lock()
	defer d.bindMu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, d.failed(what, rdma.ErrClosed)
	case shared && d.limits.windows == 0:
		return nil, d.failed(what, errors.New("the device has no memory windows of type 1"))
	case !shared && d.limits.queue_windows == 0:
		return nil, d.failed(what, errors.New("the device has no memory windows of type 2"))
	}
	w := &window{dev: d, shared: shared}
	if err := w.alloc(); err != nil {
		return nil, d.failed(what, err)
	}
	d.windows[w] = true
	return w, nil
}

func (w *window) alloc() error {
	kind := C.int(C.IBV_MW_TYPE_2)
	if w.shared {
		kind = C.IBV_MW_TYPE_1
	}
	err := errno(C.shim_alloc_window(w.dev.pd, kind, &w.mw))
	if err == nil {
		w.dev.keys[keyIndex(uint32(w.mw.rkey))] = w
	}
	return err
}

// A key is an index, which stays the window's, above a byte that each bind changes.
const keyVariant = 0xFF

func keyIndex(key uint32) uint32 { return key &^ keyVariant }

// nextKey is the key that a bind gives which follows one that gave key.
func nextKey(key uint32) uint32 { return keyIndex(key) | (key+1)&keyVariant }

// Key is the key of the last posted bind, 0 before the first.
func (w *window) Key() uint32 {
	w.dev.bindMu.Lock()
	defer w.dev.bindMu.Unlock()
	return w.last
}

// NextKey is the key that the next posted bind gives; 0 of a window that is closed.
func (w *window) NextKey() uint32 {
	w.dev.bindMu.Lock()
	defer w.dev.bindMu.Unlock()
	return w.next()
}

// next is NextKey for callers that hold bindMu.
func (w *window) next() uint32 {
	if w.mw == nil {
		return 0
	}
	return nextKey(uint32(w.mw.rkey))
}

// Close takes the key back and gives the memory window back.
func (w *window) Close() error {
	w.dev.bindMu.Lock()
	defer w.dev.bindMu.Unlock()
	w.dev.mu.Lock()
	open := w.dev.windows[w]
	w.dev.mu.Unlock()
	if !open {
		return nil
	}
	if err := w.dealloc(); err != nil {
		return w.dev.failed(fmt.Sprintf("close the window with key %#x", w.last), err)
	}
	w.dev.mu.Lock()
	defer w.dev.mu.Unlock()
	delete(w.dev.windows, w)
	return nil
}

func (w *window) dealloc() error {
	if w.mw != nil {
		key := uint32(w.mw.rkey)
		if err := errno(C.shim_dealloc_window(w.mw)); err != nil {
			return err
		}
		delete(w.dev.keys, keyIndex(key))
	}
	w.mw, w.conn = nil, nil
	w.unbind()
	return nil
}

// unbind notes that the window opens nothing.
func (w *window) unbind() {
	if w.bound != nil {
		w.bound.addBound(-1)
		w.bound = nil
	}
}

// bind notes that a bind to r has been posted on c.
func (w *window) bind(r *region, c *conn) {
	w.unbind()
	r.addBound(1)
	w.bound, w.conn = r, c
}

// usable says why the window cannot be used, if so.
func (w *window) usable() error {
	switch {
	case w.broken != nil:
		return w.broken
	case w.mw == nil:
		return rdma.ErrClosed
	}
	return nil
}

// window gives the window of this device behind the interface, nil if it is none.
func (d *device) window(w rdma.Window) *window {
	if w, ok := w.(*window); ok && w.dev == d {
		return w
	}
	return nil
}

// renewWindows replaces the memory windows of type 2 that were bound on a connection whose queue pair is about to be
// destroyed: they hold on to it, and nobody else can take them back.
func (d *device) renewWindows(c *conn) error {
	d.bindMu.Lock()
	defer d.bindMu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for w := range d.windows {
		if w.conn != c || w.shared {
			continue
		}
		err := w.dealloc()
		if err == nil {
			err = w.alloc()
		}
		if err != nil {
			w.broken = fmt.Errorf("the window could not be renewed after its connection: %w", err)
			errs = append(errs, w.broken)
		}
	}
	return errors.Join(errs...)
}

// keyTaken notes that the peer has taken back a key.
func (d *device) keyTaken(key uint32) {
	d.bindMu.Lock()
	defer d.bindMu.Unlock()
	if w := d.keys[keyIndex(key)]; w != nil && w.last == key {
		w.unbind()
	}
}
