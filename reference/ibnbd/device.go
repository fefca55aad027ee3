// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// DeviceState is where a mapped device is in its life.
type DeviceState int32

// The states of a device.
const (
	DeviceInit     DeviceState = iota // OPEN is on its way for the first time
	DeviceOpen                        // I/O is served
	DeviceClosed                      // the session has no path: I/O fails at once
	DeviceUnmapped                    // I/O fails
)

var deviceStateNames = [...]string{"init", "open", "closed", "unmapped"}

// String returns the text of the file state in sysfs.
func (s DeviceState) String() string {
	if s >= 0 && int(s) < len(deviceStateNames) {
		return deviceStateNames[s]
	}
	return "unknown"
}

// Device is a block device of a server, mapped by a client. Its I/O methods may be called from many goroutines at once.
type Device struct {
	client *Client
	path   string
	access AccessMode
	mode   IOMode

	state    atomic.Int32
	mapping  atomic.Pointer[mapping] // what the last good OPEN_RSP said; zero before the first
	order    order[*IO]
	inflight atomic.Int64 // I/O that may take effect, whether or not anybody waits for it
	control  atomic.Int64 // OPENs and CLOSEs under way
	revoked  atomic.Bool  // the device is unmapped: what was sent for it is not sent again
	leave    sync.Once    // the gate is told that the device is unmapped,
	left     sync.Once    // and that nothing is under way to it any more
	failures failures
}

// mapping is what a server said about a device when it opened it. It is not changed.
type mapping struct {
	epoch     uint64 // of the session: the device id means nothing in another
	connects  uint64 // of the session when OPEN was sent: after more of them the id may mean nothing to the server
	id        uint32
	agreement Agreement
	traits    Traits
	response  OpenResponse
	size      int64 // bytes
	maxIO     int   // bytes in one request
}

// Path is the path by which the server knows the device.
func (d *Device) Path() string { return d.path }

// Access is the mode in which the device was mapped.
func (d *Device) Access() AccessMode { return d.access }

// State is the device's present state.
func (d *Device) State() DeviceState { return DeviceState(d.state.Load()) }

// Size is the capacity in bytes. It can change when the device is opened again after a loss of the session.
func (d *Device) Size() int64 { return d.mapping.Load().size }

// BlockSize is the logical block in bytes: offsets and lengths of all I/O are multiples of it.
func (d *Device) BlockSize() int { return int(d.mapping.Load().response.LogicalBlockSize) }

// MaxIO is the most data in one request, in bytes. Longer reads and writes are cut into several.
func (d *Device) MaxIO() int { return d.mapping.Load().maxIO }

// Response is the reply to the last OPEN, and Traits what it means in the profile of the server.
func (d *Device) Response() OpenResponse { return d.mapping.Load().response }

// Traits are those of the device's last opening.
func (d *Device) Traits() Traits { return d.mapping.Load().traits }

// ID is the server's id for the device, valid as long as the session lives.
func (d *Device) ID() uint32 { return d.mapping.Load().id }

// Failures counts the device's requests that failed since it was mapped.
func (d *Device) Failures() IOFailures { return d.failures.counts() }

func (d *Device) setState(s DeviceState) {
	d.state.Store(int32(s))
	d.client.changed()
}

// change changes the state if it is from.
func (d *Device) change(from, to DeviceState) bool {
	defer d.client.changed()
	return d.state.CompareAndSwap(int32(from), int32(to))
}

// retire makes the device unmapped, whatever is under way to it, and gives the state before.
func (d *Device) retire() (was DeviceState) {
	d.leave.Do(d.client.gate.leave)
	d.revoked.Store(true)
	was = DeviceState(d.state.Swap(int32(DeviceUnmapped)))
	d.client.changed()
	d.settle()
	return was
}

// settle lets other devices be opened when this one is unmapped and nothing is under way to it.
func (d *Device) settle() {
	if d.State() == DeviceUnmapped && d.inflight.Load() == 0 && d.control.Load() == 0 {
		d.left.Do(d.client.gate.left)
	}
}

