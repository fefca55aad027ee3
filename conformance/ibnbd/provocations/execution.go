// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/stamp"
)

// Execution is one provocation under way: its servers, and the disks that the initiator has mapped.
type Execution struct {
	setup   Setup
	taken   int // devices that have a server
	servers []*script.Server
	disks   []Disk
}

// Serve starts a server on the next device.
func (p *Execution) Serve(s script.Script) (*script.Server, error) { return p.serveOn(1, s) }

// serveOn starts a server on so many of the next devices.
func (p *Execution) serveOn(devices int, s script.Script) (*script.Server, error) {
	if p.taken+devices > len(p.setup.Devices) {
		return nil, fmt.Errorf("the provocation needs more than %d devices", len(p.setup.Devices))
	}
	v, err := script.Listen(s, p.setup.Devices[p.taken:p.taken+devices]...)
	if err == nil {
		p.taken += devices
		p.servers = append(p.servers, v)
	}
	return v, err
}

// Map has the initiator map the disk of a server, over one path.
func (p *Execution) Map(ctx context.Context, v *script.Server) (Disk, error) {
	return p.take(ctx, func(ctx context.Context) (Disk, error) { return p.setup.Initiator.Map(ctx, v.Addrs()[0]) })
}

// take keeps a disk to be unmapped at the end.
func (p *Execution) take(ctx context.Context, mapIt func(context.Context) (Disk, error)) (Disk, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.takeWithin(ctx, mapIt)
}

// takeWithin is take within the time of ctx.
func (p *Execution) takeWithin(ctx context.Context, mapIt func(context.Context) (Disk, error)) (Disk, error) {
	d, err := mapIt(ctx)
	if err == nil {
		p.disks = append(p.disks, d)
	}
	return d, bounded(ctx, err)
}

// begin starts a server and maps its disk, which must work.
func (p *Execution) begin(ctx context.Context, s script.Script) (*script.Server, Disk, error) {
	v, err := p.Serve(s)
	if err != nil {
		return nil, nil, err
	}
	d, err := p.Map(ctx, v)
	if err != nil {
		return v, nil, fmt.Errorf("map the disk of a server that is conforming so far: %w", err)
	}
	return v, d, nil
}

// unmap has the initiator give a disk up.
func (p *Execution) unmap(ctx context.Context, d Disk) error {
	p.disks = slices.DeleteFunc(p.disks, func(other Disk) bool { return other == d })
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := d.Unmap(ctx); err != nil {
		return fmt.Errorf("unmap: %w", bounded(ctx, err))
	}
	return nil
}

// errStuck says that something did not end. Such an error has no errno.
var errStuck = errors.New("it does not end")

// bounded makes clear that an error is the end of a wait and not of what was waited for.
func bounded(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", errStuck, err)
}

// read reads the probe.
func (p *Execution) read(ctx context.Context, d Disk) error {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	_, err := d.Read(ctx, probeOffset, probeSize)
	return bounded(ctx, err)
}

// write writes the probe.
func (p *Execution) write(ctx context.Context, d Disk) error {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	return bounded(ctx, d.Write(ctx, probeOffset, contents(1)))
}

// patient bounds a wait for what needs no timer.
func (p *Execution) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.setup.Patience, errPatience)
}

var errPatience = errors.New("the initiator does not do that")

// close takes everything down. The servers go first, so that no disk waits for an answer.
func (p *Execution) close(ctx context.Context) error {
	var errs []error
	patience, cancel := p.patient(ctx)
	defer cancel()
	if len(p.disks) > 0 {
		for _, v := range p.servers {
			v.Hangup(patience)
		}
	}
	for _, d := range slices.Clone(p.disks) {
		errs = append(errs, p.unmap(ctx, d))
	}
	for _, v := range p.servers {
		errs = append(errs, v.Close())
	}
	p.servers = nil
	return errors.Join(errs...)
}

// Where provocations happen: away from what a kernel reads by itself of a new disk.
const (
	probeOffset = 512 << 10
	probeSector = probeOffset / stamp.Sector
	probeSize   = 4096
)

// contents are what a disk has at the probe, by a number.
func contents(sequence uint64) []byte { return tester.Stamped(probeSector, probeSize, sequence) }

// Usable writes to a disk and reads that back.
func Usable(ctx context.Context, d Disk) error {
	const sequence = 2
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := d.Write(ctx, probeOffset, contents(sequence)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return readBack(ctx, d, sequence)
}

// readBack reads the probe and compares it.
func readBack(ctx context.Context, d Disk, sequence uint64) error {
	b, err := d.Read(ctx, probeOffset, probeSize)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return stamp.Check(b, probeSector, stamp.Stamp{Writer: 1, Sequence: sequence})
}
