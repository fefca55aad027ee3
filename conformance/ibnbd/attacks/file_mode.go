// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// What is written in file mode, and to the other export as control, from the base on.
const (
	fileSector = 32
	fileSize   = 4096
)

// endureInFileMode is Endure where every write must last. The control is written to the other export, which is open in block mode.
func (d Durability) endureInFileMode(ctx context.Context, target tester.Target, crash Crash) error {
	if target.Exports[0] == target.Exports[1] {
		return errOneExport
	}
	first := rand.Uint64()
	if err := writeInFileMode(ctx, target, first, crash.Happens); err != nil {
		return err
	}
	target, err := crash.Over(ctx)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	return d.afterFileMode(ctx, target, first)
}

// writeInFileMode writes in file mode, then the control, and lets the target crash while both clients are connected.
func writeInFileMode(ctx context.Context, target tester.Target, first uint64, crash func(context.Context) error) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	file, opened, err := openFreeIn(ctx, t, ibnbd.FileIO, ibnbd.ReadWrite)
	if err != nil {
		return err
	}
	block, control, err := t.NewSession().Ready(ctx, target.Exports[1], ibnbd.ReadWrite)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if err := file.WriteAt(ctx, opened.DeviceID, fileSector, tester.Stamped(fileSector, fileSize, first)); err != nil {
		return err
	}
	if err := block.WriteAt(ctx, control.DeviceID, fileSector, tester.Stamped(fileSector, fileSize, first+1)); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return crash(ctx)
}

// afterFileMode looks for what was written before the crash.
func (d Durability) afterFileMode(ctx context.Context, target tester.Target, first uint64) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, target.Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	if err := p.CheckStamped(ctx, opened.DeviceID, fileSector, fileSize, first); err != nil {
		return tester.Broken(d.Clauses[0], "after the crash, a write in file mode: %v", err)
	}
	control, err := p.OpenFree(ctx, target.Exports[1], ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	found, err := p.ReadAt(ctx, control.DeviceID, fileSector, fileSize)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if stamp.Check(found, fileSector, tester.StampOf(first+1)) == nil {
		return errNothingLost
	}
	return nil
}
