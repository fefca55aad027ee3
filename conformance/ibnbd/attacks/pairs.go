// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// I/O of each operation in each size, in all pairs of that with flags, place, device, path, connection and chunk, and of these with
// each other; each between blocks that must stay. What goes wrong only where two of these meet is found so.

// unnamedFlag is a bit that no operation has.
const unnamedFlag = 1 << 30

// flagSets are flags of I/O. None has FUA: some target's kernel complains of it on anything but a write, and a write has more to show
// for it when the target crashes.
var flagSets = []uint32{
	0, ibnbd.FlagSync, ibnbd.FlagPreflush, ibnbd.FlagNoUnmap, ibnbd.FlagSync | ibnbd.FlagPreflush | ibnbd.FlagNoUnmap | unnamedFlag,
}

// flagNames are the flags in words.
func flagNames(flags uint32) string {
	var names []string
	for _, f := range []struct {
		flag uint32
		name string
	}{{ibnbd.FlagSync, "sync"}, {ibnbd.FlagFUA, "FUA"}, {ibnbd.FlagPreflush, "preflush"}, {ibnbd.FlagNoUnmap, "no-unmap"}, {unnamedFlag, "bit 30"}} {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return "no flags"
	}
	return strings.Join(names, "+")
}

// sizedOp is so much I/O of an operation, in bytes.
type sizedOp struct {
	op   ibnbd.Op
	size uint32
}

// longRange is a range without data that is longer than most targets take data for, and a little more than a round number.
const longRange = 1<<20 + 64<<10

// sizedOps are each operation in some sizes, of blocks of a size, up to the most in one request of data.
func sizedOps(block, largest uint32) []sizedOp {
	all := []sizedOp{{ibnbd.OpWriteZeroes, longRange}, {ibnbd.OpDiscard, longRange}}
	for _, op := range []ibnbd.Op{ibnbd.OpWrite, ibnbd.OpRead, ibnbd.OpWriteZeroes, ibnbd.OpDiscard} {
		for _, size := range []uint32{block, sequenceBlock + block, 64 << 10, 64<<10 + block, largest} {
			all = append(all, sizedOp{op, min(size, largest)})
		}
	}
	return all
}

// pairRun is what the pairs are tried with.
type pairRun struct {
	t       *tester.Tester
	paths   []*tester.Path
	exports []string
	opened  []ibnbd.OpenResponse
	block   uint32
	stamp   uint64
}

// newPairRun opens both devices in one session, over as many paths as there are, up to two.
func newPairRun(ctx context.Context, t *tester.Tester) (*pairRun, error) {
	exports := t.Target().Exports
	path, opened, err := t.Ready(ctx)
	if err != nil {
		return nil, err
	}
	c := &pairRun{t: t, paths: []*tester.Path{path}, exports: exports[:1], opened: []ibnbd.OpenResponse{opened}}
	if exports[1] != exports[0] {
		second, err := path.OpenFree(ctx, exports[1], ibnbd.Migration) // beside the bystander
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", exports[1], err)
		}
		c.exports, c.opened = exports[:], append(c.opened, second)
	}
	if len(t.Target().Rails) > 1 {
		other := path.Session.NewPath(1)
		if err := other.Connect(ctx); err != nil {
			return nil, fmt.Errorf("second path: %w", err)
		}
		c.paths = append(c.paths, other)
	}
	for _, o := range c.opened {
		c.block = max(c.block, uint32(o.LogicalBlockSize), ibnbd.SectorSize)
	}
	return c, nil
}

// pairedIO is one way to do I/O.
type pairedIO struct {
	op         ibnbd.Op
	flags      uint32
	size       uint32
	at         uint64 // sector, from the base
	device     int
	path       int
	connection uint16
	chunk      uint32
}

