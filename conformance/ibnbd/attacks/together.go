// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// together are uses in which several things happen at once, or at places that a target may treat in its own way.
func together() []Attack {
	return []Attack{
		{Name: "writes at once of neighbouring blocks", Does: Writes, Clauses: []string{exactly, everyChunk}, Run: neighboursAtOnce},
		{Name: "writes across every power of two of the place on a device", Does: Writes, Clauses: []string{exactly}, Run: acrossPowers},
		{Name: "OPENs for writing of several sessions at once", Does: Writes, Clauses: []string{noWriter}, Run: writersAtOnce},
		{Name: "every chunk on one path after another was lost with requests in them", Rails: 2, Does: Writes, Clauses: []string{everyChunk}, Run: chunksOfLostPath},
		{Name: "keys of chunks whose requests are refused", Clauses: []string{"IBTRS-INV-005"}, Run: keysOfRefused},
		{Name: "reads to addresses that fit no block", Clauses: []string{wholeAnswer}, Run: unalignedReads},
		{Name: "OPENs of two different devices in one session", Clauses: []string{capacity, "IBNBD-OPEN-002", "IBNBD-COMPAT-004"}, Run: tellApart},
		{Name: "client that has no room for answers", Run: noRoomForAnswers},
	}
}

// neighboursAtOnce writes as many blocks beside each other as there are chunks, all at once, and reads them: a target that works on larger
// units than a block must not lose one write by another.
func neighboursAtOnce(ctx context.Context, t *tester.Tester) error {
	c, err := newFullQueue(ctx, t)
	if err != nil {
		return err
	}
	c.blocks, c.size = c.blocks*int(c.size/c.block), c.block
	count := min(int(c.path.Geometry.QueueDepth), mostRequests, c.blocks)
	const rounds = 10
	for range rounds {
		c.sequence++
		if err := c.all(ctx, count, c.write); err != nil {
			return fmt.Errorf("%d writes at once: %w", count, err)
		}
		if err := c.all(ctx, count, c.read); err != nil {
			return fmt.Errorf("%d reads at once: %w", count, err)
		}
		for i := range count {
			if !bytes.Equal(c.batch.Buffer(i)[:c.size], c.content(i)) {
				return tester.Broken(exactly, "of %d neighbouring blocks of %d bytes that were written at once, that at sector %d is not there", count, c.size, t.Base()+c.sector(i))
			}
		}
	}
	return nil
}

// acrossPowers writes across each power of two, in bytes from the begin of the device, and across a page behind the base. It looks for all
// of that when the last is written: what is cut at a border, or lies at two places, shows.
func acrossPowers(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	block := sectorOf(max(uint32(opened.LogicalBlockSize), ibnbd.SectorSize))
	size, first := 2*block, t.Base()
	end := first + min(t.UsableSectors(opened.Capacity), opened.Capacity-first)
	page := max(2*block, sequenceBlock/ibnbd.SectorSize)
	borders := []uint64{(first+page)/page*page + page}
	for border := 8 * page; border <= opened.Capacity-block; border *= 2 {
		borders = append(borders, border)
	}
	borders = slices.DeleteFunc(borders, func(border uint64) bool { return border < first+block || border+block > end })
	slices.Sort(borders)
	borders = slices.Compact(borders) // the page behind the base may begin at a power
	const sequence = 30
	for i, border := range borders {
		sector := border - block - first
		data := tester.Stamped(sector, int(size*ibnbd.SectorSize), sequence+uint64(i))
		if err := p.WriteAt(ctx, opened.DeviceID, sector, data); err != nil {
			return tester.Broken(exactly, "a write across sector %d: %s", border, tester.Outcome(err))
		}
	}
	for i, border := range borders {
		if err := p.CheckStamped(ctx, opened.DeviceID, border-block-first, int(size*ibnbd.SectorSize), sequence+uint64(i)); err != nil {
			return tester.Broken(exactly, "of what was written across sector %d: %v", border, err)
		}
	}
	return nil
}

// writersAtOnce has several sessions ask at once for what only one of them may have.
func writersAtOnce(ctx context.Context, t *tester.Tester) error {
	const sessions, rounds = 3, 20
	var paths []*tester.Path
	for range sessions {
		p := t.NewSession().NewPath(0)
		if err := p.Connect(ctx); err != nil {
			return err
		}
		paths = append(paths, p)
	}
	for range rounds {
		if err := oneWriter(ctx, t, paths); err != nil {
			return err
		}
	}
	return nil
}

// oneWriter asks over each path before it looks at answers, and gives back what was granted.
func oneWriter(ctx context.Context, t *tester.Tester, paths []*tester.Path) error {
	for _, p := range paths {
		r := p.Read(tester.OpenMessage(t.Target().Exports[0], ibnbd.ReadWrite), ibnbd.OpenResponseSize)
		r.CID = 0
		if err := p.Post(r); err != nil {
			return err
		}
	}
	var writers []func() error
	for _, p := range paths {
		a, err := p.Answer(ctx, 0)
		switch {
		case err != nil:
			return err
		case a.Errno == ibtrs.EPERM:
			continue
		case a.Errno != 0:
			return a.Errno
		}
		opened, err := ibnbd.ParseOpenResponse(a.Buffer[:ibnbd.OpenResponseSize])
		if err != nil {
			return err
		}
		writers = append(writers, func() error { return p.CloseDevice(ctx, opened.DeviceID) })
	}
	if len(writers) > 1 {
		return tester.Broken(noWriter, "%d of %d sessions that ask at once may write", len(writers), len(paths))
	}
	if len(writers) == 0 {
		return fmt.Errorf("none of %d sessions that ask at once may write: %w", len(paths), ibtrs.EPERM)
	}
	for _, giveBack := range writers {
		if err := giveBack(); err != nil {
			return err
		}
	}
	return nil
}

