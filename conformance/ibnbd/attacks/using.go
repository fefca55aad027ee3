// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// using are uses that are no attack at all: a target that endures everything must also do what it is there for.
func using() []Attack {
	return []Attack{
		{Name: "reads by another session of what was just acknowledged", Does: Writes, Clauses: []string{"IBTRS-IO-031", "IBNBD-IO-001"}, Run: readByOthers},
		{Name: "discard of blocks", Does: Writes, Clauses: []string{"IBNBD-IO-006"}, Run: discard},
		{Name: "write zeroes on blocks", Does: Writes, Clauses: []string{"IBNBD-IO-007"}, Run: zero},
		{Name: "secure erase of blocks", Does: Writes, Clauses: []string{"IBNBD-IO-032"}, Run: erase},
		{Name: "reads up to the end of a device", Clauses: []string{"IBNBD-OPEN-001", "IBNBD-OPEN-002"}, Run: readToEnd},
		{Name: "OPEN response as a client of mainline reads it", Clauses: []string{"IBNBD-COMPAT-004"}, Run: describe},
		{Name: "one device opened in every access mode", Does: Writes, Clauses: []string{
			"IBNBD-OPEN-008", "IBNBD-OPEN-009", "IBNBD-OPEN-010", "IBNBD-OPEN-011", "IBNBD-OPEN-019",
		}, Run: share},
		{Name: "CLOSE while a write is under way", Does: Writes, Clauses: []string{"IBNBD-OPEN-023"}, Run: closeBesideWrite},
		{Name: "session name and device path of the greatest length", Clauses: []string{"IBNBD-LIM-004"}, Run: longNames},
		{Name: "SESS_INFO with and without a marker", Clauses: []string{"IBNBD-COMPAT-006", "IBNBD-COMPAT-012"}, Run: marker},
		{Name: "OPEN in the other I/O mode of a device that is open", Clauses: []string{"IBNBD-OPEN-025"}, Run: bothIOModes},
		{Name: "requests that take turns in two chunks", Clauses: []string{"IBTRS-IMM-003"}, Run: takeTurns},
		{Name: "new incarnation of a path that is there", Clauses: []string{"IBNBD-FAIL-014"}, Run: comeBack},
		{Name: "requests at a queue depth of 1", Depth: 1, Clauses: []string{"IBTRS-IMM-012", "IBTRS-IO-032"}, Run: depthOne},
	}
}

// How much is written and read by others: more than a hundred requests, so that a target that fails one of a hundred is found.
const (
	sharedWrites = 120
	sharedBlocks = 8 // that are used in turn
	sharedSize   = 4096
)

// readByOthers writes blocks, and has another session read each as soon as its write is answered.
func readByOthers(ctx context.Context, t *tester.Tester) error {
	writer, device, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	reader, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	for i := range uint64(sharedWrites) {
		sector := i % sharedBlocks * (sharedSize / ibnbd.SectorSize)
		if err := writer.WriteAt(ctx, device.DeviceID, sector, tester.Stamped(sector, sharedSize, i)); err != nil {
			return tester.Broken("IBNBD-IO-001", "write %d: %s", i, tester.Outcome(err))
		}
		stale := reader.CheckStamped(ctx, opened.DeviceID, sector, sharedSize, i)
		if stale == nil {
			continue
		}
		if err := awaitStamped(ctx, t, reader, opened.DeviceID, sector, sharedSize, i); err != nil {
			return tester.Broken("IBNBD-IO-001", "write %d was acknowledged, and is not there: %v", i, err)
		}
		return tester.Broken("IBTRS-IO-031", "write %d was acknowledged, and done later: %v", i, stale)
	}
	return nil
}

// awaitStamped reads again until what was written is there, at most for the target's patience.
func awaitStamped(ctx context.Context, t *tester.Tester, p *tester.Path, device uint32, sector uint64, size int, sequence uint64) error {
	ctx, cancel := context.WithTimeout(ctx, t.Target().Patience)
	defer cancel()
	again := time.NewTicker(t.Target().Patience / 30)
	defer again.Stop()
	var last error // that says what is there instead
	for {
		err := p.CheckStamped(ctx, device, sector, size, sequence)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-again.C:
		}
	}
}

// readToEnd holds what a target says of the size of a device against where its reads end.
func readToEnd(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	logical, physical := opened.LogicalBlockSize, opened.PhysicalBlockSize
	if logical < ibnbd.SectorSize || bits.OnesCount16(logical) != 1 || physical%logical != 0 || physical == 0 {
		return tester.Broken("IBNBD-OPEN-002", "blocks of %d bytes, physical blocks of %d bytes", logical, physical)
	}
	size := uint32(logical)
	end := opened.Capacity - t.Base()
	if _, err := p.ReadAt(ctx, opened.DeviceID, end-uint64(size)/ibnbd.SectorSize, size); err != nil {
		return tester.Broken("IBNBD-OPEN-001", "a read of the last of %d sectors: %s", opened.Capacity, tester.Outcome(err))
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, end, size)
	return failed("IBNBD-OPEN-001", err)
}