// String says it.
func (x pairedIO) String() string {
	return fmt.Sprintf("%s with %s of %d bytes at sector %d of device %d, in chunk %d of connection %d of path %d",
		x.op, flagNames(x.flags), x.size, x.at, x.device, x.chunk, x.connection, x.path)
}

// forFlushes is a target that may take longer for an answer: behind a preflush, for instance, that has much to write.
func forFlushes(target tester.Target) tester.Target {
	target.Patience *= 4
	return target
}

// pairs tries every pair.
func pairs(ctx context.Context, t *tester.Tester) (err error) {
	t = tester.New(forFlushes(t.Target()))
	defer func() { err = errors.Join(err, t.Close()) }()
	c, err := newPairRun(ctx, t)
	if err != nil {
		return err
	}
	all := sizedOps(c.block, largestIO(c.paths[0], c.opened[0], c.block))
	depth := uint32(c.paths[0].Geometry.QueueDepth)
	chunks := []uint32{0, depth / 2, depth - 1}
	const places = 3
	for _, row := range covering(len(all), len(flagSets), places, len(c.opened), len(c.paths), tester.Connections, len(chunks)) {
		x := pairedIO{
			op: all[row[0]].op, size: all[row[0]].size, flags: flagSets[row[1]],
			at:     sequenceSector + sectorOf(max(c.block, sequenceBlock)+uint32(row[2])*c.block),
			device: row[3], path: row[4], connection: uint16(row[5]), chunk: chunks[row[6]],
		}
		if !c.possible(x) {
			continue
		}
		if err := c.try(ctx, x); err != nil {
			return fmt.Errorf("%s: %w", x, err)
		}
	}
	return nil
}

// possible says whether the target offers such an operation, and there is room for it and what is beside it.
func (c *pairRun) possible(x pairedIO) bool {
	o := c.opened[x.device]
	end := x.at + sectorOf(x.size+max(c.block, sequenceBlock))
	switch {
	case end > c.t.UsableSectors(o.Capacity):
		return false
	case x.op == ibnbd.OpDiscard:
		return uint64(x.size) <= uint64(discards.most(o))*ibnbd.SectorSize
	case x.op == ibnbd.OpWriteZeroes:
		return uint64(x.size) <= uint64(zeroings.most(o))*ibnbd.SectorSize
	}
	return true
}

// try stamps a range and what is beside it, does the operation, and looks at all of it over the other path.
func (c *pairRun) try(ctx context.Context, x pairedIO) error {
	beside := max(c.block, sequenceBlock)
	before, behind := x.at-sectorOf(beside), x.at+sectorOf(x.size)
	path, id := c.paths[x.path], c.opened[x.device].DeviceID
	other := c.paths[(x.path+1)%len(c.paths)]
	c.stamp += 2
	if err := c.fill(ctx, other, id, before, x.size+2*beside, c.stamp); err != nil {
		return err
	}
	data, clause, err := c.do(ctx, path, id, x)
	if err != nil {
		return tester.Broken(clause, "%s, it must succeed", tester.Outcome(err))
	}
	for _, sector := range []uint64{before, behind} {
		if err := other.CheckStamped(ctx, id, sector, int(beside), c.stamp); err != nil {
			return tester.Broken(clause, "beside the range: %v", err)
		}
	}
	switch x.op {
	case ibnbd.OpDiscard:
		return nil
	case ibnbd.OpWriteZeroes:
		return c.compare(ctx, other, id, x, make([]byte, x.size), clause)
	case ibnbd.OpRead:
		if want := tester.Stamped(x.at, int(x.size), c.stamp); !bytes.Equal(data, want) {
			return tester.Broken(clause, "byte %d is not what was written there", firstOther(data, want))
		}
	}
	return c.compare(ctx, other, id, x, data, clause)
}