// chunksOfLostPath loses a path with a request in every chunk, and uses every chunk on another path of the session.
func chunksOfLostPath(ctx context.Context, t *tester.Tester) error {
	c, err := newFullQueue(ctx, t)
	if err != nil {
		return err
	}
	stays := c.path.Session.NewPath(1)
	if err := stays.Connect(ctx); err != nil {
		return fmt.Errorf("second path: %w", err)
	}
	depth := min(int(c.path.Geometry.QueueDepth), mostRequests)
	for i := range depth {
		r := c.path.ToChunk(c.write(i), uint32(i))
		r.CID = connection(i)
		if err := c.path.Post(r); err != nil {
			return err
		}
	}
	if err := c.path.Disconnect(ctx); err != nil {
		return err
	}
	for chunk := range uint32(depth) {
		if _, err := stays.Call(ctx, stays.ToChunk(readOf(stays, c.device, 0, c.block), chunk), int(c.block)); err != nil {
			return tester.Broken(everyChunk, "a read in chunk %d, in which a path that is gone had a request: %s", chunk, tester.Outcome(err))
		}
	}
	return nil
}

// keysOfRefused looks for a key that is the same after a request that is answered with an error, and uses the last that was taken back.
func keysOfRefused(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if !p.KeyRefresh() {
		return fmt.Errorf("%w: it keeps its keys", ErrInapplicable)
	}
	unknown := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, opened.DeviceID, 0, readSize))
	binary.LittleEndian.PutUint16(unknown, 0xFFFF)
	var old uint32
	for _, c := range []struct {
		what string
		r    tester.Request
	}{
		{"a read of a device that is not open", readOf(p, nobody, 0, readSize)},
		{"a read beyond the end", readOf(p, opened.DeviceID, opened.Capacity-t.Base(), readSize)},
		{"a message of an unknown type", p.Read(unknown, readSize)},
		{"an OPEN of a device that is not there", p.Read(tester.OpenMessage("dev/nosuch", ibnbd.ReadOnly), ibnbd.OpenResponseSize)},
	} {
		old = p.Chunks[0].RKey
		a, err := p.Do(ctx, c.r)
		if err != nil {
			return err
		}
		if a.Errno == 0 {
			return fmt.Errorf("%s is answered with success", c.what)
		}
		if p.Chunks[0].RKey == old {
			return tester.Broken("IBTRS-INV-005", "the key %#x of chunk 0 is the same after %s, which was answered with %s", old, c.what, a.Errno)
		}
	}
	return withKey(ctx, "IBTRS-INV-005", p, opened.DeviceID, old)
}

// unalignedReads has data written to addresses that are multiples of nothing.
func unalignedReads(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	block := max(uint32(opened.LogicalBlockSize), readSize)
	want, err := p.ReadAt(ctx, opened.DeviceID, 0, block)
	if err != nil {
		return err
	}
	const atAddress = ibtrs.ReadMessageSize
	for _, by := range []uint64{1, 2, 4, 8, 64, 100, 511, 512, 513, 2049} {
		r := readOf(p, opened.DeviceID, 0, block)
		binary.LittleEndian.PutUint64(r.Message[atAddress:], binary.LittleEndian.Uint64(r.Message[atAddress:])+by)
		a, err := p.Do(ctx, r)
		if err == nil && a.Errno != 0 {
			err = a.Errno
		}
		if err != nil {
			return tester.Broken(wholeAnswer, "a read to an address %d bytes behind a page: %s", by, tester.Outcome(err))
		}
		end := int(by) + int(block)
		if before := a.Buffer[:by]; bytes.Count(before, before[:1]) != len(before) || !a.Untouched(end) || !bytes.Equal(a.Buffer[by:end], want) {
			return tester.Broken(wholeAnswer, "a read of %d bytes to an address %d bytes behind a page does not fill exactly that", block, by)
		}
	}
	return nil
}

// noRoomForAnswers asks, and has no receives for the answers; another client must be served meanwhile.
func noRoomForAnswers(ctx context.Context, t *tester.Tester) error {
	session := t.NewSession()
	session.Deaf = true
	p, opened, err := session.Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	other, seen, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if err := p.Post(readOf(p, opened.DeviceID, 0, readSize)); err != nil {
		return err
	}
	stop := other.StayAlive(ctx)
	a, err := p.Answer(ctx, 1)
	stop()
	if !errors.Is(err, tester.ErrSilent) && !errors.Is(err, tester.ErrClosed) {
		return fmt.Errorf("a client without receives has the answer %s, %v", a.Message, err)
	}
	const reads = 20
	for i := range reads {
		if _, err := other.ReadAt(ctx, seen.DeviceID, 0, readSize); err != nil {
			return tester.Broken(Survival, "read %d of another client, while one has no room for its answer: %s", i, tester.Outcome(err))
		}
	}
	return nil
}
