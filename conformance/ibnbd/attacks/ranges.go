// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// besideSize is how much is looked at on each side of what is changed, in bytes, unless a block is larger.
const besideSize = 4096

// rangeOp is an operation that has a range and no data.
type rangeOp struct {
	op     ibnbd.Op
	clause string
	most   func(ibnbd.OpenResponse) uint32 // sectors in one request; 0: it is not offered
	leaves contents
}

// contents are what a range has after an operation.
type contents int

const (
	anything contents = iota
	zeroes
	nothingOfBefore // anything but what was written before
)

var (
	discards = rangeOp{ibnbd.OpDiscard, "IBNBD-IO-006", func(r ibnbd.OpenResponse) uint32 { return r.MaxDiscardSectors }, anything}
	zeroings = rangeOp{ibnbd.OpWriteZeroes, "IBNBD-IO-007", func(r ibnbd.OpenResponse) uint32 { return r.MaxWriteZeroesSectors }, zeroes}
	erasures = rangeOp{ibnbd.OpSecureErase, "IBNBD-IO-032", mostErased, nothingOfBefore}
)

// mostErased is how much is erased at once: no OPEN_RSP has a limit for that.
func mostErased(r ibnbd.OpenResponse) uint32 {
	if r.SecureErase == 0 {
		return 0
	}
	return 1 << 20 / ibnbd.SectorSize
}

func discard(ctx context.Context, t *tester.Tester) error { return discards.run(ctx, t) }

func zero(ctx context.Context, t *tester.Tester) error { return zeroings.run(ctx, t) }

func erase(ctx context.Context, t *tester.Tester) error { return erasures.run(ctx, t) }

// span is a range, in bytes from the base.
type span struct{ at, size uint32 }

// run does the operation to ranges that fit the unit of the device, and to ranges that begin or end within one.
func (o rangeOp) run(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	most := uint64(o.most(opened)) * ibnbd.SectorSize
	block := max(uint32(opened.LogicalBlockSize), ibnbd.SectorSize)
	if most < uint64(block) {
		return fmt.Errorf("it takes %d sectors at most in one %s: %w", o.most(opened), o.op, ErrInapplicable)
	}
	for _, s := range spans(block, min(most, t.UsableSectors(opened.Capacity)*ibnbd.SectorSize)) {
		if err := o.between(ctx, p, opened.DeviceID, block, s); err != nil {
			return fmt.Errorf("%s of %d bytes at byte %d: %w", o.op, s.size, uint64(s.at)+t.Base()*ibnbd.SectorSize, err)
		}
	}
	return nil
}

// spans are ranges of a few sizes at the begin of a unit, behind it and in front of its end, as far as there is room for them
// and for what is beside them.
func spans(block uint32, room uint64) []span {
	beside := max(block, besideSize)
	var all []span
	for _, size := range []uint32{2 * besideSize, block, 3 * block, besideSize, besideSize + block, 64 << 10, 64<<10 + block} {
		for _, at := range []uint32{2 * beside, 2*beside + block, 2*beside - block} {
			if size%block == 0 && uint64(at+size+beside) <= room {
				all = append(all, span{at, size})
			}
		}
	}
	return all
}

// between stamps the blocks of a range and those on both sides of it, does the operation, and looks for those beside it.
func (o rangeOp) between(ctx context.Context, p *tester.Path, device, block uint32, s span) error {
	const sequence = 8
	beside := int(max(block, besideSize))
	first, last := sectorOf(s.at), sectorOf(s.at+s.size-block)
	before, behind := first-sectorOf(uint32(beside)), sectorOf(s.at+s.size)
	for sector, size := range map[uint64]int{before: beside, first: int(block), last: int(block), behind: beside} {
		if err := p.WriteAt(ctx, device, sector, tester.Stamped(sector, size, sequence)); err != nil {
			return err
		}
	}
	message := ibnbd.NewIORequest(o.op, 0, device, p.Base()+first, s.size)
	_, err := p.Call(ctx, p.Write(tester.Marshal(message), nil), 0)
	if err := succeeded(o.clause, err); err != nil {
		return err
	}
	for _, sector := range []uint64{before, behind} {
		if err := p.CheckStamped(ctx, device, sector, beside, sequence); err != nil {
			return tester.Broken(o.clause, "beside the range: %v", err)
		}
	}
	switch o.leaves {
	case zeroes:
		return o.isZero(ctx, p, device, s)
	case nothingOfBefore:
		return o.isErased(ctx, p, device, block, sequence, first, last)
	}
	return nil
}

// isErased reads blocks of the range that were stamped before.
func (o rangeOp) isErased(ctx context.Context, p *tester.Path, device, block uint32, sequence uint64, sectors ...uint64) error {
	for _, sector := range sectors {
		data, err := p.ReadAt(ctx, device, sector, block)
		if err != nil {
			return err
		}
		if bytes.Equal(data, tester.Stamped(sector, int(block), sequence)) {
			return tester.Broken(o.clause, "what was written to sector %d is still there", sector)
		}
	}
	return nil
}

// isZero reads the range.
func (o rangeOp) isZero(ctx context.Context, p *tester.Path, device uint32, s span) error {
	const step = 4096
	for at := s.at; at < s.at+s.size; at += step {
		data, err := p.ReadAt(ctx, device, sectorOf(at), min(step, s.at+s.size-at))
		if err != nil {
			return err
		}
		if n := len(data) - len(bytes.TrimLeft(data, "\x00")); n < len(data) {
			return tester.Broken(o.clause, "byte %d of the range is %#x, it must be zero", int(at-s.at)+n, data[n])
		}
	}
	return nil
}

// sectorOf is the sector of a byte.
func sectorOf(at uint32) uint64 { return uint64(at) / ibnbd.SectorSize }
