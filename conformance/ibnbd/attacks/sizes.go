// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// moderate is the largest I/O that the smallest scratch range has room for, with what is looked at beside it, in bytes.
const moderate = 20 << 10

// usual is what the largest I/O of most targets is about, in bytes.
const usual = 128 << 10

// Clauses of I/O.
const (
	exactly      = "IBNBD-IO-001"
	wholeAnswer  = "IBTRS-IO-010"
	doneFirst    = "IBTRS-IO-031"
	newKeyWorks  = "IBTRS-INV-004"
	largestWorks = "IBTRS-IO-027"
)

// errNoRoom is wrapped by the error of an attack that the scratch range is too small for.
var errNoRoom error = &finding.Undecided{Reason: verdict.NoConsent, Text: "the scratch range has no room for it"}

// pair is a device that one session writes and another reads.
type pair struct {
	t              *tester.Tester
	writer, reader *tester.Path
	device, seen   uint32 // its ids in both sessions
	block          uint32 // its logical block in bytes
	largest        uint32 // I/O in bytes
	room           uint64 // sectors that may be written
	sequence       uint64 // of the last write
	served         string // the clause that a request breaks which fails
}

func newPair(ctx context.Context, t *tester.Tester) (*pair, error) {
	writer, device, err := t.Ready(ctx)
	if err != nil {
		return nil, err
	}
	reader, seen, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return nil, err
	}
	block := max(uint32(device.LogicalBlockSize), ibnbd.SectorSize)
	return &pair{
		t: t, writer: writer, reader: reader, device: device.DeviceID, seen: seen.DeviceID, block: block,
		largest: largestIO(writer, device, block), room: t.UsableSectors(device.Capacity), served: exactly,
	}, nil
}

// largestIO is what a client sends at most in one request: a limit of the session, and one of the device.
func largestIO(p *tester.Path, opened ibnbd.OpenResponse, block uint32) uint32 {
	most := p.Geometry.MaxIOSize
	if limit := opened.MaxHWSectors; limit > 0 && uint64(limit)*ibnbd.SectorSize < uint64(most) {
		most = limit * ibnbd.SectorSize
	}
	return most / block * block
}

// sizes are those from least to most on both sides of powers of two and between them, in whole blocks, and most itself.
func sizes(block, least, most uint32) []uint32 {
	all := []uint32{most}
	for power := block; power <= most; power *= 2 {
		all = append(all, power, power+block, power+power/2/block*block)
		if power > block {
			all = append(all, power-block)
		}
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(size uint32) bool { return size < least || size > most })
}

// each are all sizes from least to most in whole blocks, twice, so that each is tried at both places of [pair.tryAll].
func each(block, least, most uint32) []uint32 {
	var all []uint32
	for size := least / block * block; size <= most; size += block {
		all = append(all, size, size)
	}
	return all
}

// everySize writes and reads every size up to a moderate one.
func everySize(ctx context.Context, t *tester.Tester) error {
	p, err := newPair(ctx, t)
	if err != nil {
		return err
	}
	return p.tryAll(ctx, each(p.block, p.block, min(p.largest, moderate)))
}

// upToLargest writes and reads every size from a moderate one to 128 KiB, and some from there to the largest.
func upToLargest(ctx context.Context, t *tester.Tester) error {
	p, err := newPair(ctx, t)
	if err != nil {
		return err
	}
	if need := p.span(p.largest); p.room < need {
		return fmt.Errorf("%w: the largest I/O, of %d bytes, needs %d sectors, and it has %d", errNoRoom, p.largest, need, p.room)
	}
	all := each(p.block, max(p.block, min(p.largest, moderate)), min(p.largest, usual))
	return p.tryAll(ctx, append(all, sizes(p.block, min(p.largest, moderate), p.largest)...))
}

// beside is how much is looked at on each side of a write, in bytes.
func (p *pair) beside() uint32 { return max(p.block, besideSize) }

// span is how many sectors a write of a size needs, with what is beside it, wherever it begins.
func (p *pair) span(size uint32) uint64 {
	return uint64(size+2*p.beside()+p.block) / ibnbd.SectorSize
}

// tryAll writes and reads each size, by turns at the begin of a large block and behind it.
func (p *pair) tryAll(ctx context.Context, sizes []uint32) error {
	for i, size := range sizes {
		at := p.beside() + uint32(i%2)*p.block
		if err := p.try(ctx, uint64(at/ibnbd.SectorSize), size); err != nil {
			return fmt.Errorf("%d bytes at sector %d: %w", size, uint64(at/ibnbd.SectorSize)+p.t.Base(), err)
		}
	}
	return nil
}

