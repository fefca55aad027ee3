// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func buffers() []Attack {
	return []Attack{
		{Name: "reads of a partial list", Clauses: []string{"SRP-CMD-008"}, Run: partialReads},
		{Name: "writes of a partial list", Clauses: []string{"SRP-CMD-008"}, Does: foreign.Writes, Run: partialWrites},
		{Name: "lists of many small pieces", Clauses: []string{unitServes, "SRP-DATA-002"}, Does: foreign.Writes, Run: manyPieces},
		{Name: "lists whose numbers do not agree", Clauses: []string{"SRP-DATA-002"}, Run: badLists},
		{Name: "commands with a buffer in both directions", Clauses: []string{"SRP-CMD-009"}, Does: foreign.Writes, Run: bothDirections},
		{Name: "immediate data that is not there", Clauses: []string{"SRP-CMD-012"}, Does: foreign.Writes, Run: missingImmediate},
		{Name: "reads into less memory than they want", Clauses: []string{"SRP-DATA-002", "SRP-RSP-007"}, Run: shortReads},
		{Name: "writes from less memory than they want", Clauses: []string{"SRP-DATA-002", "SRP-RSP-007"}, Does: foreign.Writes, Run: shortWrites},
		{Name: "writes from memory that cannot be read", Clauses: []string{"SRP-DATA-007"}, Does: foreign.Writes, Run: unreadable},
		{Name: "reads into memory that cannot be written", Run: unwritable},
		{Name: "buffers of no bytes", Clauses: []string{"SRP-DATA-002"}, Run: emptyBuffers},
	}
}

// unitServes is the clause about the commands of a disk.
const unitServes = "SRP-TGT-004"

// scattered describes a buffer of a size in pieces that lie backwards in memory from an offset on, with gaps between them, and a
// table of all pieces in memory.
type scattered struct {
	pieces srp.MemoryDescriptors
	table  srp.MemoryDescriptor
	size   int
}

const tableOffset = 1 << 20 // of tables in the memory of a channel

func scatter(c *tester.Channel, data []byte, size, pieces int) scattered {
	s := scattered{size: size}
	part, gap := size/pieces, 64
	for i := range pieces {
		length := part
		if i == pieces-1 {
			length = size - part*(pieces-1)
		}
		s.pieces = s.pieces.Append(c.Piece((pieces-i)*(part+gap+size%pieces), length))
	}
	copy(data[tableOffset:], s.pieces)
	s.table = c.Piece(tableOffset, len(s.pieces))
	return s
}

// buffer describes it with so many of its pieces in the command.
func (s scattered) buffer(carried int) srp.Buffer {
	return srp.IndirectBuffer(s.table, s.pieces[:carried*srp.MemoryDescriptorSize], uint32(s.size))
}

// content is what the memory has, in order.
func (s scattered) content(c *tester.Channel, data []byte) (all []byte) {
	begin := c.Piece(0, 0).Address
	for _, d := range s.pieces.All() {
		all = append(all, data[d.Address-begin:][:d.Length]...)
	}
	return all
}

// fill puts data where the pieces are.
func (s scattered) fill(c *tester.Channel, data, content []byte) {
	begin := c.Piece(0, 0).Address
	for _, d := range s.pieces.All() {
		n := copy(data[d.Address-begin:][:d.Length], content)
		content = content[n:]
	}
}

// outside tells whether anything between the pieces was written.
func (s scattered) outside(c *tester.Channel, data []byte) bool {
	rest := slices.Clone(data)
	begin := c.Piece(0, 0).Address
	for _, d := range s.pieces.All() {
		part := rest[d.Address-begin:][:d.Length]
		for i := range part {
			part[i] = untouched
		}
	}
	return touched(rest[:tableOffset]) >= 0 || touched(rest[tableOffset+len(s.pieces):]) >= 0
}

// partialResult is the failure of a target that does not complete a partial list.
func partialResult(clause string, carried, pieces int, err error) error {
	return tester.Broken(clause, "a list of %d pieces, of which the command has %d: %s, it must succeed", pieces, carried, outcome(err))
}

