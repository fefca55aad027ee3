// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// device is one address of an RDMA device. It implements rdma.Device.
type device struct {
	cfg     Config
	name    string
	addr    netip.Addr
	limits  C.struct_shim_limits
	channel *C.struct_rdma_event_channel
	context *C.struct_ibv_context
	pd      *C.struct_ibv_pd

	management *descriptor // of channel
	async      *descriptor // of context
	ended      sync.WaitGroup

	mu      sync.Mutex // guards the rest
	closed  bool
	nextTag uint64
	sinks   map[uint64]sink
	conns   map[uint32]*conn // by queue pair number
	windows map[*window]bool
	regions int

	bindMu sync.Mutex         // guards all windows; held while a window's key advances, until that is posted
	keys   map[uint32]*window // by the part of their keys that stays
}

var _ rdma.Device = (*device)(nil)

// Open opens the RDMA device that has a local address: of an interface, IPv4 or IPv6, the latter with its zone if it is
// link-local. Where there is no such device, or no RDMA connection manager, the error wraps rdma.ErrUnavailable.
func Open(addr netip.Addr, cfg Config) (rdma.Device, error) {
	what := fmt.Sprintf("verbs: open the device with address %s", addr)
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() {
		return nil, fmt.Errorf("%s: must be one address of one interface", what)
	}
	cfg = cfg.withDefaults()
	if err := errors.Join(rdma.CheckLimit("backlog", cfg.Backlog, 1, 1<<16),
		rdma.CheckLimit("RNR timer code", cfg.MinRNRTimer, 1, 31)); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	d := &device{
		cfg: cfg, addr: addr.Unmap(), sinks: map[uint64]sink{}, conns: map[uint32]*conn{}, windows: map[*window]bool{},
		keys: map[uint32]*window{},
	}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", what, err), d.release())
	}
	d.ended.Go(d.readManagement)
	d.ended.Go(d.readAsync)
	return d, nil
}

func (d *device) open() error {
	if err := d.openChannel(); err != nil {
		return err
	}
	if err := d.openContext(); err != nil {
		return err
	}
	if err := errno(C.shim_alloc_pd(d.context, &d.pd)); err != nil {
		return fmt.Errorf("allocate a protection domain on %s: %w", d.name, err)
	}
	var err error
	if d.management, err = watch(int(d.channel.fd), "events of connection management"); err != nil {
		return err
	}
	d.async, err = watch(int(d.context.async_fd), "events of device "+d.name)
	return err
}

// linkDrivers makes the drivers of a static program known.
var linkDrivers = sync.OnceFunc(func() { C.shim_link_drivers() })

// openChannel finds out whether the kernel has a connection manager for user space.
func (d *device) openChannel() error {
	linkDrivers()
	err := errno(C.shim_open_channel(&d.channel))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w: open the RDMA connection manager: %w: load the modules rdma_ucm and ib_uverbs and those of "+
			"the device, and allow access to /dev/infiniband", rdma.ErrUnavailable, err)
	}
	return fmt.Errorf("open the RDMA connection manager: %w", err)
}

// openContext asks connection management which device has the address, and opens that.
func (d *device) openContext() error {
	local, err := toC(netip.AddrPortFrom(d.addr, 0))
	if err != nil {
		return err
	}
	var id *C.struct_rdma_cm_id
	if err := errno(C.shim_create_id(d.channel, 0, &id)); err != nil {
		return fmt.Errorf("make an id of connection management: %w", err)
	}
	defer C.shim_destroy_id(id)
	if err := errno(C.shim_bind(id, &local)); err != nil {
		return fmt.Errorf("%w: bind to the address: %w: no RDMA device has it", rdma.ErrUnavailable, err)
	}
	var context *C.struct_ibv_context
	err = errno(C.shim_open_device(id, &context, &d.limits))
	if errors.Is(err, syscall.EPROTONOSUPPORT) {
		return fmt.Errorf("%w: the device is neither InfiniBand nor RoCE", rdma.ErrUnavailable)
	}
	if err != nil {
		return fmt.Errorf("open the device: %w", err)
	}
	d.context = context
	d.name = C.GoString(C.ibv_get_device_name(context.device))
	return nil
}

// Name is that of the RDMA device, as of rdma(8).
func (d *device) Name() string { return d.name }

// Addr is the address that the device was opened by.
func (d *device) Addr() netip.Addr { return d.addr }

// Limits are those that the device states, less one send request that every connection has for itself.
func (d *device) Limits() rdma.Limits {
	l := &d.limits
	return rdma.Limits{
		MaxSendWR: int(l.max_qp_wr) - 1, MaxRecvWR: int(l.max_qp_wr), MaxSGE: int(l.max_sge),
		MaxRegion: int(min(uint64(l.max_region), maxRegion)),
	}
}

// maxRegion is the largest region in bytes: what one message can carry.
const maxRegion = 1 << 31

// Close ends the goroutines and gives everything back. It fails with rdma.ErrBusy while something of the device is open.
func (d *device) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	if err := d.idle(); err != nil {
		d.mu.Unlock()
		return d.failed("close", err)
	}
	d.closed = true
	d.mu.Unlock()

	return d.failed("close", d.release())
}

// idle fails with rdma.ErrBusy while something of the device is open. The caller holds mu.
func (d *device) idle() error {
	if len(d.sinks)+len(d.windows)+d.regions == 0 {
		return nil
	}
	return fmt.Errorf("%d listeners, requests and connections, %d regions and %d windows are %w",
		len(d.sinks), d.regions, len(d.windows), rdma.ErrBusy)
}

// release gives back what open has made, as far as it got. The goroutines end when their descriptors are closed, and do
// not touch the library afterwards.
func (d *device) release() error {
	var errs []error
	for _, watched := range []*descriptor{d.management, d.async} {
		if watched != nil {
			errs = append(errs, watched.close())
		}
	}
	d.ended.Wait()
	if d.pd != nil {
		errs = append(errs, wrap("deallocate the protection domain", errno(C.ibv_dealloc_pd(d.pd))))
	}
	if d.context != nil {
		errs = append(errs, wrap("close the context", errno(C.ibv_close_device(d.context))))
	}
	if d.channel != nil {
		C.rdma_destroy_event_channel(d.channel)
	}
	return errors.Join(errs...)
}

// wrap says what was attempted, and keeps nil nil.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// failed says what was attempted on this device, and keeps nil nil.
func (d *device) failed(what string, err error) error {
	if err == nil {
		return nil // and no string is made
	}
	return fmt.Errorf("%s: %s: %w", d.name, what, err)
}