// try writes blocks between others, has the reader see them at once, and looks for what is beside them.
func (p *pair) try(ctx context.Context, sector uint64, size uint32) error {
	before, behind := sector-uint64(p.beside()/ibnbd.SectorSize), sector+uint64(size/ibnbd.SectorSize)
	p.sequence += 2
	around := p.sequence - 1
	for _, at := range []uint64{before, behind} {
		if err := p.write(ctx, at, p.beside(), around); err != nil {
			return err
		}
	}
	if err := p.write(ctx, sector, size, p.sequence); err != nil {
		return err
	}
	if err := p.seenAtOnce(ctx, sector, size); err != nil {
		return err
	}
	for _, at := range []uint64{before, behind} {
		if err := p.readBack(ctx, at, p.beside(), around); err != nil {
			return err
		}
	}
	return p.readBack(ctx, sector, size, p.sequence)
}

// write writes stamped blocks.
func (p *pair) write(ctx context.Context, sector uint64, size uint32, sequence uint64) error {
	err := p.writer.WriteAt(ctx, p.device, sector, tester.Stamped(sector, int(size), sequence))
	return p.performed(err, "a write", size)
}

// performed judges the end of a request.
func (p *pair) performed(err error, what string, size uint32) error {
	switch {
	case err == nil:
		return nil
	case p.writer.KeyRefresh() && refusedKey(err):
		return tester.Broken(newKeyWorks, "%s of %d bytes, with the key that came with the last answer: %s", what, size, tester.Outcome(err))
	case size == p.largest && what == "a write":
		return tester.Broken(largestWorks, "%s of %d bytes: %s", what, size, tester.Outcome(err))
	}
	return tester.Broken(p.served, "%s of %d bytes: %s", what, size, tester.Outcome(err))
}

// refusedKey says whether a request failed because its key is none.
func refusedKey(err error) bool {
	var work *rdma.WorkError
	return errors.As(err, &work) && work.Status == rdma.StatusRemoteAccess
}

// seenAtOnce has the reader look for the last write.
func (p *pair) seenAtOnce(ctx context.Context, sector uint64, size uint32) error {
	got, err := p.reader.ReadAt(ctx, p.seen, sector, size)
	if err := p.performed(err, "a read", size); err != nil {
		return err
	}
	want := tester.Stamped(sector, int(size), p.sequence)
	if bytes.Equal(got, want) {
		return nil
	}
	if p.inPieces(ctx, sector, size) == nil && p.reader.CheckStamped(ctx, p.seen, sector, int(size), p.sequence) != nil {
		return tester.Broken(wholeAnswer, "a read of %d bytes brings other data from byte %d on than reads of %d bytes", size, firstOther(got, want), p.block)
	}
	if err := awaitStamped(ctx, p.t, p.reader, p.seen, sector, int(size), p.sequence); err != nil {
		return tester.Broken(exactly, "a write of %d bytes was acknowledged, and is not there: %v", size, err)
	}
	return tester.Broken(doneFirst, "a write of %d bytes was acknowledged, and done later", size)
}

// inPieces looks for the last write by reads of a block each, of the first and the last blocks and where the two halves meet.
func (p *pair) inPieces(ctx context.Context, sector uint64, size uint32) error {
	for _, at := range []uint32{0, size / 2 / p.block * p.block, size - p.block} {
		from := sector + uint64(at/ibnbd.SectorSize)
		if err := p.reader.CheckStamped(ctx, p.seen, from, int(p.block), p.sequence); err != nil {
			return err
		}
	}
	return nil
}