// do does the operation, and gives the data that the range has afterwards, and the clause that it is about.
func (c *pairRun) do(ctx context.Context, path *tester.Path, id uint32, x pairedIO) (data []byte, clause string, err error) {
	message := tester.Marshal(ibnbd.NewIORequest(x.op, x.flags, id, path.Base()+x.at, x.size))
	var r tester.Request
	size := 0
	switch clause = exactly; x.op {
	case ibnbd.OpRead:
		r, size = path.Read(message, x.size), int(x.size)
	case ibnbd.OpWrite:
		data = tester.Stamped(x.at, int(x.size), c.stamp+1)
		r = path.Write(message, data)
	case ibnbd.OpDiscard:
		r, clause = path.Write(message, nil), discards.clause
	default:
		r, clause = path.Write(message, nil), zeroings.clause
	}
	r = path.ToChunk(r, x.chunk)
	r.CID = x.connection
	got, err := path.Call(ctx, r, size)
	if x.op == ibnbd.OpRead {
		data = got
	}
	return data, clause, err
}

// most of what is read or written at a time to prepare and to compare, in bytes.
func (c *pairRun) step() uint32 { return min(64<<10, largestIO(c.paths[0], c.opened[0], c.block)) }

// fill stamps a range.
func (c *pairRun) fill(ctx context.Context, path *tester.Path, id uint32, sector uint64, size uint32, stamp uint64) error {
	for at := uint32(0); at < size; at += c.step() {
		from := sector + sectorOf(at)
		if err := path.WriteAt(ctx, id, from, tester.Stamped(from, int(min(c.step(), size-at)), stamp)); err != nil {
			return fmt.Errorf("prepare: write at sector %d: %w", from, err)
		}
	}
	return nil
}

// compare reads the range of an operation.
func (c *pairRun) compare(ctx context.Context, path *tester.Path, id uint32, x pairedIO, want []byte, clause string) error {
	for at := uint32(0); at < x.size; at += c.step() {
		n := min(c.step(), x.size-at)
		got, err := path.ReadAt(ctx, id, x.at+sectorOf(at), n)
		if err != nil {
			return tester.Broken(exactly, "read back %d bytes at byte %d of the range: %s", n, at, tester.Outcome(err))
		}
		if part := want[at : at+n]; !bytes.Equal(got, part) {
			return tester.Broken(clause, "byte %d of the range is %#x, it must be %#x", at+uint32(firstOther(got, part)), got[firstOther(got, part)], part[firstOther(got, part)])
		}
	}
	return nil
}

// fuaBesideRanges sets FUA beside operations that a target may refuse it with. What it answers with success it must have done.
func fuaBesideRanges(ctx context.Context, t *tester.Tester) error {
	c, err := newPairRun(ctx, t)
	if err != nil {
		return err
	}
	for _, op := range []ibnbd.Op{ibnbd.OpWriteZeroes, ibnbd.OpDiscard} {
		for _, flags := range flagSets {
			x := pairedIO{op: op, flags: flags | ibnbd.FlagFUA, size: 2 * max(c.block, sequenceBlock), at: sequenceSector + sectorOf(max(c.block, sequenceBlock)), connection: 1}
			if !c.possible(x) {
				continue
			}
			if err := c.tryRefusable(ctx, x); err != nil {
				return fmt.Errorf("%s: %w", x, err)
			}
		}
	}
	return nil
}

// tryRefusable is try for an operation that the target may refuse.
func (c *pairRun) tryRefusable(ctx context.Context, x pairedIO) error {
	path, id := c.paths[x.path], c.opened[x.device].DeviceID
	c.stamp += 2
	if err := c.fill(ctx, path, id, x.at, x.size, c.stamp); err != nil {
		return err
	}
	_, clause, err := c.do(ctx, path, id, x)
	var errno ibtrs.Errno
	switch {
	case errors.As(err, &errno):
		return nil
	case err != nil:
		return tester.Broken(clause, "%s", tester.Outcome(err))
	case x.op == ibnbd.OpDiscard:
		return nil
	}
	return c.compare(ctx, path, id, x, make([]byte, x.size), clause)
}
