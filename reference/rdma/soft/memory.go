// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Key indexes: a key is index<<8 with a varying low byte, so that a key that was taken back is not mistaken for its
// successor. Regions and windows have their own ranges, as they have with soft-RoCE in Linux.
const (
	firstRegionIndex = 1
	firstWindowIndex = 1 << 19
	lastIndex        = 1<<20 - 1
)

// keyIndex is the part of a key that stays the same as long as its region or window lives.
func keyIndex(key uint32) uint32 { return key >> 8 }

// memory is the table of keys of one device.
type memory struct {
	mu         sync.RWMutex     // guards everything below, what slots hold, and the count of windows on a region
	slots      map[uint32]*slot // by key index
	nextRegion uint32
	nextWindow uint32
	regions    int
	windows    int
}

// region is registered memory. It implements rdma.Region.
type region struct {
	dev    *Device
	access rdma.Access
	slot   slot
	key    uint32
	addr   uint64
	size   int

	mu    sync.RWMutex // held to read while data is touched, so that no key is taken back and Close does not unmap it meanwhile
	data  []byte       // nil when closed
	bound int          // keys that open it; guarded by the memory table's lock
}

var _ rdma.Region = (*region)(nil)

// Register allocates memory with mmap, outside the Go heap.
func (d *Device) Register(size int, access rdma.Access) (rdma.Region, error) {
	if err := rdma.CheckLimit("size of a region", size, 1, maxRegion); err != nil {
		return nil, d.failed("register memory", err)
	}
	if access&(rdma.RemoteWrite|rdma.RemoteAtomic) != 0 && access&rdma.LocalWrite == 0 {
		return nil, d.failed("register memory", errors.New("remote writing needs the right to write locally"))
	}
	page := os.Getpagesize()
	data, err := unix.Mmap(-1, 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, d.failed(fmt.Sprintf("register memory: map %d bytes", size), err)
	}
	r := &region{dev: d, access: access, data: data, size: size, addr: uint64(uintptr(unsafe.Pointer(&data[0])))}
	if err := d.mem.add(d, r); err != nil {
		return nil, errors.Join(d.failed("register memory", err), unix.Munmap(data))
	}
	return r, nil
}

// maxRegion is the largest region in bytes: what one message can carry.
const maxRegion = 1 << 31

func (m *memory) add(d *Device, r *region) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.isClosed() {
		return rdma.ErrClosed
	}
	index, err := m.place(&r.slot, &m.nextRegion, firstRegionIndex, firstWindowIndex)
	if err != nil {
		return err
	}
	r.key = index<<8 | d.random()&0xFF
	r.slot.give(grant{key: r.key, region: r, addr: r.addr, length: uint64(r.size), access: r.access})
	m.regions++
	return nil
}

// place puts a slot at a free key index of [first, end), going round so that indexes are reused late.
func (m *memory) place(s *slot, next *uint32, first, end uint32) (uint32, error) {
	for range end - first {
		index := max(*next, first)
		*next = index + 1
		if *next == end {
			*next = first
		}
		if m.slots[index] == nil {
			m.slots[index] = s
			return index, nil
		}
	}
	return 0, fmt.Errorf("no free key: %d in use", end-first)
}

// Bytes is the memory itself, nil when the region is closed.
func (r *region) Bytes() []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.data == nil {
		return nil
	}
	return r.data[:r.size:r.size]
}

func (r *region) Addr() uint64 { return r.addr }
func (r *region) Key() uint32  { return r.key }

// Close unmaps the memory once nobody copies to or from it.
func (r *region) Close() error {
	m := &r.dev.mem
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.slot.opens.region == nil {
		return nil
	}
	if windows := r.bound - 1; windows > 0 {
		return r.dev.failed(fmt.Sprintf("close the region with key %#x: %d windows are bound to it", r.key, windows), rdma.ErrBusy)
	}
	r.slot.takeBack()
	delete(m.slots, keyIndex(r.key))
	m.regions--
	r.mu.Lock()
	defer r.mu.Unlock()
	err := unix.Munmap(r.data)
	r.data = nil
	return err
}

// localRegion gives the region of this device behind the interface, nil if it is none.
func (d *Device) localRegion(r rdma.Region) *region {
	if r, ok := r.(*region); ok && r.dev == d {
		return r
	}
	return nil
}

// span is one local buffer of a work request.
type span struct {
	region *region
	offset int
	length int
}

// errLocal is why local work fails with "local protection error".
var errLocal = errors.New("local buffer not accessible")

// valid tells whether the span lies in an open region that grants the right.
func (s *span) valid(access rdma.Access) bool {
	r := s.region
	if r == nil || s.offset < 0 || s.length < 0 || s.offset > r.size || s.length > r.size-s.offset {
		return false
	}
	return r.access&access == access
}

// gather copies from the spans, beginning at a byte offset into all of them together, until dst is full.
func gather(spans []span, offset int, dst []byte) error {
	for i := range spans {
		s := &spans[i]
		if offset >= s.length {
			offset -= s.length
			continue
		}
		n := min(s.length-offset, len(dst))
		if err := s.region.load(s.offset+offset, dst[:n]); err != nil {
			return err
		}
		dst = dst[n:]
		if len(dst) == 0 {
			return nil
		}
		offset = 0
	}
	return nil
}

// scatter copies src to the spans, beginning at a byte offset into all of them together.
func scatter(spans []span, offset int, src []byte) error {
	for i := range spans {
		s := &spans[i]
		if offset >= s.length {
			offset -= s.length
			continue
		}
		n := min(s.length-offset, len(src))
		if err := s.region.store(s.offset+offset, src[:n]); err != nil {
			return err
		}
		src = src[n:]
		if len(src) == 0 {
			return nil
		}
		offset = 0
	}
	return nil
}

func (r *region) load(at int, dst []byte) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.data == nil {
		return errLocal
	}
	copy(dst, r.data[at:])
	return nil
}

func (r *region) store(at int, src []byte) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.data == nil {
		return errLocal
	}
	copy(r.data[at:], src)
	return nil
}
