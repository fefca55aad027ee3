// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Durability is a way to write that a crash of the target must not undo.
type Durability struct {
	Name    string   // a sentence
	Clauses []string // that it decides, the one that says so first

	write func(ctx context.Context, p *tester.Path, device uint32) error
}

// Durabilities are all of them.
func Durabilities() []Durability {
	return []Durability{
		{"what was flushed is there after a crash of the target", []string{"IBNBD-FAIL-018", "IBNBD-IO-004"}, writeAndFlush},
		{"what was written with FUA is there after a crash of the target", []string{"IBNBD-IO-009"}, writeThrough},
	}
}

// Endure writes, lets the target crash, and looks for what was written. The crash returns when the target serves again. The
// error of a broken clause is a *tester.Violation.
func (d Durability) Endure(ctx context.Context, target tester.Target, crash func(context.Context) error) error {
	if err := d.before(ctx, target); err != nil {
		return err
	}
	if err := crash(ctx); err != nil {
		return err
	}
	return d.after(ctx, target)
}

// What is written before a crash, and where, from the base on.
const (
	lastingSector   = 32
	lastingSize     = 4096
	lastingSequence = 11
)

// before writes, first something else, so that what is found afterwards cannot come from an earlier run.
func (d Durability) before(ctx context.Context, target tester.Target) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := p.WriteAt(ctx, opened.DeviceID, lastingSector, make([]byte, lastingSize)); err != nil {
		return err
	}
	return d.write(ctx, p, opened.DeviceID)
}

func (d Durability) after(ctx context.Context, target tester.Target) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, target.Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	if err := p.CheckStamped(ctx, opened.DeviceID, lastingSector, lastingSize, lastingSequence); err != nil {
		return tester.Broken(d.Clauses[0], "after the crash: %v", err)
	}
	return nil
}

func writeAndFlush(ctx context.Context, p *tester.Path, device uint32) error {
	if err := p.WriteAt(ctx, device, lastingSector, tester.Stamped(lastingSector, lastingSize, lastingSequence)); err != nil {
		return err
	}
	_, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpFlush, ibnbd.FlagSync, device, 0, 0)), 0), 0)
	return err
}

func writeThrough(ctx context.Context, p *tester.Path, device uint32) error {
	message := ibnbd.NewIORequest(ibnbd.OpWrite, ibnbd.FlagSync|ibnbd.FlagFUA, device, p.Base()+lastingSector, lastingSize)
	_, err := p.Call(ctx, p.Write(tester.Marshal(message), tester.Stamped(lastingSector, lastingSize, lastingSequence)), 0)
	return err
}
