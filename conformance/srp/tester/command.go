// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Failure is a request that was answered, and not with success.
type Failure struct {
	Rsp   srp.Rsp
	Sense scsi.Sense // if Known
	Known bool
}

// Error says what the answer was.
func (f *Failure) Error() string {
	if code, ok := f.Rsp.ResponseCode(); ok && code != srp.ResponseOK {
		return fmt.Sprintf("answered with response code %d", code)
	}
	if f.Known {
		return fmt.Sprintf("answered with %s: %s", scsi.Status(f.Rsp.Status), f.Sense.Error())
	}
	return fmt.Sprintf("answered with %s", scsi.Status(f.Rsp.Status))
}

// FailureOf is the failure that a response tells of; nil for success.
func FailureOf(m srp.Rsp) error {
	code, has := m.ResponseCode()
	if (!has || code == srp.ResponseOK) && scsi.Status(m.Status) == scsi.Good {
		return nil
	}
	f := &Failure{Rsp: m}
	f.Sense, f.Known = scsi.ParseSense(m.Sense())
	return f
}

// Sensed gives the sense of an error that is a Failure with one.
func Sensed(err error) (scsi.Sense, bool) {
	var f *Failure
	if errors.As(err, &f) && f.Known {
		return f.Sense, true
	}
	return scsi.Sense{}, false
}

// Command makes the unit of a command, with a new tag.
func (c *Channel) Command(lun srp.LUN, cdb []byte, out, in srp.Buffer) []byte {
	return c.Tagged(c.Tag(), lun, cdb, out, in)
}

// Tagged makes the unit of a command.
func (c *Channel) Tagged(tag srp.Tag, lun srp.LUN, cdb []byte, out, in srp.Buffer) []byte {
	unit, err := srp.NewCmd(tag, lun).AppendWith(nil, cdb, out, in, c.offset())
	if err != nil {
		panic(err) // a mistake of the caller
	}
	return unit
}

// offset is where immediate data stands, also where it was not granted.
func (c *Channel) offset() uint16 {
	return max(c.Request.ImmediateOffset, srp.MinImmediateOffset)
}

// Immediate tells whether immediate data was granted.
func (c *Channel) Immediate() bool { return c.Login.Flags&srp.LoginImmediate != 0 }

// Manage makes the unit of a task management request, with a new tag.
func (c *Channel) Manage(f srp.TaskFunction, lun srp.LUN, managed srp.Tag) []byte {
	b, _ := srp.TskMgmt{Type: srp.TypeTskMgmt, Tag: c.Tag(), LUN: lun, Function: f, ManagedTag: managed}.AppendBinary(nil)
	return b
}

// attentions is how many unit attentions a unit may have for an initiator, one after the other.
const attentions = 8

// Execute has a command executed as an ordinary initiator does: unit attentions are taken, and the command is sent again.
func (c *Channel) Execute(ctx context.Context, lun srp.LUN, cdb []byte, out, in srp.Buffer) (srp.Rsp, error) {
	for range attentions {
		m, err := c.Do(ctx, c.Command(lun, cdb, out, in))
		if err != nil {
			return m, err
		}
		err = FailureOf(m)
		if s, ok := Sensed(err); !ok || s.Key != scsi.UnitAttention {
			return m, err
		}
	}
	return srp.Rsp{}, fmt.Errorf("%d unit attentions one after the other", attentions)
}

// Geometry is the size of a logical unit.
type Geometry struct {
	Last  uint64 // block
	Block int    // bytes of each
}

