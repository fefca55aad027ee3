// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

const (
	// RspSize is the size of a Rsp without its body, in bytes.
	RspSize = 36

	// ResponseDataSize is the size in bytes of the response data that carries a ResponseCode.
	ResponseDataSize = 4
)

// RspFlags tell what of a response is valid.
type RspFlags uint8

// The flags of a response. Over and under of one direction exclude each other.
const (
	RspValid     RspFlags = 0x01 // there is response data
	SenseValid   RspFlags = 0x02 // there is sense data
	DataOutOver  RspFlags = 0x04 // the command wanted more data-out than the buffer had
	DataOutUnder RspFlags = 0x08 // it took less
	DataInOver   RspFlags = 0x10 // the command had more data-in than the buffer holds
	DataInUnder  RspFlags = 0x20 // it had less
)

// ResponseCode is what response data says.
type ResponseCode uint8

// The response codes.
const (
	ResponseOK            ResponseCode = 0x00 // no failure, or task management function complete
	ResponseInvalidFields ResponseCode = 0x02
	ResponseTMUnsupported ResponseCode = 0x04
	ResponseTMFailed      ResponseCode = 0x05
)

// Rsp answers a Cmd or a TskMgmt. Its body is response data, then sense data; the lengths stand the other way round.
type Rsp struct {
	Type              uint8 // TypeRsp
	Notify            uint8
	Reserved2         [2]byte
	RequestLimitDelta int32
	Tag               Tag // of the request
	Reserved16        [2]byte
	Flags             RspFlags
	Status            uint8  // SCSI status, meaningful without RspValid
	DataOutResidual   uint32 // bytes, with DataOutOver or DataOutUnder
	DataInResidual    uint32 // bytes, with DataInOver or DataInUnder
	SenseLength       uint32 // bytes
	ResponseLength    uint32 // bytes, 0 or at least 4
	Body              []byte
}

// AppendBinary appends the response, with all of Body. It never fails.
func (m Rsp) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, RspSize)
	p[0] = m.Type
	p[1] = m.Notify
	copy(p[2:], m.Reserved2[:])
	binary.BigEndian.PutUint32(p[4:], uint32(m.RequestLimitDelta))
	copy(p[8:], m.Tag[:])
	copy(p[16:], m.Reserved16[:])
	p[18] = uint8(m.Flags)
	p[19] = m.Status
	binary.BigEndian.PutUint32(p[20:], m.DataOutResidual)
	binary.BigEndian.PutUint32(p[24:], m.DataInResidual)
	binary.BigEndian.PutUint32(p[28:], m.SenseLength)
	binary.BigEndian.PutUint32(p[32:], m.ResponseLength)
	return append(b, m.Body...), nil
}

// ParseRsp reads a response, all of b, and checks type, flags, and that response and sense data end within b. What
// does not is never returned by [Rsp.Sense] or [Rsp.ResponseCode], so an initiator may go on with the rest (Clause
// SRP-RSP-004).
func ParseRsp(b []byte) (m Rsp, err error) {
	if len(b) < RspSize {
		return m, layout.Short(rspLayout.Title, len(b), RspSize)
	}
	m.Type = b[0]
	m.Notify = b[1]
	copy(m.Reserved2[:], b[2:])
	m.RequestLimitDelta = int32(binary.BigEndian.Uint32(b[4:]))
	copy(m.Tag[:], b[8:])
	copy(m.Reserved16[:], b[16:])
	m.Flags = RspFlags(b[18])
	m.Status = b[19]
	m.DataOutResidual = binary.BigEndian.Uint32(b[20:])
	m.DataInResidual = binary.BigEndian.Uint32(b[24:])
	m.SenseLength = binary.BigEndian.Uint32(b[28:])
	m.ResponseLength = binary.BigEndian.Uint32(b[32:])
	m.Body = b[RspSize:]
	return m, m.Validate()
}

// Size returns the number of bytes of the response on the wire.
func (m Rsp) Size() int { return RspSize + len(m.Body) }

