// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// gatedDisk holds each operation until the spec says how it ends.
type gatedDisk struct {
	backend.Backend
	begun chan struct{}    // one token for each operation that has begun
	ends  chan ibtrs.Errno // how it ends; 0: by being done
	open  chan struct{}    // closed: nothing is held any more
	once  sync.Once        // closes it
}

// release has nothing held any more.
func (d *gatedDisk) release() { d.once.Do(func() { close(d.open) }) }

func newGatedDisk() *gatedDisk {
	return &gatedDisk{begun: make(chan struct{}), ends: make(chan ibtrs.Errno), open: make(chan struct{})}
}

func (d *gatedDisk) Properties() backend.Properties {
	p := d.Backend.Properties()
	p.Immediate = false
	return p
}

// pass holds an operation, and does it unless it is to fail.
func (d *gatedDisk) pass(do func() error) error {
	select {
	case d.begun <- struct{}{}:
	case <-d.open:
		return do()
	}
	select {
	case errno := <-d.ends:
		if errno != 0 {
			return errno
		}
	case <-d.open:
	}
	return do()
}

func (d *gatedDisk) ReadAt(p []byte, offset int64) error {
	return d.pass(func() error { return d.Backend.ReadAt(p, offset) })
}

func (d *gatedDisk) WriteAt(p []byte, offset int64, fua bool) error {
	data := bytes.Clone(p) // a server that does not wait uses the memory again
	return d.pass(func() error { return d.Backend.WriteAt(data, offset, fua) })
}

func (d *gatedDisk) Flush() error { return d.pass(d.Backend.Flush) }

func (d *gatedDisk) Discard(offset, length int64) error {
	return d.pass(func() error { return d.Backend.Discard(offset, length) })
}

func (d *gatedDisk) WriteZeroes(offset, length int64, keep bool) error {
	return d.pass(func() error { return d.Backend.WriteZeroes(offset, length, keep) })
}

// gatedOp is an operation, and the clause that is broken when its answer does not wait for the disk.
type gatedOp struct {
	name   string
	op     ibnbd.Op
	flags  uint32
	clause string
}

var gatedOps = []gatedOp{
	{"read", ibnbd.OpRead, 0, "IBNBD-IO-001"},
	{"write", ibnbd.OpWrite, 0, "IBTRS-IO-031"},
	{"write with FUA", ibnbd.OpWrite, ibnbd.FlagFUA, "IBNBD-IO-009"},
	{"flush", ibnbd.OpFlush, 0, "IBNBD-IO-004"},
	{"discard", ibnbd.OpDiscard, 0, "IBNBD-IO-006"},
	{"write-zeroes", ibnbd.OpWriteZeroes, 0, "IBNBD-IO-007"},
}

// diskErrors are the numbers that a block device of Linux fails with, behind 0 for one that does not.
var diskErrors = []ibtrs.Errno{
	0, ibtrs.EIO, ibtrs.EAGAIN, ibtrs.ENOMEM, ibtrs.ENODEV, ibtrs.ENOSPC, ibtrs.EBADE, ibtrs.ENODATA, ibtrs.ENOLINK, ibtrs.EILSEQ,
	ibtrs.EOPNOTSUPP, ibtrs.ETIMEDOUT, ibtrs.EREMOTEIO,
}

// waitsForDisk is a spec in which the disk holds each operation, and ends it in every way.
var waitsForDisk = serverSpec{"a target answers with what its disk has done", func(ctx context.Context, start starter) (err error) {
	disk := newGatedDisk()
	_, target, err := start(func(cfg *ibnbd.ServerConfig) {
		disk.Backend = cfg.Exports[0].Backend
		cfg.Exports[0].Backend = disk
	})
	if err != nil {
		return err
	}
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	defer disk.release()
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, op := range gatedOps {
		for _, end := range diskErrors {
			if err := op.holds(ctx, p, opened.DeviceID, disk, end); err != nil {
				return fmt.Errorf("%s that the disk ends with %s: %w", op.name, end, err)
			}
		}
	}
	return nil
}}

