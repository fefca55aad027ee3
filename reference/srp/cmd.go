// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

const (
	// CmdSize is the size of a Cmd without its body, in bytes.
	CmdSize = 48

	cdbSize        = 16
	maxAddCDB      = 252
	addCDBMask     = 0xfc
	formatOutShift = 4
	formatMask     = 0x0f

	// MaxCDB is the size in bytes of the longest command block that fits.
	MaxCDB = cdbSize + maxAddCDB

	// MinImmediateOffset is the smallest offset of immediate data: behind the command and the descriptor (Clause
	// SRP-LOGIN-031).
	MinImmediateOffset = CmdSize + immediateHeaderSize
)

// The task attributes.
const (
	TaskSimple      = 0
	TaskHeadOfQueue = 1
	TaskOrdered     = 2
	TaskACA         = 4
)

// Cmd carries a SCSI command. Its body is the rest of the command block, the descriptors of data-out and data-in, and
// immediate data.
type Cmd struct {
	Type          uint8 // TypeCmd
	Notify        uint8
	Reserved2     [3]byte
	Formats       uint8 // of data-out in the upper, of data-in in the lower 4 bits
	DataOutCount  uint8 // entries in the command if data-out is indirect
	DataInCount   uint8 // entries in the command if data-in is indirect
	Tag           Tag
	Reserved16    [4]byte
	LUN           LUN
	Reserved28    [1]byte
	TaskAttribute uint8
	Reserved30    [1]byte
	AddCDBLength  uint8 // with the two low bits cleared, the bytes of CDB in the body
	CDB           [16]byte
	Body          []byte
}

// NewCmd returns a command for a logical unit, to be completed by [Cmd.AppendWith].
func NewCmd(tag Tag, lun LUN) Cmd { return Cmd{Type: TypeCmd, Tag: tag, LUN: lun} }

// AppendBinary appends the command, with all of Body. It never fails.
func (m Cmd) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, CmdSize)
	p[0] = m.Type
	p[1] = m.Notify
	copy(p[2:], m.Reserved2[:])
	p[5] = m.Formats
	p[6] = m.DataOutCount
	p[7] = m.DataInCount
	copy(p[8:], m.Tag[:])
	copy(p[16:], m.Reserved16[:])
	copy(p[20:], m.LUN[:])
	copy(p[28:], m.Reserved28[:])
	p[29] = m.TaskAttribute
	copy(p[30:], m.Reserved30[:])
	p[31] = m.AddCDBLength
	copy(p[32:], m.CDB[:])
	return append(b, m.Body...), nil
}

// AppendWith appends the command with a command block and data buffers in place of those it has: it fills up the block
// with zeros, sets formats, counts and lengths, and puts immediate data at immediateOffset bytes from the start, with
// zeros before it (Clause SRP-CMD-011). It fails, having appended nothing, if cdb is empty or longer than MaxCDB, a
// list has more than 255 entries, data-in is immediate, or the descriptors end behind immediateOffset.
func (m Cmd) AppendWith(b, cdb []byte, out, in Buffer, immediateOffset uint16) ([]byte, error) {
	if len(cdb) == 0 || len(cdb) > MaxCDB {
		return b, layout.Illegal(cmdLayout.Title, "cdb", 32, len(cdb), fmt.Sprintf("1 to %d bytes", MaxCDB))
	}
	if out.List.Len() > MaxListEntries || in.List.Len() > MaxListEntries {
		return b, layout.Illegal(cmdLayout.Title, "data_out_count", 6, max(out.List.Len(), in.List.Len()), "at most 255")
	}
	additional := cdb[copy(m.CDB[:], cdb):]
	clear(m.CDB[min(len(cdb), cdbSize):])
	m.AddCDBLength = uint8((len(additional) + 3) &^ 3)
	m.Formats = uint8(out.Format)<<formatOutShift | uint8(in.Format)&formatMask
	m.DataOutCount, m.DataInCount = uint8(out.List.Len()), uint8(in.List.Len())
	m.Body = nil
	if in.Format == Immediate {
		return b, layout.Illegal(cmdLayout.Title, "formats", 5, m.Formats, "without immediate data-in")
	}
	if end := m.descriptorsEnd(); out.Format == Immediate && end > int(immediateOffset) {
		return b, layout.Illegal(cmdLayout.Title, "formats", 5, m.Formats, fmt.Sprintf("descriptors that end at byte %d, before immediate data at %d", end, immediateOffset))
	}

	start := len(b)
	b, _ = m.AppendBinary(b)
	b = append(b, additional...)
	b, _ = layout.Extend(b, int(m.AddCDBLength)-len(additional))
	b = out.appendDescriptor(b)
	b = in.appendDescriptor(b)
	if out.Format == Immediate {
		b, _ = layout.Extend(b, start+int(immediateOffset)-len(b))
		b = append(b, out.Data...)
	}
	return b, nil
}