// MakeReady takes what a unit has to report, and finds out its size.
func (c *Channel) MakeReady(ctx context.Context, lun srp.LUN) error {
	if _, err := c.Execute(ctx, lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil {
		return fmt.Errorf("TEST UNIT READY: %w", err)
	}
	cdb := scsi.ReadCapacity16.New()
	if err := scsi.ReadCapacity16.Put(cdb, scsi.ReadCapacity16.Allocation, 32); err != nil {
		return err
	}
	b, err := c.Parameters(ctx, lun, cdb, 32)
	if err != nil {
		return fmt.Errorf("READ CAPACITY(16): %w", err)
	}
	if len(b) < 12 {
		return fmt.Errorf("READ CAPACITY(16) gives %d bytes, must be at least 12", len(b))
	}
	g := Geometry{Last: binary.BigEndian.Uint64(b), Block: int(binary.BigEndian.Uint32(b[8:]))}
	if g.Block < stamp.Sector || g.Block%stamp.Sector != 0 || g.Block > 64<<10 {
		return fmt.Errorf("blocks have %d bytes, must be a multiple of %d up to 65536", g.Block, stamp.Sector)
	}
	c.block[lun] = g
	return nil
}

// Geometry is that of a unit that was made ready.
func (c *Channel) Geometry(lun srp.LUN) Geometry { return c.block[lun] }

// Base is the block of a unit that stands for block 0 in the attacks.
func (c *Channel) Base(lun srp.LUN) uint64 {
	return c.tester.target.Limit.base() / uint64(c.block[lun].Block/stamp.Sector)
}

// Room is how many blocks from Base on may be written, or where nothing may be written, read.
func (c *Channel) Room(lun srp.LUN) uint64 {
	g := c.block[lun]
	if l := c.tester.target.Limit; l != nil && l.Writes {
		return l.Count / uint64(g.Block/stamp.Sector)
	}
	return g.Last + 1
}

// Parameters has a command executed that reports, with so much room, and gives what it has reported.
func (c *Channel) Parameters(ctx context.Context, lun srp.LUN, cdb []byte, room int) ([]byte, error) {
	data, err := c.Memory()
	if err != nil {
		return nil, err
	}
	clear(data[:room])
	m, err := c.Execute(ctx, lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, room)))
	if err != nil {
		return nil, err
	}
	n := room
	if m.Flags&srp.DataInUnder != 0 {
		n -= min(n, int(m.DataInResidual))
	}
	return append([]byte(nil), data[:n]...), nil
}

// io makes a command block for blocks from Base on.
func (c *Channel) io(f *scsi.Form, lun srp.LUN, at uint64, blocks uint32) ([]byte, error) {
	return f.AppendIO(nil, c.Base(lun)+at, blocks, false)
}

// ReadAt reads blocks, counted from Base.
func (c *Channel) ReadAt(ctx context.Context, lun srp.LUN, at uint64, blocks uint32) ([]byte, error) {
	data, err := c.Memory()
	if err != nil {
		return nil, err
	}
	cdb, err := c.io(scsi.Read10, lun, at, blocks)
	if err != nil {
		return nil, err
	}
	size := int(blocks) * c.block[lun].Block
	if _, err := c.Execute(ctx, lun, cdb, srp.Buffer{}, srp.DirectBuffer(c.Piece(0, size))); err != nil {
		return nil, fmt.Errorf("READ(10): %w", err)
	}
	return append([]byte(nil), data[:size]...), nil
}

// WriteAt writes whole blocks, counted from Base.
func (c *Channel) WriteAt(ctx context.Context, lun srp.LUN, at uint64, b []byte) error {
	data, err := c.Memory()
	if err != nil {
		return err
	}
	cdb, err := c.io(scsi.Write10, lun, at, uint32(len(b)/c.block[lun].Block))
	if err != nil {
		return err
	}
	copy(data, b)
	if _, err := c.Execute(ctx, lun, cdb, srp.DirectBuffer(c.Piece(0, len(b))), srp.Buffer{}); err != nil {
		return fmt.Errorf("WRITE(10): %w", err)
	}
	return nil
}

// Stamped is the content of blocks, counted from Base, of a write with a number.
func (c *Channel) Stamped(lun srp.LUN, at uint64, blocks uint32, number uint64) []byte {
	g := c.block[lun]
	b := make([]byte, int(blocks)*g.Block)
	stamp.Fill(b, (c.Base(lun)+at)*uint64(g.Block/stamp.Sector), stamp.Stamp{Writer: c.tester.guid, Sequence: number})
	return b
}

// CheckStamped reads blocks and looks whether they are those of [Channel.Stamped].
func (c *Channel) CheckStamped(ctx context.Context, lun srp.LUN, at uint64, blocks uint32, number uint64) error {
	b, err := c.ReadAt(ctx, lun, at, blocks)
	if err != nil {
		return err
	}
	return c.IsStamped(b, lun, at, number)
}

// IsStamped looks whether data is that of [Channel.Stamped].
func (c *Channel) IsStamped(b []byte, lun srp.LUN, at uint64, number uint64) error {
	g := c.block[lun]
	return stamp.Check(b, (c.Base(lun)+at)*uint64(g.Block/stamp.Sector), stamp.Stamp{Writer: c.tester.guid, Sequence: number})
}
