// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// region is registered memory. It implements rdma.Region.
type region struct {
	dev  *device
	size int
	addr uint64
	lkey uint32
	rkey uint32

	mu    sync.RWMutex
	data  []byte // whole pages; nil when closed
	mr    *C.struct_ibv_mr
	bound int // windows bound to it
}

var _ rdma.Region = (*region)(nil)

// Register maps memory and registers it.
func (d *device) Register(size int, access rdma.Access) (rdma.Region, error) {
	if err := rdma.CheckLimit("size of a region", size, 1, d.Limits().MaxRegion); err != nil {
		return nil, d.failed("register memory", err)
	}
	if access&(rdma.RemoteWrite|rdma.RemoteAtomic) != 0 && access&rdma.LocalWrite == 0 {
		return nil, d.failed("register memory", errors.New("remote writing needs the right to write locally"))
	}
	r, err := d.newRegion(size, access)
	return r, d.failed(fmt.Sprintf("register %d bytes of memory", size), err)
}

func (d *device) newRegion(size int, access rdma.Access) (rdma.Region, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, rdma.ErrClosed
	}
	page := os.Getpagesize()
	data, err := unix.Mmap(-1, 0, (size+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("map it: %w", err)
	}
	start := unsafe.Pointer(&data[0])
	r := &region{dev: d, size: size, addr: uint64(uintptr(start)), data: data}
	err = errno(C.shim_register(d.pd, start, C.size_t(size), accessFlags(access), &r.mr))
	if err != nil {
		if errors.Is(err, syscall.ENOMEM) {
			err = fmt.Errorf("%w: is there enough memory, and does the limit of locked memory (ulimit -l) allow it?", err)
		}
		return nil, errors.Join(err, unix.Munmap(data))
	}
	r.lkey, r.rkey = uint32(r.mr.lkey), uint32(r.mr.rkey)
	d.regions++
	return r, nil
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

// Addr is the address of the first byte, as work requests and peers use it.
func (r *region) Addr() uint64 { return r.addr }

// Key is the remote key of the whole region.
func (r *region) Key() uint32 { return r.rkey }

// Close takes the memory from the device and unmaps it.
func (r *region) Close() error {
	closed, err := r.close()
	if closed {
		r.dev.mu.Lock()
		r.dev.regions--
		r.dev.mu.Unlock()
	}
	return r.dev.failed(fmt.Sprintf("close the region with key %#x", r.rkey), err)
}

// close tells whether it was this call that has closed the region.
func (r *region) close() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.data == nil {
		return false, nil
	}
	if r.bound > 0 {
		return false, fmt.Errorf("%d windows are bound to it: %w", r.bound, rdma.ErrBusy)
	}
	if err := errno(C.ibv_dereg_mr(r.mr)); err != nil {
		return false, err
	}
	err := unix.Munmap(r.data)
	r.data, r.mr = nil, nil
	return true, wrap("unmap it", err)
}

// open tells whether the region is registered.
func (r *region) open() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.data != nil
}

// addBound counts a window that is bound, or with -1 is not any more.
func (r *region) addBound(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bound += n
}

// region gives the region of this device behind the interface, nil if it is none.
func (d *device) region(r rdma.Region) *region {
	if r, ok := r.(*region); ok && r.dev == d && r.open() {
		return r
	}
	return nil
}