// ParseCmd reads a command, all of b, and checks type, descriptor formats, and that additional CDB and descriptors end
// within b. Upon an error a target answers response code 2 (Clauses SRP-CMD-012, SRP-CMD-013).
func ParseCmd(b []byte) (m Cmd, err error) {
	if len(b) < CmdSize {
		return m, layout.Short(cmdLayout.Title, len(b), CmdSize)
	}
	m.Type = b[0]
	m.Notify = b[1]
	copy(m.Reserved2[:], b[2:])
	m.Formats = b[5]
	m.DataOutCount = b[6]
	m.DataInCount = b[7]
	copy(m.Tag[:], b[8:])
	copy(m.Reserved16[:], b[16:])
	copy(m.LUN[:], b[20:])
	copy(m.Reserved28[:], b[28:])
	m.TaskAttribute = b[29]
	copy(m.Reserved30[:], b[30:])
	m.AddCDBLength = b[31]
	copy(m.CDB[:], b[32:])
	m.Body = b[CmdSize:]
	return m, m.Validate()
}

// Size returns the number of bytes of the command on the wire.
func (m Cmd) Size() int { return CmdSize + len(m.Body) }

// OutFormat returns the format of the data-out descriptor.
func (m Cmd) OutFormat() Format { return Format(m.Formats >> formatOutShift) }

// InFormat returns the format of the data-in descriptor.
func (m Cmd) InFormat() Format { return Format(m.Formats & formatMask) }

func (m *Cmd) addCDB() int { return int(m.AddCDBLength & addCDBMask) }

// outEnd and descriptorsEnd are offsets from the start of the command.
func (m *Cmd) outEnd() int {
	return CmdSize + m.addCDB() + m.OutFormat().descriptorSize(m.DataOutCount)
}

func (m *Cmd) descriptorsEnd() int {
	return m.outEnd() + m.InFormat().descriptorSize(m.DataInCount)
}

// Validate makes the checks of ParseCmd.
func (m *Cmd) Validate() error {
	title := cmdLayout.Title
	if err := checkType(&cmdLayout, m.Type, TypeCmd); err != nil {
		return err
	}
	if m.OutFormat() > Immediate || m.InFormat() > Indirect {
		return layout.Illegal(title, "formats", 5, m.Formats, "none, direct or indirect, or immediate data-out")
	}
	if end := CmdSize + m.addCDB(); end > m.Size() {
		return layout.Illegal(title, "add_cdb_length", 31, m.AddCDBLength, fmt.Sprintf("at most the %d bytes that follow", len(m.Body)))
	}
	if end := m.descriptorsEnd(); end > m.Size() {
		return layout.Illegal(title, "formats", 5, m.Formats, fmt.Sprintf("descriptors within the unit's %d bytes, they end at %d", m.Size(), end))
	}
	return nil
}

// AdditionalCDB returns the command block behind its first 16 bytes, a part of Body, as far as it is there.
func (m Cmd) AdditionalCDB() []byte { return m.Body[:min(m.addCDB(), len(m.Body))] }

// DataOut returns the description of the data that goes to the target, if the command is valid. immediateOffset is
// what the login agreed on, 0 if it did not grant immediate data; immediate data that was not granted, begins inside
// its descriptors or ends behind the unit is an error.
func (m Cmd) DataOut(immediateOffset uint16) (Buffer, error) {
	if err := m.Validate(); err != nil {
		return Buffer{}, err
	}
	end := m.outEnd()
	b := decodeBuffer(m.OutFormat(), m.Body[m.addCDB():end-CmdSize])
	if b.Format != Immediate {
		return b, b.Check()
	}
	at, last := int(immediateOffset), uint64(immediateOffset)+uint64(b.Length)
	switch {
	case at == 0:
		return b, layout.Illegal(cmdLayout.Title, "formats", 5, m.Formats, "without immediate data, which was not granted")
	case at < m.descriptorsEnd():
		return b, layout.Illegal(cmdLayout.Title, "formats", 5, m.Formats, fmt.Sprintf("descriptors that end before immediate data at byte %d", at))
	case last > uint64(m.Size()):
		return b, layout.Illegal(immediateLayout.Title, "length", end-immediateHeaderSize, b.Length, fmt.Sprintf("within the unit's %d bytes", m.Size()))
	}
	b.Padding = m.Body[m.descriptorsEnd()-CmdSize : at-CmdSize]
	b.Data = m.Body[at-CmdSize : last-CmdSize]
	return b, nil
}

// DataIn returns the description of the memory for data that comes from the target, if the command is valid.
func (m Cmd) DataIn() (Buffer, error) {
	if err := m.Validate(); err != nil {
		return Buffer{}, err
	}
	b := decodeBuffer(m.InFormat(), m.Body[m.outEnd()-CmdSize:m.descriptorsEnd()-CmdSize])
	return b, b.Check()
}

// CDBLength returns the bytes of the command block that its operation code announces, for codes of groups 0, 1, 2, 4
// and 5; 0 for others.
func CDBLength(opcode uint8) int {
	return [...]int{6, 10, 10, 0, 16, 12, 0, 0}[opcode>>5]
}