func partialReads(ctx context.Context, t *tester.Tester) error {
	const pieces = 4
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	want, err := c.ReadAt(ctx, lun, 0, 2)
	if err != nil {
		return err
	}
	cdb, err := read(c, lun, 2)
	if err != nil {
		return err
	}
	for _, carried := range []int{0, 1, 3} {
		data, err := paint(c)
		if err != nil {
			return err
		}
		s := scatter(c, data, len(want), pieces)
		m, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, s.buffer(carried)))
		if err = errors.Join(err, tester.FailureOf(m)); err != nil {
			return partialResult("SRP-CMD-008", carried, pieces, err)
		}
		if !bytes.Equal(s.content(c, data), want) {
			return tester.Broken("SRP-CMD-008", "a list of %d pieces, of which the command has %d: the data is not what the unit has", pieces, carried)
		}
	}
	return nil
}

func partialWrites(ctx context.Context, t *tester.Tester) error {
	const pieces, blocks = 5, 2
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	cdb, err := scsi.Write10.AppendIO(nil, c.Base(lun), blocks, false)
	if err != nil {
		return err
	}
	for i, carried := range []int{0, 1, 4} {
		data, err := c.Memory()
		if err != nil {
			return err
		}
		number := uint64(40 + i)
		content := c.Stamped(lun, 0, blocks, number)
		s := scatter(c, data, len(content), pieces)
		s.fill(c, data, content)
		m, err := c.Do(ctx, c.Command(lun, cdb, s.buffer(carried), srp.Buffer{}))
		if err = errors.Join(err, tester.FailureOf(m)); err != nil {
			return partialResult("SRP-CMD-008", carried, pieces, err)
		}
		if err := c.CheckStamped(ctx, lun, 0, blocks, number); err != nil {
			return tester.Broken("SRP-CMD-008", "a list of %d pieces, of which the command has %d: %v", pieces, carried, err)
		}
	}
	return nil
}

// manyPieces writes and reads with lists whose pieces are of odd sizes, up to as many as a unit can carry.
func manyPieces(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	most := min(srp.MaxListEntries, (int(min(c.Login.MaxInitiatorIULength, c.Request.RequestedIULength))-srp.CmdSize-20)/srp.MemoryDescriptorSize)
	for i, pieces := range []int{1, 2, 3, 13, 64, 65, 129, most} {
		if pieces > most {
			continue
		}
		blocks := uint32(max(1, min(16, c.Room(lun))))
		data, err := paint(c)
		if err != nil {
			return err
		}
		number := uint64(60 + i)
		content := c.Stamped(lun, 0, blocks, number)
		s := scatter(c, data, len(content), pieces)
		s.fill(c, data, content)
		write, err := scsi.Write10.AppendIO(nil, c.Base(lun), blocks, false)
		if err != nil {
			return err
		}
		m, err := c.Do(ctx, c.Command(lun, write, s.buffer(pieces), srp.Buffer{}))
		if err := succeeded(unitServes, errors.Join(err, tester.FailureOf(m))); err != nil {
			return fmt.Errorf("a write of %d pieces: %w", pieces, err)
		}
		if data, err = paint(c); err != nil {
			return err
		}
		s = scatter(c, data, len(content), pieces)
		cdb, err := read(c, lun, blocks)
		if err != nil {
			return err
		}
		m, err = c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, s.buffer(pieces)))
		if err := succeeded(unitServes, errors.Join(err, tester.FailureOf(m))); err != nil {
			return fmt.Errorf("a read of %d pieces: %w", pieces, err)
		}
		if s.outside(c, data) {
			return tester.Broken("SRP-DATA-002", "a read of %d pieces has written beside them", pieces)
		}
		if err := c.IsStamped(s.content(c, data), lun, 0, number); err != nil {
			return tester.Broken(unitServes, "a read of %d pieces: %v", pieces, err)
		}
	}
	return nil
}

