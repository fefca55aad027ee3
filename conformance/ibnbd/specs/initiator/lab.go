// SPDX-License-Identifier: Apache-2.0

package initiator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/pair"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// labInitiator is the pair's initiator as provocations see it.
type labInitiator struct{ pair *pair.Pair }

// Timers are the initiator's.
func (i *labInitiator) Timers() subject.Timers { return i.pair.Initiator.Timers() }

// Map maps the disk of a scripted server, from the initiator's addresses on the same rails.
func (i *labInitiator) Map(ctx context.Context, server ...netip.Addr) (provocations.Disk, error) {
	r := i.pair.Request(subject.Export{Path: "scripted"})
	r.Paths = nil
	for _, addr := range server {
		r.Paths = append(r.Paths, pathTo(i.pair, addr))
	}
	return i.mapDisk(ctx, r)
}

// MapIn maps the disk of a scripted server in an I/O mode.
func (i *labInitiator) MapIn(ctx context.Context, mode ibnbd.IOMode, server netip.Addr) (provocations.Disk, error) {
	if !i.pair.Names().HasIOMode {
		return nil, provocations.ErrNoMode
	}
	r := i.pair.Request(subject.Export{Path: "scripted"})
	r.Paths, r.IOMode = []subject.PathAddr{pathTo(i.pair, server)}, mode.String()
	return i.mapDisk(ctx, r)
}

// pathTo is the path to an address from the initiator's on the same rail.
func pathTo(p *pair.Pair, server netip.Addr) subject.PathAddr {
	for _, nic := range p.InitiatorHost.NICs() {
		if nic.IPv4.Masked().Contains(server) {
			return subject.PathAddr{Source: nic.IPv4.Addr(), Destination: server}
		}
	}
	return subject.PathAddr{Destination: server}
}

// MapOrdinary maps an export of the pair's target.
func (i *labInitiator) MapOrdinary(ctx context.Context) (provocations.Disk, error) {
	return i.mapDisk(ctx, i.pair.Request(i.pair.Export(ctx, subject.ExportSpec{SizeMiB: 1})))
}

func (i *labInitiator) mapDisk(ctx context.Context, r subject.MapRequest) (provocations.Disk, error) {
	d, err := i.pair.TryMap(ctx, r)
	if err != nil {
		return nil, err
	}
	return &labDisk{i.pair, d, r.Paths[0]}, nil
}

// labDisk is a mapped device.
type labDisk struct {
	pair   *pair.Pair
	device subject.Device
	path   subject.PathAddr
}

func (d *labDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b := make([]byte, size)
	return b, d.pair.ReadAt(ctx, d.device, b, offset)
}

func (d *labDisk) Write(ctx context.Context, offset int64, data []byte) error {
	return d.pair.WriteAt(ctx, d.device, data, offset)
}

func (d *labDisk) Flush(ctx context.Context) error { return d.pair.Flush(ctx, d.device) }

// Size is what the kernel says. A disk that stands behind NBD, as those of a client in userspace do, keeps its own.
func (d *labDisk) Size(ctx context.Context) (int64, error) {
	if d.pair.Initiator.Info().Userland {
		return 0, provocations.ErrFixed
	}
	return d.pair.Size(ctx, d.device), nil
}

// samplePeriod is how often the state of a device is read, which gives no event.
const samplePeriod = 50 * time.Millisecond

func (d *labDisk) AwaitState(ctx context.Context, want string) error {
	return sampled(ctx, func() (bool, error) {
		state, err := d.pair.Initiator.State(ctx, d.device)
		return err == nil && state == want, cmp.Or(err, fmt.Errorf("it is %s", state))
	})
}

func (d *labDisk) Reconnect(ctx context.Context) error {
	return d.pair.Initiator.ReconnectPath(ctx, d.device.Session, d.path)
}

func (d *labDisk) AddPath(ctx context.Context, server netip.Addr) error {
	return d.pair.Initiator.AddPath(ctx, d.device.Session, pathTo(d.pair, server))
}

func (d *labDisk) RemovePath(ctx context.Context, server netip.Addr) error {
	return d.pair.Initiator.RemovePath(ctx, d.device.Session, pathTo(d.pair, server))
}

func (d *labDisk) MapAnother(ctx context.Context) (provocations.Disk, error) {
	r := d.pair.Request(subject.Export{Path: "another"})
	r.Session, r.Paths = d.device.Session, []subject.PathAddr{d.path}
	return (&labInitiator{d.pair}).mapDisk(ctx, r)
}

func (d *labDisk) Promises(ctx context.Context) (subject.Promises, error) {
	promiser, is := d.pair.Initiator.(subject.Promiser)
	if !is {
		return subject.Promises{}, provocations.ErrNoPromise
	}
	return promiser.Promises(ctx, d.device.Session)
}

// Unmap gives the device up, and waits for the end of the session with its last one: one that stays would try to reconnect for
// ever.
func (d *labDisk) Unmap(ctx context.Context) error {
	if err := d.pair.Initiator.Unmap(ctx, d.device, subject.UnmapForce); err != nil {
		return err
	}
	devices, err := d.pair.Initiator.Devices(ctx)
	if err != nil || slices.ContainsFunc(devices, func(other subject.Device) bool { return other.Session == d.device.Session }) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, provocations.DefaultPatience)
	defer cancel()
	return sampled(ctx, func() (bool, error) {
		paths, err := d.pair.Initiator.Paths(ctx, d.device.Session)
		if errors.Is(err, syscall.ENOENT) || err == nil && len(paths) == 0 {
			return true, nil
		}
		return false, cmp.Or(err, errors.New("its session is still there"))
	})
}

// sampled looks every sample period whether something is so, until it is or ctx ends. The error is then what was seen last.
func sampled(ctx context.Context, so func() (bool, error)) error {
	sample := time.NewTicker(samplePeriod)
	defer sample.Stop()
	var last error
	for {
		is, err := so()
		if is {
			return nil
		}
		if last == nil || ctx.Err() == nil { // a look that ctx has cut off has seen nothing
			last = err
		}
		select {
		case <-sample.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", last, context.Cause(ctx))
		}
	}
}