// describe looks at what a client of version 2 that shows no marker is told.
func describe(ctx context.Context, t *tester.Tester) error {
	_, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if unknown := opened.CachePolicy &^ (ibnbd.CacheFUA | ibnbd.CacheWriteBack); opened.Rotational != 0 || unknown != 0 {
		return tester.Broken("IBNBD-COMPAT-004", "bytes 44 and 45 of the reply are %#x and %#x, they must be 0 and a cache policy",
			opened.Rotational, opened.CachePolicy)
	}
	return nil
}

// share opens the device in three sessions, which is as few as will do: a target has memory for each.
func share(ctx context.Context, t *tester.Tester) error {
	export := t.Target().Exports[0]
	first, device, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	moving, moved, err := t.NewSession().Ready(ctx, export, ibnbd.Migration)
	if err := succeeded("IBNBD-OPEN-008", err); err != nil {
		return err
	}
	third := t.NewSession().NewPath(0)
	if err := third.Connect(ctx); err != nil {
		return err
	}
	for _, mode := range []ibnbd.AccessMode{ibnbd.ReadWrite, ibnbd.Migration} {
		_, err := third.Open(ctx, export, mode)
		if err := answered("IBNBD-OPEN-009", err, ibtrs.EPERM); err != nil {
			return fmt.Errorf("a third writer with access mode %s: %w", mode, err)
		}
	}
	_, err = third.Open(ctx, export, ibnbd.ReadOnly)
	if err := succeeded("IBNBD-OPEN-011", err); err != nil {
		return err
	}
	if err := first.CloseDevice(ctx, device.DeviceID); err != nil {
		return err
	}
	_, err = first.Open(ctx, export, ibnbd.ReadWrite)
	if err := answered("IBNBD-OPEN-010", err, ibtrs.EPERM); err != nil {
		return err
	}
	if err := moving.CloseDevice(ctx, moved.DeviceID); err != nil {
		return err
	}
	_, err = first.Open(ctx, export, ibnbd.ReadWrite)
	return succeeded("IBNBD-OPEN-019", err)
}

// closeBesideWrite sends CLOSE behind a write, on the same connection. A target may answer in any order (IBTRS-IMM-015): if CLOSE comes
// first, another session looks for what was written. Finding it proves nothing, as the read may have waited for the write.
func closeBesideWrite(ctx context.Context, t *tester.Tester) error {
	const clause, cid, written, closed, before, after = "IBNBD-OPEN-023", 1, 0, 1, 1, 2
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if p.Geometry.QueueDepth <= closed {
		return fmt.Errorf("its queue depth is %d: %w", p.Geometry.QueueDepth, ErrInapplicable)
	}
	reader, seen, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if err := p.WriteAt(ctx, opened.DeviceID, 0, tester.Stamped(0, besideSize, before)); err != nil {
		return err
	}
	write := ibnbd.NewIORequest(ibnbd.OpWrite, 0, opened.DeviceID, t.Base(), besideSize)
	goodbye := ibnbd.CloseRequest{Type: ibnbd.TypeClose, DeviceID: opened.DeviceID}
	for _, r := range []tester.Request{
		p.ToChunk(p.Write(tester.Marshal(write), tester.Stamped(0, besideSize, after)), written), p.ToChunk(p.Write(tester.Marshal(goodbye), nil), closed),
	} {
		if err := p.Post(r); err != nil {
			return err
		}
	}
	overtaken := false
	for i := range 2 {
		answer, err := p.Answer(ctx, cid)
		switch {
		case err != nil:
			return tester.Broken(clause, "%s", tester.Outcome(err))
		case answer.Errno != 0:
			return tester.Broken(clause, "chunk %d was answered with %s", answer.Chunk, answer.Errno)
		case i > 0 || answer.Chunk != closed:
			continue // the write has ended before CLOSE was answered
		}
		if err := reader.CheckStamped(ctx, seen.DeviceID, 0, besideSize, after); err != nil {
			return tester.Broken(clause, "CLOSE was answered before the write in front of it had ended: %v", err)
		}
		overtaken = true
	}
	if overtaken {
		return fmt.Errorf("CLOSE is answered before the write in front of it; whether that had ended cannot be seen: %w", ErrInapplicable)
	}
	return nil
}

// longNames has a session name of 254 characters, and looks for a device whose path has as many.
func longNames(ctx context.Context, t *tester.Tester) error {
	const longest = 254
	s := t.NewSession()
	s.Name += strings.Repeat("n", longest-len(s.Name))
	p := s.NewPath(0)
	if err := p.DialAll(ctx); err != nil {
		return err
	}
	if err := succeeded("IBNBD-LIM-004", p.Info(ctx)); err != nil {
		return fmt.Errorf("a session name of %d characters: %w", longest, err)
	}
	const folder = "nosuch/"
	_, err := p.Open(ctx, folder+strings.Repeat("p", longest-len(folder)), ibnbd.ReadOnly)
	return answered("IBNBD-LIM-004", err, ibtrs.ENOENT)
}