// badLists reads with lists whose lengths contradict each other. However the target answers, it must write inside the pieces.
func badLists(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	const blocks, pieces = 4, 2
	size := blocks * c.Geometry(lun).Block
	cdb, err := read(c, lun, blocks)
	if err != nil {
		return err
	}
	for _, bad := range []struct {
		name   string
		change func(*srp.Buffer)
	}{
		{"a total of more than its pieces", func(b *srp.Buffer) { b.Length = uint32(2 * size) }},
		{"a total of 2^32-1", func(b *srp.Buffer) { b.Length = math.MaxUint32 }},
		{"a total of less than its pieces", func(b *srp.Buffer) { b.Length = uint32(size / 2) }},
		{"a table shorter than its pieces", func(b *srp.Buffer) { b.Memory.Length = srp.MemoryDescriptorSize }},
		{"a table of no whole pieces", func(b *srp.Buffer) { b.Memory.Length = 2*srp.MemoryDescriptorSize + 7 }},
		{"a table of 2^32-16 bytes", func(b *srp.Buffer) { b.Memory.Length = math.MaxUint32 - 15 }},
	} {
		data, err := paint(c)
		if err != nil {
			return err
		}
		s := scatter(c, data, size/2, pieces) // half of what the command wants
		b := s.buffer(pieces)
		bad.change(&b)
		if _, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, b)); err != nil && !errors.Is(err, tester.ErrClosed) {
			return fmt.Errorf("a list with %s: %w", bad.name, err)
		}
		if s.outside(c, data) {
			return tester.Broken("SRP-DATA-002", "a read with a list of %s has written beside its pieces", bad.name)
		}
		if c.Lost() {
			if c, err = t.Ready(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// bothDirections gives a write and a read a buffer for each direction, and looks which of them is used.
func bothDirections(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	size := c.Geometry(lun).Block
	data, err := paint(c)
	if err != nil {
		return err
	}
	const number = 90
	copy(data, c.Stamped(lun, 0, 1, number))
	out, in := srp.DirectBuffer(c.Piece(0, size)), srp.DirectBuffer(c.Piece(size, size))
	write, err := scsi.Write10.AppendIO(nil, c.Base(lun), 1, false)
	if err != nil {
		return err
	}
	m, err := c.Do(ctx, c.Command(lun, write, out, in))
	if err := errors.Join(err, tester.FailureOf(m)); err != nil {
		return tester.Broken("SRP-CMD-009", "a write with a buffer in both directions: %v", err)
	}
	if err := c.CheckStamped(ctx, lun, 0, 1, number); err != nil {
		return tester.Broken("SRP-CMD-009", "a write with a buffer in both directions has not taken the first: %v", err)
	}
	if data, err = paint(c); err != nil {
		return err
	}
	cdb, err := read(c, lun, 1)
	if err != nil {
		return err
	}
	m, err = c.Do(ctx, c.Command(lun, cdb, out, in))
	if err := errors.Join(err, tester.FailureOf(m)); err != nil {
		return tester.Broken("SRP-CMD-009", "a read with a buffer in both directions: %v", err)
	}
	if err := c.IsStamped(data[size:2*size], lun, 0, number); err != nil || touched(data[:size]) >= 0 {
		return tester.Broken("SRP-CMD-009", "a read with a buffer in both directions has not written to the second alone: %v", err)
	}
	return nil
}

// missingImmediate announces immediate data that the unit does not hold, whose length wraps, or that begins inside of the
// descriptors, and sends some where it was not granted.
func missingImmediate(ctx context.Context, t *tester.Tester) error {
	const clause = "SRP-CMD-012"
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if !c.Immediate() {
		return fmt.Errorf("immediate data is not granted: %w", tester.ErrInapplicable)
	}
	lun := t.Target().LUNs[0]
	size := c.Geometry(lun).Block
	write, err := scsi.Write10.AppendIO(nil, c.Base(lun), 1, false)
	if err != nil {
		return err
	}
	const kept = 95
	content := c.Stamped(lun, 0, 1, kept)
	for range 2*c.Initial + 8 { // every receive of the target has held a whole one
		m, err := c.Do(ctx, c.Command(lun, write, srp.ImmediateBuffer(content), srp.Buffer{}))
		if err := errors.Join(err, tester.FailureOf(m)); err != nil {
			return fmt.Errorf("a write of immediate data: %w", err)
		}
	}
	whole := func() []byte {
		return c.Command(lun, write, srp.ImmediateBuffer(c.Stamped(lun, 0, 1, 96)), srp.Buffer{})
	}
	length := func(n uint32) []byte {
		unit := whole()
		binary.BigEndian.PutUint32(unit[srp.CmdSize:], n)
		return unit
	}
	for _, bad := range []struct {
		name string
		unit []byte
	}{
		{"data that is cut off", whole()[:tester.ImmediateOffset+size/2]},
		{"no data", whole()[:tester.ImmediateOffset]},
		{"a unit that ends before its data", whole()[:srp.CmdSize+4]},
		{"one byte too many", length(uint32(size + 1))},
		{"a length of 2^31", length(math.MaxInt32 + 1)},
		{"a length of 2^32-1", length(math.MaxUint32)},
		{"a length that wraps to 0", length(math.MaxUint32 - tester.ImmediateOffset + 1)},
		{"a length that wraps into the unit", length(math.MaxUint32 - tester.ImmediateOffset + 1 + 50)},
		{"descriptors that reach into the data", overlapping(c, lun, write)},
	} {
		m, err := c.Do(ctx, bad.unit)
		if err := refusedFields(clause, "immediate data with "+bad.name, m, err); err != nil {
			return err
		}
	}
	if err := c.CheckStamped(ctx, lun, 0, 1, kept); err != nil {
		return tester.Broken(clause, "immediate data that is not there was written: %v", err)
	}
	return usable(ctx, clause, "immediate data that is not there", c, lun)
}

// overlapping puts so many additional bytes of CDB before the descriptor of immediate data that it ends behind the begin of the data.
func overlapping(c *tester.Channel, lun srp.LUN, write []byte) []byte {
	unit := c.Command(lun, write, srp.ImmediateBuffer(c.Stamped(lun, 0, 1, 97)), srp.Buffer{})
	unit[31] = 20 // the descriptor begins at 68
	binary.BigEndian.PutUint32(unit[srp.CmdSize+20:], uint32(c.Geometry(lun).Block))
	return unit
}

// shortReads reads several blocks into memory for one, or for a few bytes.
func shortReads(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	const blocks = 4
	want := blocks * c.Geometry(lun).Block
	cdb, err := read(c, lun, blocks)
	if err != nil {
		return err
	}
	for _, room := range []int{want - 1, c.Geometry(lun).Block, 1} {
		data, err := paint(c)
		if err != nil {
			return err
		}
		m, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, room))))
		if err != nil {
			return tester.Broken("SRP-RSP-007", "a read of %d bytes into %d: %v, it must be answered", want, room, err)
		}
		if at := touched(data[room:]); at >= 0 {
			return tester.Broken("SRP-DATA-002", "a read of %d bytes into %d has written %d bytes behind them", want, room, at+1)
		}
		if m.Flags&srp.DataInOver == 0 || int(m.DataInResidual) != want-room {
			return tester.Broken("SRP-RSP-007", "a read of %d bytes into %d is answered with flags %#02x and a data-in residual of %d", want, room, uint8(m.Flags), m.DataInResidual)
		}
	}
	return nil
}

