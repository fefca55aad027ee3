// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes in bytes of the two forms of an IO message. The length of the user header tells which it is (Clause
// IBNBD-MSG-005).
const (
	IORequestSize      = 32
	ShortIORequestSize = 24
)

// SectorSize is the unit of all sector numbers and counts, in bytes.
const SectorSize = 512

// FlushSector is the sector that mainline clients put into a flush; no server looks at it.
const FlushSector = 1<<64 - 1

// Op is the operation of an IO message, the low 8 bits of OpFlags.
type Op uint8

// The operations.
const (
	OpRead        Op = 0
	OpWrite       Op = 1
	OpFlush       Op = 2
	OpDiscard     Op = 3
	OpSecureErase Op = 4
	OpWriteZeroes Op = 5 // with data it is write-same, see [IORequest.Check]
)

// The flags of an IO message, bits of OpFlags. Receivers ignore the ones that have no name here (Clause IBNBD-IO-012).
const (
	FlagSync     = 0x100 // somebody waits for it
	FlagFUA      = 0x200 // forced unit access
	FlagPreflush = 0x400 // flush the volatile cache before
	FlagNoUnmap  = 0x800 // of write zeroes: do not unmap

	opMask = 0xff
)

var opNames = [...]string{
	OpRead: "read", OpWrite: "write", OpFlush: "flush", OpDiscard: "discard", OpSecureErase: "secure erase",
	OpWriteZeroes: "write zeroes",
}

// Valid reports whether o is an operation of the protocol.
func (o Op) Valid() bool { return int(o) < len(opNames) }

// String returns the name of the operation.
func (o Op) String() string {
	if o.Valid() {
		return opNames[o]
	}
	return fmt.Sprintf("Op(%d)", uint8(o))
}

// Direction returns the transport direction a client uses for the operation: a flush, having no data either way, goes
// as a read (Clause IBNBD-IO-005).
func (o Op) Direction() ibtrs.Direction {
	if o == OpRead || o == OpFlush {
		return ibtrs.Read
	}
	return ibtrs.Write
}

// IORequest is one operation on a device.
type IORequest struct {
	Type     uint16 // TypeIO
	Padding  [2]byte
	DeviceID uint32
	Sector   uint64 // first, in units of 512 bytes
	OpFlags  uint32 // operation and flags
	Size     uint32 // bytes of the device that the operation is about
	Priority uint16 // absent in the short form
	Tail     [6]byte
	Short    bool // the 24-byte form: without Priority and Tail
}

// NewIORequest returns the long form of an operation on size bytes of a device from sector on.
func NewIORequest(op Op, flags uint32, device uint32, sector uint64, size uint32) IORequest {
	return IORequest{Type: TypeIO, DeviceID: device, Sector: sector, OpFlags: flags&^opMask | uint32(op), Size: size}
}

// Op returns the operation.
func (m IORequest) Op() Op { return Op(m.OpFlags & opMask) }

// Flags returns OpFlags without the operation.
func (m IORequest) Flags() uint32 { return m.OpFlags &^ opMask }

// Length returns the bytes of the message on the wire: 32, or 24 in the short form.
func (m IORequest) Length() int {
	if m.Short {
		return ShortIORequestSize
	}
	return IORequestSize
}

// EffectivePriority returns the priority the server uses: the one of the message in sessions of version 2 and the long
// form, else 0 (Clause IBNBD-IO-017).
func (m IORequest) EffectivePriority(version uint8) uint16 {
	if m.Short || version < 2 {
		return 0
	}
	return m.Priority
}

// AppendBinary appends the 32 bytes of the message, 24 in the short form. It never fails.
func (m IORequest) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, m.Length())
	binary.LittleEndian.PutUint16(p, m.Type)
	copy(p[2:], m.Padding[:])
	binary.LittleEndian.PutUint32(p[4:], m.DeviceID)
	binary.LittleEndian.PutUint64(p[8:], m.Sector)
	binary.LittleEndian.PutUint32(p[16:], m.OpFlags)
	binary.LittleEndian.PutUint32(p[20:], m.Size)
	if !m.Short {
		binary.LittleEndian.PutUint16(p[24:], m.Priority)
		copy(p[26:], m.Tail[:])
	}
	return b, nil
}

// ParseIORequest reads an IO message, the long form if b has its 32 bytes, else the short form, and checks the type.
// What the operation demands is checked by [IORequest.Check].
func ParseIORequest(b []byte) (m IORequest, err error) {
	if len(b) < ShortIORequestSize {
		return m, layout.Short(ioLayout.Title, len(b), ShortIORequestSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	copy(m.Padding[:], b[2:])
	m.DeviceID = binary.LittleEndian.Uint32(b[4:])
	m.Sector = binary.LittleEndian.Uint64(b[8:])
	m.OpFlags = binary.LittleEndian.Uint32(b[16:])
	m.Size = binary.LittleEndian.Uint32(b[20:])
	if m.Short = len(b) < IORequestSize; !m.Short {
		m.Priority = binary.LittleEndian.Uint16(b[24:])
		copy(m.Tail[:], b[26:])
	}
	return m, checkType(ioLayout.Title, m.Type, TypeIO)
}

// Check decides what a server can decide without the device (Clauses IBNBD-IO-003, IBNBD-IO-011, IBNBD-IO-013,
// IBNBD-IO-014): whether the operation exists, suits the direction in which the request came, and agrees with
// dataLength, the bytes of data in the transport. writeSame says that the peers agreed on operation 5 with data. The
// error is a layout.Error that is the number of the answer, EINVAL or EOPNOTSUPP, to errors.Is.
func (m IORequest) Check(direction ibtrs.Direction, dataLength uint32, writeSame bool) error {
	op := m.Op()
	switch {
	case !op.Valid():
		return ioFault("op_flags", 16, op, "an operation from 0 to 5", ibtrs.EOPNOTSUPP)
	case op != OpFlush && op.Direction() != direction:
		return ioFault("op_flags", 16, op, "one that suits a transport "+direction.String(), ibtrs.EINVAL)
	case op == OpWriteZeroes && dataLength > 0:
		return m.checkWriteSame(dataLength, writeSame)
	case dataLength > 0 && dataLength != m.Size:
		return ioFault("size", 20, m.Size, fmt.Sprintf("the %d bytes of data", dataLength), ibtrs.EINVAL)
	case dataLength == 0 && m.Size > 0 && (op == OpRead || op == OpWrite):
		return ioFault("size", 20, m.Size, "0 without data", ibtrs.EINVAL)
	}
	return nil
}

func (m IORequest) checkWriteSame(dataLength uint32, agreed bool) error {
	if !agreed {
		return ioFault("op_flags", 16, m.Op(), "without data, for nobody agreed on write-same", ibtrs.EOPNOTSUPP)
	}
	if m.Size%dataLength != 0 {
		return ioFault("size", 20, m.Size, fmt.Sprintf("a multiple of the %d bytes of data", dataLength), ibtrs.EINVAL)
	}
	return nil
}

func ioFault(field string, offset int, value any, limit string, answer ibtrs.Errno) error {
	return &layout.Error{Message: ioLayout.Title, Field: field, Offset: offset, Value: value, Limit: limit, Err: answer}
}