// controls counts an OPEN or a CLOSE that begins, +1, or has ended, -1.
func (d *Device) controls(change int64) {
	d.control.Add(change)
	d.settle()
}

// open opens the device at the server. ctx bounds the wait alone: an OPEN that has been sent goes on, and when it is answered
// the device is open, or closed again if it was unmapped meanwhile.
func (d *Device) open(ctx context.Context, epoch uint64) error {
	c := d.client
	if err := c.gate.beginOpen(ctx); err != nil {
		return err
	}
	d.controls(+1)
	done := make(chan error, 1)
	began := c.begin(func() {
		opened, err := d.sendOpen(c.ctx, epoch)
		c.gate.endOpen()
		if err != nil && opened != nil && !(c.cfg.Rules.KeepLateOpen && errors.Is(err, ibtrs.ENODEV)) {
			d.takeBack(opened)
		}
		d.controls(-1)
		done <- err
	})
	if !began {
		c.gate.endOpen()
		d.controls(-1)
		return errClientClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// opening is what a server has opened.
type opening struct {
	epoch uint64
	id    uint32
}

// takeBack closes what was opened and cannot be used. That may leave something to be closed twice, which does no harm, but
// only if no device is opened meanwhile. An answer other than success cannot be helped.
func (d *Device) takeBack(o *opening) {
	c := d.client
	c.gate.leave()
	defer c.gate.left()
	if c.gate.awaitOpens(c.ctx) == nil {
		_ = d.sendClose(c.ctx, o.epoch, o.id)
	}
}

// sendOpen sends OPEN and takes the answer. What the server has opened is given back where it cannot be used.
func (d *Device) sendOpen(ctx context.Context, epoch uint64) (*opening, error) {
	c := d.client
	c.mu.Lock()
	generation, agreement := c.generation, c.agreement
	c.mu.Unlock()
	connects := c.session.Connects()
	request, err := NewOpenRequest(d.path, d.access, d.mode)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ibtrs.EINVAL, err)
	}
	message, _ := request.AppendBinary(nil)
	body, err := c.ask(ctx, epoch, message, OpenResponseSize)
	if err != nil {
		return nil, err
	}
	response, err := ParseOpenResponse(body)
	if err != nil && response.Type != TypeOpenResponse {
		return nil, fmt.Errorf("%w: %w", ibtrs.EINVAL, err)
	}
	opened := &opening{epoch, response.DeviceID}
	if err != nil && !c.cfg.Rules.IgnoreZeroBlock {
		return opened, fmt.Errorf("%w: %w", ibtrs.EINVAL, err) // Clause IBNBD-OPEN-020
	}
	m := newMapping(c, epoch, agreement, response)
	m.connects = connects
	switch err := d.adopt(m, generation); {
	case errors.Is(err, ibtrs.ENODEV):
		return opened, err
	default:
		return nil, err
	}
}

func newMapping(c *Client, epoch uint64, a Agreement, r OpenResponse) *mapping {
	m := &mapping{epoch: epoch, id: r.DeviceID, agreement: a, traits: a.Traits(r), response: r}
	if c.cfg.Rules.TrustUnclearedByte {
		m.traits.Cache = r.CachePolicy
	}
	m.size = int64(min(r.Capacity, math.MaxInt64/SectorSize)) * SectorSize
	m.maxIO = int(c.session.Geometry().MaxIOSize) / SectorSize * SectorSize
	if limit := int64(r.MaxHWSectors) * SectorSize; limit > 0 && !c.cfg.Rules.NoLimits {
		m.maxIO = int(min(int64(m.maxIO), limit))
	}
	if block := max(int(r.LogicalBlockSize), SectorSize); m.maxIO > block {
		m.maxIO = m.maxIO / block * block
	}
	return m
}