// Validate makes the checks of ParseRsp.
func (m *Rsp) Validate() error {
	title := rspLayout.Title
	if err := checkType(&rspLayout, m.Type, TypeRsp); err != nil {
		return err
	}
	if m.Flags.both(DataOutOver|DataOutUnder) || m.Flags.both(DataInOver|DataInUnder) {
		return layout.Illegal(title, "flags", 18, uint8(m.Flags), "over or under in one direction, not both")
	}
	if n := m.ResponseLength; n > 0 && n < ResponseDataSize || (n > 0) != m.Flags.both(RspValid) {
		return layout.Illegal(title, "response_length", 32, n, "at least 4 with RSPVALID, 0 without")
	}
	if (m.SenseLength > 0) && !m.Flags.both(SenseValid) {
		return layout.Illegal(title, "sense_length", 28, m.SenseLength, "0 without SNSVALID")
	}
	if uint64(m.ResponseLength) > uint64(len(m.Body)) {
		return layout.Illegal(title, "response_length", 32, m.ResponseLength, fmt.Sprintf("at most the %d bytes that follow", len(m.Body)))
	}
	if uint64(m.ResponseLength)+uint64(m.SenseLength) > uint64(len(m.Body)) {
		return layout.Illegal(title, "sense_length", 28, m.SenseLength, fmt.Sprintf("within the %d bytes that follow", len(m.Body)))
	}
	return nil
}

func (f RspFlags) both(bits RspFlags) bool { return f&bits == bits }

// ResponseCode returns the code of the response data; ok is false without RspValid. RspValid without a code, because
// the data is cut off, counts as ResponseTMFailed.
func (m Rsp) ResponseCode() (code ResponseCode, ok bool) {
	if !m.Flags.both(RspValid) {
		return 0, false
	}
	if m.ResponseLength < ResponseDataSize || len(m.Body) < ResponseDataSize {
		return ResponseTMFailed, true
	}
	return ResponseCode(m.Body[3]), true
}

// Sense returns the sense data, a part of Body; nil without SenseValid or if it does not end within the response
// (Clause SRP-RSP-003).
func (m Rsp) Sense() []byte {
	end := uint64(m.ResponseLength) + uint64(m.SenseLength)
	if !m.Flags.both(SenseValid) || end > uint64(len(m.Body)) {
		return nil
	}
	return m.Body[m.ResponseLength:end]
}

// SetResponseCode makes the response carry a code in its response data, as answers to task management do (Clause
// SRP-TM-006). It replaces Body.
func (m *Rsp) SetResponseCode(code ResponseCode) {
	m.Flags |= RspValid
	m.ResponseLength = ResponseDataSize
	m.Body = []byte{0, 0, 0, byte(code)}
}

// SetSense makes the response carry sense data and replaces Body; the response must have no code.
func (m *Rsp) SetSense(status uint8, sense []byte) {
	m.Flags |= SenseValid
	m.Status, m.SenseLength, m.Body = status, uint32(len(sense)), sense
}

// SetResidualIn sets flag and count of the data-in residual of a command that had moved bytes of data for a buffer of
// size bytes (Clauses SRP-RSP-005, SRP-RSP-007).
func (m *Rsp) SetResidualIn(moved, size uint32) {
	m.Flags &^= DataInOver | DataInUnder
	m.Flags, m.DataInResidual = residual(m.Flags, moved, size, DataInOver, DataInUnder)
}

// SetResidualOut does for data-out what SetResidualIn does for data-in (Clauses SRP-RSP-006, SRP-RSP-007).
func (m *Rsp) SetResidualOut(moved, size uint32) {
	m.Flags &^= DataOutOver | DataOutUnder
	m.Flags, m.DataOutResidual = residual(m.Flags, moved, size, DataOutOver, DataOutUnder)
}

func residual(flags RspFlags, wanted, size uint32, over, under RspFlags) (RspFlags, uint32) {
	switch {
	case wanted > size:
		return flags | over, wanted - size
	case wanted < size:
		return flags | under, size - wanted
	}
	return flags, 0
}