// holds sends the operation, and looks that it is answered behind its end, and with that. While the disk holds it, another
// request on the same connection, which no disk sees, is answered: what comes before that answer has come too early.
func (o gatedOp) holds(ctx context.Context, p *tester.Path, device uint32, disk *gatedDisk, end ibtrs.Errno) error {
	if err := p.Post(o.request(p, device)); err != nil {
		return err
	}
	select {
	case <-disk.begun:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	const held, other, unknownDevice = 0, 1, 0xFFFF
	a, err := p.Do(ctx, p.ToChunk(gatedOp{op: ibnbd.OpFlush}.request(p, unknownDevice), other))
	switch {
	case err != nil:
		return err
	case a.Chunk == held:
		return tester.Broken(o.clause, "answered with %s while the disk was at work", a.Errno)
	}
	select {
	case disk.ends <- end:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	a, err = p.Answer(ctx, 1)
	switch {
	case err != nil:
		return err
	case a.Chunk != held:
		return tester.Broken("IBTRS-IMM-003", "answered for chunk %d", a.Chunk)
	case a.Errno == 0 && end != 0:
		return tester.Broken(o.clause, "the disk has failed it, and it is answered with success")
	case a.Errno != end:
		return tester.Broken("IBTRS-IMM-004", "answered with %s", a.Errno)
	}
	return nil
}

// request is the operation on the first sectors of a device, in chunk 0.
func (o gatedOp) request(p *tester.Path, device uint32) tester.Request {
	const size = 4096
	message := tester.Marshal(ibnbd.NewIORequest(o.op, o.flags, device, p.Base(), size))
	switch o.op {
	case ibnbd.OpRead:
		return p.Read(message, size)
	case ibnbd.OpWrite:
		return p.Write(message, make([]byte, size))
	case ibnbd.OpFlush:
		return p.Read(tester.Marshal(ibnbd.NewIORequest(o.op, o.flags, device, 0, 0)), 0)
	}
	return p.Write(message, nil)
}

// hastyDisk says of some operations that they are done when they begin.
type hastyDisk struct {
	backend.Backend
	flushes, fua, zeroes, discards bool // which of them

	late *sync.WaitGroup // operations that are not done yet
}

func (d hastyDisk) Flush() error { return d.unless(d.flushes, d.Backend.Flush) }

func (d hastyDisk) WriteAt(p []byte, offset int64, fua bool) error {
	data := p
	if d.fua && fua {
		data = bytes.Clone(p)
	}
	return d.unless(d.fua && fua, func() error { return d.Backend.WriteAt(data, offset, fua) })
}

func (d hastyDisk) WriteZeroes(offset, length int64, keep bool) error {
	return d.unless(d.zeroes, func() error { return d.Backend.WriteZeroes(offset, length, keep) })
}

func (d hastyDisk) Discard(offset, length int64) error {
	return d.unless(d.discards, func() error { return d.Backend.Discard(offset, length) })
}

// unless does something, and waits for its end unless it is hasty.
func (d hastyDisk) unless(hasty bool, do func() error) error {
	if !hasty {
		return do()
	}
	d.late.Go(func() { _ = do() }) // a mutant tells nobody
	return nil
}

// Close waits for what is not done yet, because the memory of the disk goes.
func (d hastyDisk) Close() error {
	d.late.Wait()
	return d.Backend.Close()
}

// waitsForSlowDisk is the spec of the lab, where no disk can be held.
var waitsForSlowDisk = serverSpec{"a target waits for a slow disk", func(ctx context.Context, start starter) error {
	slow := attacks.SlowDisk{Latency: 50 * time.Millisecond}
	_, target, err := start(func(cfg *ibnbd.ServerConfig) {
		cfg.Exports[0].Backend = lateDisk{slowDisk{cfg.Exports[0].Backend, slow.Latency}}
	})
	if err != nil {
		return err
	}
	return tried(ctx, target, slow.Run)
}}

// badDisk has a bad block of 4096 bytes: reads of it fail with one number, and writes with another.
type badDisk struct{ backend.Backend }

const badSector = 16

// touched says whether a range has a part of the bad block.
func (badDisk) touched(p []byte, offset int64) bool {
	const begin, end = badSector * ibnbd.SectorSize, badSector*ibnbd.SectorSize + 4096
	return offset < end && offset+int64(len(p)) > begin
}

func (d badDisk) ReadAt(p []byte, offset int64) error {
	if d.touched(p, offset) {
		return ibtrs.EIO
	}
	return d.Backend.ReadAt(p, offset)
}

func (d badDisk) WriteAt(p []byte, offset int64, fua bool) error {
	if d.touched(p, offset) {
		return ibtrs.EOVERFLOW
	}
	return d.Backend.WriteAt(p, offset, fua)
}

// passesErrorsOn is the spec of the lab.
var passesErrorsOn = serverSpec{"a target passes the errors of a bad disk on", func(ctx context.Context, start starter) error {
	_, target, err := start(func(cfg *ibnbd.ServerConfig) { cfg.Exports[0].Backend = badDisk{cfg.Exports[0].Backend} })
	if err != nil {
		return err
	}
	return tried(ctx, target, attacks.FailingDisk{
		{Name: "read of a bad block", Op: ibnbd.OpRead, Sector: badSector, Size: 4096, Errno: ibtrs.EIO},
		{Name: "read that ends with a bad block", Op: ibnbd.OpRead, Sector: badSector - 8, Size: 8192, Errno: ibtrs.EIO},
		{Name: "read before a bad block", Op: ibnbd.OpRead, Sector: badSector - 8, Size: 4096},
		{Name: "write of a bad block", Op: ibnbd.OpWrite, Sector: badSector, Size: 4096, Errno: ibtrs.EOVERFLOW},
	}.Run)
}}

// tried runs an attack with a tester of its own.
func tried(ctx context.Context, target tester.Target, attack func(context.Context, *tester.Tester) error) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	return attack(ctx, t)
}

// firstBlockDisk tells of a read what became of its first 4096 bytes.
type firstBlockDisk struct{ backend.Backend }

func (d firstBlockDisk) ReadAt(p []byte, offset int64) error {
	first := min(len(p), 4096)
	err := d.Backend.ReadAt(p[:first], offset)
	_ = d.Backend.ReadAt(p[first:], offset+int64(first)) // a mutant tells nobody
	return err
}

// gated are mutants that are found by a disk that holds, or fails, what it is given.
func gated() []row {
	hasty := func(h hastyDisk) func(*brokenServer) {
		return on(func(disk backend.Backend) backend.Backend {
			h.Backend, h.late = disk, new(sync.WaitGroup)
			return h
		})
	}
	// onlyEIO makes a server that knows one number for all that goes wrong with a disk.
	onlyEIO := func(b *brokenServer) {
		b.editErrno(func(_ uint32, errno ibtrs.Errno) ibtrs.Errno { return min(errno, ibtrs.EIO) })
	}
	return []row{
		judgedBy(waitsForDisk, "flush-before-the-disk", "answers a flush before the disk has done it", "IBNBD-IO-004", hasty(hastyDisk{flushes: true})),
		judgedBy(waitsForDisk, "fua-before-the-disk", "answers a write with FUA before the disk has done it", "IBNBD-IO-009", hasty(hastyDisk{fua: true})),
		judgedBy(waitsForDisk, "zeroes-before-the-disk", "answers write-zeroes before the disk has done it", "IBNBD-IO-007", hasty(hastyDisk{zeroes: true})),
		judgedBy(waitsForDisk, "write-before-the-disk", "answers a write before it is executed", "IBTRS-IO-031",
			rule(func(r *ibnbd.ServerRules) { r.AcknowledgeTooEarly = true })),
		judgedBy(waitsForDisk, "every-error-is-eio", "answers every error of the disk with EIO", "IBTRS-IMM-004", onlyEIO),
		judgedBy(waitsForSlowDisk, "flush-before-a-slow-disk", "answers a flush before a slow disk has done it", "IBNBD-IO-004", hasty(hastyDisk{flushes: true})),
		judgedBy(waitsForSlowDisk, "fua-before-a-slow-disk", "answers a write with FUA before a slow disk has done it", "IBNBD-IO-009", hasty(hastyDisk{fua: true})),
		judgedBy(waitsForSlowDisk, "zeroes-before-a-slow-disk", "answers write-zeroes before a slow disk has done it", "IBNBD-IO-007", hasty(hastyDisk{zeroes: true})),
		judgedBy(waitsForSlowDisk, "discard-before-a-slow-disk", "answers a discard before a slow disk has done it", "IBNBD-IO-006", hasty(hastyDisk{discards: true})),
		judgedBy(passesErrorsOn, "overflow-is-eio", "answers an EOVERFLOW of the disk with EIO", "IBTRS-IMM-004", onlyEIO),
		judgedBy(passesErrorsOn, "error-behind-the-first-block", "answers a read with what became of its first block", "IBTRS-IMM-004",
			on(func(disk backend.Backend) backend.Backend { return firstBlockDisk{disk} })),
	}
}