// shortWrites writes several blocks from memory for one.
func shortWrites(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	const blocks = 4
	size := c.Geometry(lun).Block
	write, err := scsi.Write10.AppendIO(nil, c.Base(lun), blocks, false)
	if err != nil {
		return err
	}
	if _, err := c.Memory(); err != nil {
		return err
	}
	for _, has := range []int{size, 2 * size, blocks*size - 1} {
		m, err := c.Do(ctx, c.Command(lun, write, srp.DirectBuffer(c.Piece(0, has)), srp.Buffer{}))
		if err != nil {
			return tester.Broken("SRP-RSP-007", "a write of %d bytes from %d: %v, it must be answered", blocks*size, has, err)
		}
		if m.Flags&srp.DataOutOver == 0 || int(m.DataOutResidual) != blocks*size-has {
			return tester.Broken("SRP-RSP-007", "a write of %d bytes from %d is answered with flags %#02x and a data-out residual of %d", blocks*size, has, uint8(m.Flags), m.DataOutResidual)
		}
	}
	return nil
}

// unreadable writes from memory whose key, or the key of a part of it, is wrong, and looks whether anything was written.
func unreadable(ctx context.Context, t *tester.Tester) error {
	const clause, blocks, kept = "SRP-DATA-007", 2, 100
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	size := c.Geometry(lun).Block
	if err := c.WriteAt(ctx, lun, 0, c.Stamped(lun, 0, blocks, kept)); err != nil {
		return err
	}
	write, err := scsi.Write10.AppendIO(nil, c.Base(lun), blocks, false)
	if err != nil {
		return err
	}
	for _, bad := range []struct {
		name   string
		buffer func(c *tester.Channel) srp.Buffer
	}{
		{"with a wrong key", func(c *tester.Channel) srp.Buffer {
			d := c.Piece(0, blocks*size)
			d.RKey ^= 0xff
			return srp.DirectBuffer(d)
		}},
		{"behind the end of its memory", func(c *tester.Channel) srp.Buffer {
			d := c.Piece(0, blocks*size)
			d.Address += 1 << 40
			return srp.DirectBuffer(d)
		}},
		{"whose second piece has a wrong key", func(c *tester.Channel) srp.Buffer {
			first, second := c.Piece(0, size), c.Piece(size, size)
			second.RKey ^= 0xff
			list := srp.MemoryDescriptors{}.Append(first, second)
			return srp.IndirectBuffer(c.Piece(tableOffset, len(list)), list, blocks*uint32(size))
		}},
	} {
		data, err := c.Memory()
		if err != nil {
			return err
		}
		copy(data, c.Stamped(lun, 0, blocks, kept+1))
		m, err := c.Do(ctx, c.Command(lun, write, bad.buffer(c), srp.Buffer{}))
		if err := fails(clause, "a write "+bad.name, m, err); err != nil {
			return err
		}
		if c.Lost() {
			if c, err = again(ctx, t, c); err != nil {
				return err
			}
		}
		if err := c.CheckStamped(ctx, lun, 0, blocks, kept); err != nil {
			return tester.Broken(clause, "a write %s was executed: %v", bad.name, err)
		}
	}
	return nil
}

