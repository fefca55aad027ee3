// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Execution is one provocation under way: its targets, and the disks that the initiator has.
type Execution struct {
	setup   Setup
	taken   int // devices that have a target
	targets []*script.Target
	memory  []*script.Disk
	disks   []Disk
	faults  []*soft.Injection
}

// apart leaves the first device to the ordinary target, so that what happens to the next does not happen to that.
func (e *Execution) apart() { e.taken++ }

// Serve starts a target on the next device.
func (e *Execution) Serve(s script.Script) (*script.Target, error) {
	if e.taken >= len(e.setup.Devices) {
		return nil, fmt.Errorf("the provocation needs more than %d devices", len(e.setup.Devices))
	}
	e.taken++
	return e.serveAt(script.NewPlace(e.setup.Devices[e.taken-1], srp.DefaultTargetPort), s)
}

func (e *Execution) serveAt(at script.Place, s script.Script) (*script.Target, error) {
	disk, err := script.NewDisk(fmt.Sprintf("conformance-%x", at.IDExt))
	if err != nil {
		return nil, err
	}
	e.memory = append(e.memory, disk)
	return e.serveDisk(at, s, disk)
}

func (e *Execution) serveDisk(at script.Place, s script.Script, disk *script.Disk) (*script.Target, error) {
	v, err := script.Listen(s, at, disk)
	if err == nil {
		e.targets = append(e.targets, v)
	}
	return v, err
}

// restart replaces a target by another of the same name, with the same disk, as a reboot does.
func (e *Execution) restart(v *script.Target, s script.Script) (*script.Target, error) {
	e.targets = slices.DeleteFunc(e.targets, func(o *script.Target) bool { return o == v })
	if err := v.Close(); err != nil {
		return nil, err
	}
	return e.serveDisk(v.Place, s, v.Disk)
}

// usual are times with which little has to be waited for, and disks stay.
func (e *Execution) usual() Times {
	return Times{FastIOFail: e.seconds(3), DevLoss: Off, ReconnectDelay: e.seconds(1)}
}

func (e *Execution) seconds(n int) time.Duration { return time.Duration(n) * e.setup.Second }

// Add has the initiator log in to a target.
func (e *Execution) Add(ctx context.Context, v *script.Target, t Times, more ...string) (Disk, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d, err := e.setup.Initiator.Add(ctx, v.Place.Login(more...), t)
	if err == nil {
		e.disks = append(e.disks, d)
	}
	return d, bounded(ctx, err)
}

// begin starts a target and has the initiator use it, which must work.
func (e *Execution) begin(ctx context.Context, s script.Script, more ...string) (*script.Target, Disk, error) {
	return e.beginWith(ctx, s, e.usual(), more...)
}

func (e *Execution) beginWith(ctx context.Context, s script.Script, t Times, more ...string) (*script.Target, Disk, error) {
	v, err := e.Serve(s)
	if err != nil {
		return nil, nil, err
	}
	d, err := e.Add(ctx, v, t, more...)
	if err != nil {
		return v, nil, fmt.Errorf("log in to a target that is conforming so far: %w", err)
	}
	return v, d, nil
}

// delete has the initiator give a port up.
func (e *Execution) delete(ctx context.Context, d Disk) error {
	e.disks = slices.DeleteFunc(e.disks, func(other Disk) bool { return other == d })
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := d.Delete(ctx); err != nil {
		return fmt.Errorf("delete the port: %w", bounded(ctx, err))
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

// patient bounds a wait for what needs no timer, or needs a timer and no more than that.
func (e *Execution) patient(ctx context.Context, timers ...time.Duration) (context.Context, context.CancelFunc) {
	most := e.setup.Patience
	for _, t := range timers {
		most += t
	}
	return context.WithTimeoutCause(ctx, most, errPatience)
}

var errPatience = errors.New("the initiator does not do that")

// silence loses all packets from and to a target, until the function that it gives is called.
func (e *Execution) silence(v *script.Target) (end func(), err error) {
	device, is := v.Place.Device.(*soft.Device)
	if !is {
		return nil, ErrNoSilence
	}
	for _, stage := range []soft.Stage{soft.Sealed, soft.Arrived} {
		e.faults = append(e.faults, device.Inject(soft.Fault{Name: "silence", Stage: stage, Drop: true}))
	}
	return e.heal, nil
}

// heal ends all silence.
func (e *Execution) heal() {
	for _, f := range e.faults {
		f.Remove()
	}
	e.faults = nil
}

// close takes everything down.
func (e *Execution) close(ctx context.Context) error {
	e.heal()
	var errs []error
	for _, d := range slices.Clone(e.disks) {
		errs = append(errs, e.delete(ctx, d))
	}
	for _, v := range e.targets {
		errs = append(errs, v.Close())
	}
	for _, d := range e.memory {
		errs = append(errs, d.Close())
	}
	e.targets, e.memory = nil, nil
	return errors.Join(errs...)
}

// Where provocations happen: away from what a kernel reads by itself of a new disk.
const (
	probeOffset = 512 << 10
	probeSize   = 4096
	placeStep   = 64 << 10
)

// placeOf is one of several places, by a number from 0.
func placeOf(i int) int64 { return probeOffset + int64(i)*placeStep }

// contents are what a disk has at an offset, by a number.
func contents(offset int64, size int, sequence uint64) []byte {
	b := make([]byte, size)
	stamp.Fill(b, uint64(offset/stamp.Sector), stamp.Stamp{Writer: 1, Sequence: sequence})
	return b
}

// Usable writes to a disk and reads that back.
func Usable(ctx context.Context, d Disk) error {
	const sequence = 2
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := d.Write(ctx, probeOffset, contents(probeOffset, probeSize, sequence)); err != nil {
		return fmt.Errorf("write: %w", bounded(ctx, err))
	}
	return readBack(ctx, d, probeOffset, sequence)
}

// readBack reads a place and compares it.
func readBack(ctx context.Context, d Disk, offset int64, sequence uint64) error {
	b, err := d.Read(ctx, offset, probeSize)
	if err != nil {
		return fmt.Errorf("read: %w", bounded(ctx, err))
	}
	return stamp.Check(b, uint64(offset/stamp.Sector), stamp.Stamp{Writer: 1, Sequence: sequence})
}

// prepare puts contents on the disk of a target, at so many places.
func prepare(v *script.Target, places int) (err error) {
	v.Do(func() {
		for i := range places {
			if failed := v.Disk.WriteAt(contents(placeOf(i), probeSize, 1), placeOf(i), false); failed != nil {
				err = failed
			}
		}
	})
	return err
}

// holds compares what the disk of a target has at a place.
func holds(v *script.Target, offset int64, want []byte) (err error) {
	b := make([]byte, len(want))
	v.Do(func() { err = v.Disk.ReadAt(b, offset) })
	if err == nil && !bytes.Equal(b, want) {
		err = fmt.Errorf("the disk of the target has something else at %d", offset)
	}
	return err
}

// async does something beside, and tells how it ended.
func async(do func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	return ended
}

// outcome waits for the end of what is done beside.
func outcome(ctx context.Context, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errStuck, context.Cause(ctx))
	}
}

// broken lays an error, if there is one, to a clause.
func broken(clause string, err error) error {
	if f := finding.Of(err); err == nil || f.Undecided != nil || len(f.Broken) > 0 {
		return err
	}
	return finding.Broken(clause, "%v", err)
}
