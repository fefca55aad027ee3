// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

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

	flags uint32 // of each write that must last, beside others
	flush bool   // they last by a flush
	file  bool   // they last because the device is opened in file mode
}

// Durabilities are all of them.
func Durabilities() []Durability {
	return []Durability{
		{"what was flushed is there after a crash of the target", []string{"IBNBD-FAIL-018", "IBNBD-IO-004"}, 0, true, false},
		{"what was written with FUA is there after a crash of the target", []string{"IBNBD-IO-009"}, ibnbd.FlagFUA, false, false},
		{"what was written in file mode is there after a crash of the target", []string{"IBNBD-IO-030"}, 0, false, true},
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
	if d.file {
		return d.endureInFileMode(ctx, target, crash)
	}
	control := rand.Uint64() // another one in each run, so that nothing of an earlier run is taken for it
	written, err := d.before(ctx, target, control, crash.Happens)
	if err != nil {
		return err
	}
	target, err = crash.Over(ctx)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	return d.after(ctx, target, written, control)
}

// controlSize is how much is written that need not last, from the base on, in bytes. What must last is behind it.
const controlSize = 4096

// before writes, and lets the target crash while the client that has written is connected: a target may flush for one that leaves.
func (d Durability) before(ctx context.Context, target tester.Target, control uint64, crash func(context.Context) error) (written []lasting, err error) {
	t := tester.New(forFlushes(target))
	defer func() { err = errors.Join(err, t.Close()) }()
	c, err := newPairRun(ctx, t)
	if err != nil {
		return nil, err
	}
	written = c.lastings(d.flags, control+1)
	for _, l := range written {
		if err := c.write(ctx, l); err != nil {
			return nil, fmt.Errorf("%s: %w", l, err)
		}
	}
	if d.flush {
		err = c.flush(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := c.paths[0].WriteAt(ctx, c.opened[0].DeviceID, 0, tester.Stamped(0, controlSize, control)); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	return written, crash(ctx)
}

// after looks for what was written before the crash.
func (d Durability) after(ctx context.Context, target tester.Target, written []lasting, control uint64) (err error) {
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, target.Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	ids := [2]uint32{opened.DeviceID, opened.DeviceID}
	if target.Exports[1] != target.Exports[0] {
		if opened, err = p.OpenFree(ctx, target.Exports[1], ibnbd.ReadOnly); err != nil {
			return fmt.Errorf("after the crash: open %s: %w", target.Exports[1], err)
		}
		ids[1] = opened.DeviceID
	}
	for _, l := range written {
		if err := p.CheckStamped(ctx, ids[l.device], l.sector, int(l.size), l.stamp); err != nil {
			return tester.Broken(d.Clauses[0], "after the crash, a %s: %v", l, err)
		}
	}
	found, err := p.ReadAt(ctx, ids[0], 0, controlSize)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if stamp.Check(found, 0, tester.StampOf(control)) == nil {
		return errNothingLost
	}
	return nil
}

// lasting is a write that a crash must not undo.
type lasting struct {
	device, path int
	connection   uint16
	flags, size  uint32
	sector       uint64
	stamp        uint64
}

// String says what it is.
func (l lasting) String() string {
	return fmt.Sprintf("write with %s of %d bytes at sector %d of device %d, on connection %d of path %d",
		flagNames(l.flags), l.size, l.sector, l.device, l.connection, l.path)
}

// lastings are writes in all pairs of flags, size, device, path and connection, each in sectors of its own as far as there is room.
func (c *pairRun) lastings(with uint32, stamp uint64) []lasting {
	largest := largestIO(c.paths[0], c.opened[0], c.block)
	sizes := []uint32{c.block, min(max(c.block, 4096), largest), min(64<<10, largest), largest}
	rows := covering(len(flagSets), len(sizes), len(c.opened), len(c.paths), tester.Connections)
	slices.SortStableFunc(rows, func(a, b []int) int { // a preflush makes durable what was written before it
		return int(flagSets[b[0]]&ibnbd.FlagPreflush) - int(flagSets[a[0]]&ibnbd.FlagPreflush)
	})
	var next [2]uint64
	var all []lasting
	for _, row := range rows {
		l := lasting{flags: flagSets[row[0]] | with, size: sizes[row[1]], device: row[2], path: row[3], connection: uint16(row[4])}
		l.sector = max(next[l.device], controlSize/ibnbd.SectorSize)
		end := l.sector + sectorOf(l.size)
		if end > c.t.UsableSectors(c.opened[l.device].Capacity) {
			continue
		}
		next[l.device] = end
		l.stamp = stamp + uint64(len(all))
		all = append(all, l)
	}
	return all
}

// write writes what must last.
func (c *pairRun) write(ctx context.Context, l lasting) error {
	p := c.paths[l.path]
	message := ibnbd.NewIORequest(ibnbd.OpWrite, l.flags, c.opened[l.device].DeviceID, p.Base()+l.sector, l.size)
	r := p.Write(tester.Marshal(message), tester.Stamped(l.sector, int(l.size), l.stamp))
	r.CID = l.connection
	_, err := p.Call(ctx, r, 0)
	return err
}

// flush flushes each device, the last one over the last path.
func (c *pairRun) flush(ctx context.Context) error {
	for i, o := range c.opened {
		p := c.paths[i%len(c.paths)]
		if _, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpFlush, ibnbd.FlagSync, o.DeviceID, 0, 0)), 0), 0); err != nil {
			return fmt.Errorf("flush of device %d: %w", i, err)
		}
	}
	return nil
}
