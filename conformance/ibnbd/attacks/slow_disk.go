// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// SlowDisk looks that a target answers what changes its disk when the disk has done it. The disk takes a known time for each
// operation, so that an answer that comes earlier has not waited.
type SlowDisk struct{ Latency time.Duration }

// slowOp is an operation, and the clause that is broken when its answer does not wait for the disk.
type slowOp struct {
	name   string
	op     ibnbd.Op
	flags  uint32
	clause string
	most   func(ibnbd.OpenResponse) uint32 // sectors in one request, of what a target need not offer
}

// slowOps are in an order in which each has something to do for the disk: a flush follows a write. Reads are not among them: a
// target may have what is read.
var slowOps = []slowOp{
	{"write", ibnbd.OpWrite, 0, doneFirst, nil},
	{"flush", ibnbd.OpFlush, 0, "IBNBD-IO-004", nil},
	{"write with FUA", ibnbd.OpWrite, ibnbd.FlagFUA, "IBNBD-IO-009", nil},
	{"write with FUA and other flags", ibnbd.OpWrite, ibnbd.FlagFUA | ibnbd.FlagSync, "IBNBD-IO-009", nil},
	{"write-zeroes", ibnbd.OpWriteZeroes, 0, zeroings.clause, zeroings.most},
	{"discard", ibnbd.OpDiscard, 0, discards.clause, discards.most},
}

// Clauses are those that it decides.
func (SlowDisk) Clauses() []string {
	return []string{doneFirst, "IBNBD-IO-004", "IBNBD-IO-009", zeroings.clause, discards.clause}
}

// Run does every operation that the target offers. The error of a broken clause is a *tester.Violation; what is not offered is left
// undecided.
func (s SlowDisk) Run(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	var missing []string // clauses
	for _, o := range slowOps {
		if o.most != nil && o.most(opened) < slowSize/ibnbd.SectorSize {
			missing = append(missing, o.clause)
			continue
		}
		begin := time.Now()
		_, err := p.Call(ctx, o.request(p, opened.DeviceID), 0)
		took := time.Since(begin)
		if err := succeeded(o.clause, err); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		if took < s.Latency {
			return tester.Broken(o.clause, "a %s was answered after %s, and the disk takes %s for it", o.name, took, s.Latency)
		}
	}
	if len(missing) > 0 {
		return &finding.Undecided{Reason: verdict.AbilityMissing, Text: "the target does not offer the operation on this disk", Only: missing}
	}
	return nil
}

// slowSize is how much an operation is about, in bytes.
const slowSize = 4096

// request is the operation on the first sectors from the base.
func (o slowOp) request(p *tester.Path, device uint32) tester.Request {
	message := tester.Marshal(ibnbd.NewIORequest(o.op, o.flags, device, p.Base(), slowSize))
	switch o.op {
	case ibnbd.OpWrite:
		return p.Write(message, tester.Stamped(0, slowSize, 1))
	case ibnbd.OpFlush:
		return p.Read(tester.Marshal(ibnbd.NewIORequest(o.op, o.flags, device, 0, 0)), 0)
	}
	return p.Write(message, nil)
}

// DiskError is an operation, and what becomes of it on a disk that fails some.
type DiskError struct {
	Name   string
	Op     ibnbd.Op // a read or a write
	Sector uint64
	Size   uint32      // in bytes
	Errno  ibtrs.Errno // with which it fails; 0: it is done
}

// FailingDisk looks that a target answers with what became of each operation on its disk. They are done in their order.
type FailingDisk []DiskError

// Clauses are those that it decides.
func (FailingDisk) Clauses() []string { return []string{diskErrno, "IBTRS-IMM-003"} }

const diskErrno = "IBTRS-IMM-004"

// Run does the operations. The error of a broken clause is a *tester.Violation.
func (f FailingDisk) Run(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, e := range f {
		message := tester.Marshal(ibnbd.NewIORequest(e.Op, 0, opened.DeviceID, e.Sector, e.Size))
		r := p.Write(message, tester.Stamped(e.Sector, int(e.Size), 1))
		if e.Op == ibnbd.OpRead {
			r = p.Read(message, e.Size)
		}
		_, err := p.Call(ctx, r, 0)
		clause := diskErrno
		if e.Errno == 0 {
			clause = "IBTRS-IMM-003"
		}
		if err := answered(clause, err, e.Errno); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return nil
}