// again logs in anew after a channel was lost.
func again(ctx context.Context, t *tester.Tester, lost *tester.Channel) (*tester.Channel, error) {
	c, err := t.ConnectAs(ctx, lost.Request.InitiatorPort)
	if err != nil {
		return nil, err
	}
	return c, c.MakeReady(ctx, t.Target().LUNs[0])
}

// fails judges that a command fails with CHECK CONDITION, or its channel is closed.
func fails(clause, what string, m srp.Rsp, err error) error {
	switch {
	case errors.Is(err, tester.ErrClosed):
		return nil
	case err != nil:
		return tester.Broken(clause, "%s: %v, it must fail, or the channel end", what, err)
	case scsi.Status(m.Status) != scsi.CheckCondition:
		return tester.Broken(clause, "%s is %s, it must be CHECK CONDITION, or the channel end", what, outcome(tester.FailureOf(m)))
	}
	return nil
}

// unwritable reads into memory whose key is wrong. The channel may end.
func unwritable(ctx context.Context, t *tester.Tester) error {
	c, lun, cdb, err := readyToRead(ctx, t)
	if err != nil {
		return err
	}
	if _, err := c.Memory(); err != nil {
		return err
	}
	for _, change := range []func(*srp.MemoryDescriptor){
		func(d *srp.MemoryDescriptor) { d.RKey ^= 0xff },
		func(d *srp.MemoryDescriptor) { d.Address += 1 << 40 },
		func(d *srp.MemoryDescriptor) { d.Address = math.MaxUint64 - 15 },
	} {
		if c.Lost() {
			if c, err = again(ctx, t, c); err != nil {
				return err
			}
			if _, err := c.Memory(); err != nil {
				return err
			}
		}
		d := c.Piece(0, c.Geometry(lun).Block)
		change(&d)
		if _, err := c.Do(ctx, c.Command(lun, cdb, srp.Buffer{}, srp.DirectBuffer(d))); err != nil && !errors.Is(err, tester.ErrClosed) {
			return err
		}
	}
	return nil
}

// emptyBuffers describes buffers of no bytes in every format.
func emptyBuffers(ctx context.Context, t *tester.Tester) error {
	c, lun, cdb, err := readyToRead(ctx, t)
	if err != nil {
		return err
	}
	data, err := paint(c)
	if err != nil {
		return err
	}
	empty := srp.MemoryDescriptors{}.Append(c.Piece(0, 0), c.Piece(64, 0))
	for _, b := range []srp.Buffer{srp.DirectBuffer(c.Piece(0, 0)), srp.IndirectBuffer(c.Piece(tableOffset, 0), nil, 0), srp.IndirectBuffer(c.Piece(tableOffset, len(empty)), empty, 0)} {
		for _, block := range [][]byte{scsi.TestUnitReady.New(), cdb} {
			if _, err := c.Do(ctx, c.Command(lun, block, srp.Buffer{}, b)); err != nil && !errors.Is(err, tester.ErrClosed) {
				return err
			}
			if at := touched(data); at >= 0 {
				return tester.Broken("SRP-DATA-002", "a command with a buffer of no bytes has written to byte %d of the memory", at)
			}
			if c.Lost() {
				return nil
			}
		}
	}
	return nil
}