// adopt makes a mapping the device's, unless the session has been lost, or the device unmapped, since it was asked for.
func (d *Device) adopt(m *mapping, generation int) error {
	c := d.client
	c.mu.Lock()
	if old := d.mapping.Load(); old.epoch != 0 {
		if c.cfg.Rules.KeepDeviceID {
			m.id = old.id
		}
		if c.cfg.Rules.KeepCapacity {
			m.size = old.size
		}
	}
	current := c.generation == generation
	unmapped := d.State() == DeviceUnmapped
	if current && !unmapped {
		d.mapping.Store(m)
		d.setState(DeviceOpen)
	}
	c.mu.Unlock()
	switch {
	case unmapped:
		return fmt.Errorf("it was unmapped meanwhile: %w", ibtrs.ENODEV)
	case !current:
		return fmt.Errorf("the session was lost meanwhile: %w", ibtrs.ECONNABORTED)
	}
	return nil
}

// sendClose tells the server that a device id is not used any more.
func (d *Device) sendClose(ctx context.Context, epoch uint64, id uint32) error {
	if d.client.cfg.Rules.NoClose {
		return nil
	}
	message, _ := CloseRequest{Type: TypeClose, DeviceID: id}.AppendBinary(nil)
	r := &ibtrs.Request{Direction: ibtrs.Write, Admin: true, Header: message, Epoch: epoch}
	return d.client.session.Do(ctx, r)
}

// Remap opens a device again that could not be opened when the session came back. It is refused with EALREADY if the
// device is open, ENODEV if it is unmapped, EBUSY if it is just being mapped.
func (d *Device) Remap(ctx context.Context) error {
	if err := d.remap(ctx); err != nil {
		return fmt.Errorf("remap %q: %w", d.path, err)
	}
	return nil
}

func (d *Device) remap(ctx context.Context) error {
	switch d.State() {
	case DeviceOpen:
		return ibtrs.EALREADY
	case DeviceUnmapped:
		return ibtrs.ENODEV
	case DeviceInit:
		return ibtrs.EBUSY
	}
	return d.open(ctx, d.client.session.Epoch())
}

// Unmap gives the device back. Without force it is refused with EBUSY while I/O is in flight, that of an application which
// does not wait for it any more included. With force it does not matter: I/O in flight ends by itself, and is not sent again
// when its path is lost. Until it has ended no device is mapped. The server is told if it knows the device (Clause
// IBNBD-FAIL-009); ctx bounds the wait for its answer alone.
func (d *Device) Unmap(ctx context.Context, force bool) error {
	if !force && d.inflight.Load() > 0 {
		return fmt.Errorf("unmap %q: %d I/Os are in flight: %w", d.path, d.inflight.Load(), ibtrs.EBUSY)
	}
	d.controls(+1)
	was := d.retire()
	if was == DeviceUnmapped {
		d.controls(-1)
		return fmt.Errorf("unmap %q: it is unmapped: %w", d.path, ibtrs.EALREADY)
	}
	defer d.client.drop(d)
	if was != DeviceOpen && !d.client.cfg.Rules.CloseWhenClosed {
		d.controls(-1)
		return nil
	}
	if err := d.close(ctx); err != nil && !(was == DeviceOpen && errors.Is(err, ibtrs.ECONNABORTED)) {
		return fmt.Errorf("unmap %q: CLOSE: %w", d.path, err)
	}
	return nil
}

// close closes the device at the server. It takes back what controls has counted.
func (d *Device) close(ctx context.Context) error {
	c, m := d.client, d.mapping.Load()
	done := make(chan error, 1)
	began := c.begin(func() {
		err := c.gate.awaitOpens(c.ctx)
		if err == nil {
			err = d.sendClose(c.ctx, m.epoch, m.id)
		}
		if c.ctx.Err() != nil {
			err = errClientClosed
		}
		d.controls(-1)
		done <- err
	})
	if !began {
		d.controls(-1)
		return errClientClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