// firstOther is where two buffers of one length differ.
func firstOther(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// readBack has the writer read what it has written.
func (p *pair) readBack(ctx context.Context, sector uint64, size uint32, sequence uint64) error {
	got, err := p.writer.ReadAt(ctx, p.device, sector, size)
	if err := p.performed(err, "a read", size); err != nil {
		return err
	}
	want := tester.Stamped(sector, int(size), sequence)
	if !bytes.Equal(got, want) {
		return tester.Broken(exactly, "of %d bytes that were written at sector %d, byte %d is not there any more", size, p.t.Base()+sector, firstOther(got, want))
	}
	return nil
}

// everyRead reads every size up to the largest, and again in pieces. What comes may be anybody's, and change between two reads: a
// target is only blamed when that is so twice, and the pieces have not changed.
func everyRead(ctx context.Context, t *tester.Tester) error {
	reader, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	block := max(uint32(opened.LogicalBlockSize), ibnbd.SectorSize)
	p := &pair{t: t, writer: reader, device: opened.DeviceID, block: block, largest: largestIO(reader, opened, block), served: wholeAnswer}
	most := uint32(min(uint64(p.largest), t.UsableSectors(opened.Capacity)*ibnbd.SectorSize))
	for _, size := range sizes(block, block, most) {
		whole, pieces, err := p.readTwice(ctx, size)
		if err != nil {
			return err
		}
		if bytes.Equal(whole, pieces) {
			continue
		}
		again, piecesAgain, err := p.readTwice(ctx, size)
		if err != nil {
			return err
		}
		if !bytes.Equal(again, piecesAgain) && bytes.Equal(pieces, piecesAgain) {
			return tester.Broken(wholeAnswer, "a read of %d bytes brings other data from byte %d on than reads of %d bytes", size, firstOther(again, pieces), piece)
		}
	}
	return nil
}

// piece is how much of a large read is read at a time to compare, in bytes.
const piece = 32 << 10

// readTwice reads some bytes from the base at once, and in pieces.
func (p *pair) readTwice(ctx context.Context, size uint32) (whole, pieces []byte, err error) {
	if whole, err = p.writer.ReadAt(ctx, p.device, 0, size); err != nil {
		return nil, nil, p.performed(err, "a read", size)
	}
	for at := uint32(0); at < size; at += piece {
		part, err := p.writer.ReadAt(ctx, p.device, uint64(at/ibnbd.SectorSize), min(piece, size-at))
		if err != nil {
			return nil, nil, p.performed(err, "a read", min(piece, size-at))
		}
		pieces = append(pieces, part...)
	}
	return whole, pieces, nil
}

// volume are uses by which a target shows that it moves the right bytes, however many and from wherever.
func volume() []Attack {
	clauses := []string{exactly, wholeAnswer, doneFirst, newKeyWorks}
	return []Attack{
		{Name: "writes and reads of every moderate size between other blocks", Does: Writes, Clauses: clauses, Run: everySize},
		{Name: "reads of every size", Clauses: []string{wholeAnswer, newKeyWorks}, Run: everyRead},
		{Name: "reads of no bytes", Clauses: []string{nothing}, Run: noBytesRead},
		{Name: "operations other than reads on no bytes", Does: Writes, Clauses: []string{nothing}, Run: noBytes},
		{Name: "as many reads at once as there are chunks", Clauses: []string{everyChunk, newKeyWorks}, Run: fullDepthOfReads},
		{Name: "as many writes and reads at once as there are chunks", Does: Writes, Clauses: []string{everyChunk, exactly, newKeyWorks}, Run: fullDepth},
		{Name: "writes to two devices of a session by turns", Does: Writes, Clauses: []string{exactly, ownID}, Run: twoDevices},
		{Name: "a second path, with the flag of a first one", Rails: 2, Clauses: []string{joins}, Run: joinAsFirst},
		{Name: "a second path to the same address from another", Rails: 2, Clauses: []string{otherSource}, Run: fromElsewhere},
		{Name: "writers of a device under two names", Does: Writes, Clauses: []string{twoNames}, Run: underTwoNames},
		{Name: RandomSequences, Does: Writes, Clauses: sequenceClauses, Run: sequences},
		{Name: "operations of each size in all pairs with flags, place, device, path and chunk", Does: Writes, Clauses: []string{exactly, discards.clause, zeroings.clause}, Run: pairs},
		{Name: "write zeroes and discards with the flag FUA", Does: Writes, Clauses: []string{zeroings.clause}, Instead: SurvivalWarning, Run: fuaBesideRanges},
		{Name: "device paths that are almost the same", Does: Writes, Clauses: []string{"IBNBD-OPEN-003", "IBNBD-OPEN-016"}, Run: namesBeside},
		{Name: "session names that are almost the same", Clauses: []string{otherNames}, Run: similarNames},
		{Name: "writes and reads of sizes up to the largest between other blocks", Does: Writes, Clauses: append([]string{largestWorks}, clauses...), Run: upToLargest},
	}
}
