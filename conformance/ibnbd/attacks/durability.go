// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Durability is a way to write that a crash of the target must not undo.
type Durability struct {
	Name    string   // a sentence
	Clauses []string // that it decides, the one that says so first

	write func(ctx context.Context, p *tester.Path, device uint32, data []byte) error
}

// Durabilities are all of them.
func Durabilities() []Durability {
	return []Durability{
		{"what was flushed is there after a crash of the target", []string{"IBNBD-FAIL-018", "IBNBD-IO-004"}, writeAndFlush},
		{"what was written with FUA is there after a crash of the target", []string{"IBNBD-IO-009"}, writeThrough},
	}
}

// errNothingLost is the end of a spec whose crash has not lost what a crash may lose: then what must last would have lasted anyway.
var errNothingLost error = &finding.Undecided{
	Reason: verdict.NothingLost, Text: "this crash loses nothing: a write that was neither flushed nor FUA is there after it, too",
}

// Crash is how a target crashes and comes back.
type Crash struct {
	// Happens has it crash as by a loss of power.
	Happens func(context.Context) error
	// Over waits until the target serves again, and gives it over devices of which nothing from before the crash is left.
	Over func(context.Context) (tester.Target, error)
}

// Endure writes what must last, then as control what need not, lets the target crash, and looks for both. The error of a broken
// clause is a *tester.Violation. What has lasted is proof only if the control was lost.
func (d Durability) Endure(ctx context.Context, target tester.Target, crash Crash) error {
	marks := newMarks()
	if err := d.before(ctx, target, marks, crash.Happens); err != nil {
		return err
	}
	target, err := crash.Over(ctx)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	return d.after(ctx, target, marks)
}

// What is written before a crash, and where, from the base on.
const (
	lastingSector = 32
	controlSector = 48
	lastingSize   = 4096
)

// marks are the stamps of what is written: different ones in each run, so that nothing of an earlier run is taken for it.
type marks struct{ lasting, control uint64 }

func newMarks() marks {
	first := rand.Uint64()
	return marks{first, first + 1}
}

// before writes, and lets the target crash while the client that has written is connected: a target may flush for one that leaves.
func (d Durability) before(ctx context.Context, target tester.Target, m marks, crash func(context.Context) error) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := d.write(ctx, p, opened.DeviceID, tester.Stamped(lastingSector, lastingSize, m.lasting)); err != nil {
		return err
	}
	if err := p.WriteAt(ctx, opened.DeviceID, controlSector, tester.Stamped(controlSector, lastingSize, m.control)); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	return crash(ctx)
}

func (d Durability) after(ctx context.Context, target tester.Target, m marks) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, target.Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	if err := p.CheckStamped(ctx, opened.DeviceID, lastingSector, lastingSize, m.lasting); err != nil {
		return tester.Broken(d.Clauses[0], "after the crash: %v", err)
	}
	control, err := p.ReadAt(ctx, opened.DeviceID, controlSector, lastingSize)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if stamp.Check(control, controlSector, tester.StampOf(m.control)) == nil {
		return errNothingLost
	}
	return nil
}

func writeAndFlush(ctx context.Context, p *tester.Path, device uint32, data []byte) error {
	if err := p.WriteAt(ctx, device, lastingSector, data); err != nil {
		return err
	}
	_, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpFlush, ibnbd.FlagSync, device, 0, 0)), 0), 0)
	return err
}

func writeThrough(ctx context.Context, p *tester.Path, device uint32, data []byte) error {
	message := ibnbd.NewIORequest(ibnbd.OpWrite, ibnbd.FlagSync|ibnbd.FlagFUA, device, p.Base()+lastingSector, lastingSize)
	_, err := p.Call(ctx, p.Write(tester.Marshal(message), data), 0)
	return err
}
