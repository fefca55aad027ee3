// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// window is a memory window, of type 2 unless it is shared. It implements rdma.Window. Its fields are guarded by the
// lock of the device's memory table.
type window struct {
	dev    *Device
	shared bool // belongs to no queue pair
	slot   slot
	last   uint32 // key of the last posted bind, 0 before the first
	next   uint32 // key of the next
	closed bool
}

var _ rdma.Window = (*window)(nil)

var (
	errWindowBound   = errors.New("the window is bound")
	errWindowUnbound = errors.New("the window is not bound on this connection")
)

// NewWindow makes a window that opens nothing yet.
func (d *Device) NewWindow() (rdma.Window, error) { return d.newWindow(false) }

// NewSharedWindow makes a window whose key works on every connection of the device.
func (d *Device) NewSharedWindow() (rdma.Window, error) { return d.newWindow(true) }

func (d *Device) newWindow(shared bool) (rdma.Window, error) {
	m := &d.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.isClosed() {
		return nil, d.failed("make a window", rdma.ErrClosed)
	}
	w := &window{dev: d, shared: shared}
	index, err := m.place(&w.slot, &m.nextWindow, firstWindowIndex, lastIndex+1)
	if err != nil {
		return nil, d.failed("make a window", err)
	}
	w.next = index<<8 | d.random()&0xFF
	m.windows++
	return w, nil
}

func (w *window) Key() uint32 {
	w.dev.mem.mu.RLock()
	defer w.dev.mem.mu.RUnlock()
	return w.last
}

func (w *window) NextKey() uint32 {
	w.dev.mem.mu.RLock()
	defer w.dev.mem.mu.RUnlock()
	return w.next
}

func (w *window) Close() error {
	m := &w.dev.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.slot.takeBack()
	delete(m.slots, keyIndex(w.next))
	m.windows--
	return nil
}

// owner is the queue pair that a window belongs to which is bound or taken back on queue pair qpn: a shared one belongs to
// none, 0.
func (w *window) owner(qpn uint32) uint32 {
	if w.shared {
		return 0
	}
	return qpn
}

// advance gives the key for a bind that is being posted.
func (w *window) advance() uint32 {
	w.dev.mem.mu.Lock()
	defer w.dev.mem.mu.Unlock()
	w.last = w.next
	w.next = w.next&^0xFF | (w.next+1)&0xFF
	return w.last
}

// bind makes key open a part of a region to queue pair qpn.
func (m *memory) bind(w *window, key, qpn uint32, r *region, b *rdma.Bind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	part := span{region: r, offset: b.Offset, length: b.Length}
	switch {
	case w.closed:
		return rdma.ErrClosed
	case w.bound() && !w.shared:
		return errWindowBound
	case r == nil || r.slot.opens.region == nil:
		return fmt.Errorf("bind a window: region %w", rdma.ErrClosed)
	case !part.valid(rdma.WindowBind) || b.Length == 0:
		return fmt.Errorf("bind a window: the region does not allow windows on %d bytes at %d", b.Length, b.Offset)
	case b.Access&(rdma.RemoteWrite|rdma.RemoteAtomic) != 0 && r.access&rdma.LocalWrite == 0:
		return errors.New("bind a window: the region cannot be written")
	}
	w.slot.takeBack()
	w.slot.give(grant{
		key: key, region: r, addr: r.addr + uint64(b.Offset), length: uint64(b.Length), access: b.Access, window: w, qpn: w.owner(qpn),
	})
	return nil
}

// bound tells whether the window opens something.
func (w *window) bound() bool { return w.slot.opens.region != nil }

// boundOn tells whether the window is one that queue pair qpn may take back.
func (w *window) boundOn(qpn uint32) bool { return w.bound() && w.slot.opens.qpn == w.owner(qpn) }

// invalidate takes back the key of a window that was bound on queue pair qpn, or is shared.
func (m *memory) invalidate(w *window, qpn uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !w.boundOn(qpn) {
		return errWindowUnbound
	}
	w.slot.takeBack()
	return nil
}

// invalidateKey is invalidate for the peer of queue pair qpn, which knows the key alone. It may take back no key of a
// region, none of another connection, and none that is shared.
func (m *memory) invalidateKey(key, qpn uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[keyIndex(key)]
	if s == nil || s.opens.key != key || s.opens.window == nil || s.opens.qpn != qpn {
		return fmt.Errorf("the peer takes back key %#x: %w", key, errWindowUnbound)
	}
	s.takeBack()
	return nil
}

// unbindAll takes back the keys of all windows that were bound on queue pair qpn.
func (m *memory) unbindAll(qpn uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		if s.opens.window != nil && s.opens.qpn == qpn {
			s.takeBack()
		}
	}
}
