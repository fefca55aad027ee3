// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"math"

	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// outside are addresses of blocks beyond a unit whose last block is given. All but those at its end have a block of the unit in
// their lower bits, to which a target that cuts them off would go.
func outside(last, block uint64) (addresses []uint64) {
	for _, a := range []uint64{last + 1, 1<<31 + block, 1<<32 + block, 1<<40 + block, 1<<63 + block, math.MaxUint64} {
		if a > last {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// readsOutside reads the last block of a unit, and what is not of it: across its end, and at addresses far beyond.
func readsOutside(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	g := c.Geometry(lun)
	if _, err := c.Memory(); err != nil {
		return err
	}
	do := func(f *scsi.Form, at uint64, blocks uint32) (srp.Rsp, error) {
		cdb, err := f.AppendIO(nil, at, blocks, false)
		if err != nil {
			return srp.Rsp{}, err
		}
		return c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, int(blocks)*g.Block))))
	}
	m, err := do(scsi.Read16, g.Last, 1)
	if err == nil {
		err = tester.FailureOf(m)
	}
	if err := succeeded(unitServes, err); err != nil {
		return fmt.Errorf("a read of the last block: %w", err)
	}
	refused := func(f *scsi.Form, at uint64, blocks uint32) error {
		m, err := do(f, at, blocks)
		if err := sensed(unitServes, m, err, scsi.IllegalRequest, scsi.LBAOutOfRange); err != nil {
			return fmt.Errorf("%s of %d blocks at %#x, the last is %#x: %w", f.Name, blocks, at, g.Last, err)
		}
		return nil
	}
	if err := refused(scsi.Read16, g.Last, 2); err != nil {
		return err
	}
	for _, at := range outside(g.Last, c.Base(lun)) {
		for _, blocks := range []uint32{1, 2} { // behind the last of all addresses comes the first again
			if err := refused(scsi.Read16, at, blocks); err != nil {
				return err
			}
		}
		if at > math.MaxUint32 {
			continue
		}
		if err := refused(scsi.Read10, at, 1); err != nil {
			return err
		}
	}
	return nil
}

// writesOutside writes at addresses far beyond the end of a unit, and looks whether any block was written to which a part of one leads.
func writesOutside(ctx context.Context, t *tester.Tester) error {
	const kept = 110
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	g := c.Geometry(lun)
	if err := c.WriteAt(ctx, lun, 0, c.Stamped(lun, 0, 1, kept)); err != nil {
		return err
	}
	data, err := c.Memory()
	if err != nil {
		return err
	}
	for _, at := range outside(g.Last, c.Base(lun)) {
		copy(data, c.Stamped(lun, 0, 1, kept+1))
		cdb, err := scsi.Write16.AppendIO(nil, at, 1, false)
		if err != nil {
			return err
		}
		m, err := c.Do(ctx, c.Command(lun, cdb, srp.DirectBuffer(c.Piece(0, g.Block)), srp.Buffer{}))
		if err := sensed(unitServes, m, err, scsi.IllegalRequest, scsi.LBAOutOfRange); err != nil {
			return fmt.Errorf("a write at block %#x, the last is %#x: %w", at, g.Last, err)
		}
		if err := c.CheckStamped(ctx, lun, 0, 1, kept); err != nil {
			return tester.Broken(unitServes, "after a write at block %#x, which was refused: %v", at, err)
		}
	}
	return nil
}