// marker asks for features without the marker, and with it.
func marker(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	plain, err := p.SessInfo(ctx, ibnbd.Version)
	if err != nil {
		return err
	}
	if plain.Marker == ibnbd.Marker {
		return tester.Broken("IBNBD-COMPAT-006", "the marker is answered to a client that showed none")
	}
	for _, offer := range []ibnbd.Features{0, ibnbd.FeatureFlags, ibnbd.AllFeatures} {
		b, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewSessInfo(offer)), ibnbd.SessInfoSize), ibnbd.SessInfoSize)
		if err != nil {
			return err
		}
		answer, err := ibnbd.ParseSessInfoResponse(b)
		if err != nil {
			return err
		}
		if answer.Marker == ibnbd.Marker && answer.Features&^offer != 0 {
			return tester.Broken("IBNBD-COMPAT-012", "features %#x were offered, and %#x are answered", offer, answer.Features)
		}
	}
	return nil
}

// bothIOModes opens a device for block I/O, and then for file I/O.
func bothIOModes(ctx context.Context, t *tester.Tester) error {
	if _, _, err := openIn(ctx, t, ibnbd.BlockIO, ibnbd.ReadOnly); err != nil {
		return err
	}
	_, _, err := openIn(ctx, t, ibnbd.FileIO, ibnbd.ReadOnly)
	return answered("IBNBD-OPEN-025", err, ibtrs.EPERM)
}

// agree connects a session and agrees on features.
func agree(ctx context.Context, t *tester.Tester, features ibnbd.Features) (*tester.Path, error) {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return nil, err
	}
	b, err := p.Call(ctx, p.Read(tester.Marshal(ibnbd.NewSessInfo(features)), ibnbd.SessInfoSize), ibnbd.SessInfoSize)
	if err != nil {
		return nil, err
	}
	answer, err := ibnbd.ParseSessInfoResponse(b)
	if err != nil {
		return nil, err
	}
	if answer.Marker != ibnbd.Marker || answer.Features&features != features {
		return nil, fmt.Errorf("it does not agree on features %#x: %w", features, ErrInapplicable)
	}
	return p, nil
}

// depthOne uses the only chunk of a target again and again, on all connections: with depth 1 an immediate has no bits for the
// chunk, and send queues are at their smallest.
func depthOne(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if p.Geometry.QueueDepth != 1 {
		return fmt.Errorf("its queue depth is %d: %w", p.Geometry.QueueDepth, ErrInapplicable)
	}
	message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, opened.DeviceID, t.Base(), readSize))
	for i := range 100 {
		r := p.Read(message, readSize)
		r.CID = uint16(1 + i%(tester.Connections-1))
		_, err := p.Call(ctx, r, readSize)
		switch {
		case errors.Is(err, tester.ErrClosed):
			return tester.Broken("IBTRS-IMM-012", "request %d: %s", i, tester.Outcome(err))
		case err != nil:
			return tester.Broken("IBTRS-IO-032", "request %d: %s", i, tester.Outcome(err))
		}
	}
	return nil
}

// takeTurns reads in one chunk and in another, in turn: a response too many is that of the other chunk.
func takeTurns(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	const chunks = 2
	if p.Geometry.QueueDepth < chunks {
		return fmt.Errorf("its queue depth is %d: %w", p.Geometry.QueueDepth, ErrInapplicable)
	}
	for i := range uint32(2 * chunks) {
		if _, err := p.Call(ctx, p.ToChunk(readOf(p, opened.DeviceID, 0, readSize), i%chunks), readSize); err != nil {
			return err
		}
	}
	return nil
}

// comeBack gives a path up and builds it again at once, with the next incarnation. The target may say that it is still busy with
// the old one.
func comeBack(ctx context.Context, t *tester.Tester) error {
	p, _, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	if err := p.Disconnect(ctx); err != nil {
		return err
	}
	again := p.Session.NewPath(0)
	again.Request = p.Request
	again.Request.Incarnation++
	if err := knockAgain(ctx, t, again); err != nil {
		return tester.Broken("IBNBD-FAIL-014", "the next incarnation of a path: %v", err)
	}
	return succeeded("IBNBD-FAIL-014", readAgain(ctx, t, again))
}

// knockAgain asks for the connections of a path until the target has done with what it was before, at most for its patience.
func knockAgain(ctx context.Context, t *tester.Tester, p *tester.Path) error {
	ctx, cancel := context.WithTimeout(ctx, t.Target().Patience)
	defer cancel()
	pause := time.NewTicker(t.Target().Patience / 30)
	defer pause.Stop()
	for {
		err := p.DialAll(ctx)
		var reject *tester.RejectError
		if !errors.As(err, &reject) || reject.Errno != ibtrs.EBUSY && reject.Errno != ibtrs.ECONNRESET {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-pause.C:
		}
	}
}

// readAgain exchanges INFO, opens the device and reads.
func readAgain(ctx context.Context, t *tester.Tester, p *tester.Path) error {
	if err := p.Info(ctx); err != nil {
		return err
	}
	opened, err := p.Open(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, readSize)
	return err
}
