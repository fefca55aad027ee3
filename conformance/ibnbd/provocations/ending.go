// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// closedOnce judges that a disk which is unmapped is closed, by its number and once.
func closedOnce(ctx context.Context, p *Execution) error {
	const clause, id = "IBNBD-MSG-018", 7
	var closes []uint32
	v, err := p.Serve(script.Script{Serve: func(r *script.Request) {
		if r.Kind == ibnbd.TypeClose {
			closes = append(closes, r.Closes)
		}
		r.Answer()
	}})
	if err != nil {
		return err
	}
	v.Do(func() { v.Disk.Open.DeviceID = id })
	d, err := p.Map(ctx, v)
	if err != nil {
		return err
	}
	if err := p.unmap(ctx, d); err != nil {
		return err
	}
	var seen []uint32
	v.Do(func() { seen = closes })
	if len(seen) != 1 || seen[0] != id {
		return tester.Broken(clause, "device %d was unmapped, and CLOSE came for %v", id, seen)
	}
	return nil
}

// unmappedWhileOpening judges that what is opened for a disk which nobody wants any more is closed again. Another disk keeps the
// session.
func unmappedWhileOpening(ctx context.Context, p *Execution) error {
	const clause, id, other = "IBNBD-OPEN-031", 7, 8
	var path string // of the disk that is unmapped
	var held *script.Request
	holds := false
	var closes []uint32
	v, d, err := p.begin(ctx, script.Script{Serve: func(r *script.Request) {
		if r.Kind == ibnbd.TypeClose {
			closes = append(closes, r.Closes)
		}
		if r.Kind != ibnbd.TypeOpen {
			r.Answer()
			return
		}
		m, _ := ibnbd.ParseOpenRequest(r.Header)
		if path == "" {
			path = m.DevicePath.String()
		}
		a := r.DefaultAnswer()
		if m.DevicePath.String() != path {
			binary.LittleEndian.PutUint32(a.Data[4:], other)
		} else if holds && held == nil {
			held = r
			return
		}
		r.Send(a)
	}})
	if err != nil {
		return err
	}
	if _, err := p.take(ctx, d.MapAnother); err != nil {
		return err
	}
	v.Do(func() { holds = true })
	p.hangup(ctx, v)
	if err := p.awaitState(ctx, d, closed); err != nil {
		return err
	}
	if err := p.rebuild(ctx, v, d); err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	if err := v.Await(patience, "the disk is opened again", func() bool { return held != nil }); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.unmap(ctx, d) }()
	select {
	case err := <-ended:
		ended <- err
	case <-time.After(early): // whoever waits for the answer gets it now
	}
	v.Do(func() { held.Answer() })
	if err := <-ended; err != nil {
		return tester.Broken(clause, "%v", err)
	}
	err = v.Await(patience, "the disk is closed", func() bool { return slices.Contains(closes, id) })
	if err != nil {
		return tester.Broken(clause, "the disk was unmapped before its OPEN was answered: %v", err)
	}
	return nil
}

// opensForBlocks judges that a disk is asked for in block mode where nobody has named another.
func opensForBlocks(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-SYSFS-009"
	v, _, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	return askedFor(clause, v, ibnbd.BlockIO)
}

// opensAsAsked judges that a disk is asked for in the mode that its user has named.
func opensAsAsked(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-OPEN-034"
	modal, can := p.setup.Initiator.(Modal)
	if !can {
		return ErrNoMode
	}
	v, err := p.Serve(script.Script{})
	if err != nil {
		return err
	}
	_, err = p.take(ctx, func(ctx context.Context) (Disk, error) { return modal.MapIn(ctx, ibnbd.FileIO, v.Addrs()[0]) })
	if err != nil {
		return err
	}
	return askedFor(clause, v, ibnbd.FileIO)
}

// askedFor judges the I/O mode of the OPEN that a server has seen last.
func askedFor(clause string, v *script.Server, mode ibnbd.IOMode) error {
	asked := -1
	v.Do(func() {
		for _, r := range v.Seen {
			if m, err := ibnbd.ParseOpenRequest(r.Header); err == nil {
				asked = int(m.IOMode)
			}
		}
	})
	if asked != int(mode) {
		return tester.Broken(clause, "OPEN asks for I/O mode %d, it must be %d", asked, mode)
	}
	return nil
}

// early is how long a flush may take to be ended too early.
const early = time.Second

// awaitsFlush judges that a flush of the user ends when the server has answered it, and not before.
func awaitsFlush(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-IO-026"
	var held *script.Request
	holds := false
	s := script.Script{
		Adapt: func(r *script.OpenResponse) { r.CachePolicy |= ibnbd.CacheWriteBack },
		Serve: func(r *script.Request) {
			if holds && held == nil && r.Kind == ibnbd.TypeIO && r.IO.Op() == ibnbd.OpFlush {
				held = r
				return
			}
			r.Answer()
		},
	}
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	if err := p.write(ctx, d); err != nil {
		return err
	}
	v.Do(func() { holds = true })
	ended := make(chan error, 1)
	go func() { ended <- d.Flush(ctx) }()
	patience, cancel := p.patient(ctx)
	defer cancel()
	if err := v.Await(patience, "the flush", func() bool { return held != nil }); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	select {
	case err := <-ended:
		return tester.Broken(clause, "the user is told that the flush has ended (%v) before it is answered", err)
	case <-time.After(early):
	}
	v.Do(func() { held.Answer() })
	select {
	case err := <-ended:
		if err != nil {
			return tester.Broken(clause, "a flush that was answered fails: %v", err)
		}
		return nil
	case <-patience.Done():
		return tester.Broken(clause, "a flush that was answered does not end")
	}
}
