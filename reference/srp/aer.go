// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes in bytes of the units for asynchronous events.
const (
	AERReqSize = 36 // without its body
	AERRspSize = 16
)

// AERReq reports an asynchronous event of a logical unit. Its body is sense data.
type AERReq struct {
	Type              uint8 // TypeAERReq
	Notify            uint8
	Reserved2         [2]byte
	RequestLimitDelta int32
	Tag               Tag
	Reserved16        [4]byte
	LUN               LUN
	SenseLength       uint32 // bytes
	Reserved32        [4]byte
	Body              []byte
}

// AppendBinary appends the unit, with all of Body. It never fails.
func (m AERReq) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, AERReqSize)
	p[0] = m.Type
	p[1] = m.Notify
	copy(p[2:], m.Reserved2[:])
	binary.BigEndian.PutUint32(p[4:], uint32(m.RequestLimitDelta))
	copy(p[8:], m.Tag[:])
	copy(p[16:], m.Reserved16[:])
	copy(p[20:], m.LUN[:])
	binary.BigEndian.PutUint32(p[28:], m.SenseLength)
	copy(p[32:], m.Reserved32[:])
	return append(b, m.Body...), nil
}

// ParseAERReq reads an event, all of b, and checks type and that the sense data ends within b (Clause SRP-CRED-010).
func ParseAERReq(b []byte) (m AERReq, err error) {
	if len(b) < AERReqSize {
		return m, layout.Short(aerReqLayout.Title, len(b), AERReqSize)
	}
	m.Type = b[0]
	m.Notify = b[1]
	copy(m.Reserved2[:], b[2:])
	m.RequestLimitDelta = int32(binary.BigEndian.Uint32(b[4:]))
	copy(m.Tag[:], b[8:])
	copy(m.Reserved16[:], b[16:])
	copy(m.LUN[:], b[20:])
	m.SenseLength = binary.BigEndian.Uint32(b[28:])
	copy(m.Reserved32[:], b[32:])
	m.Body = b[AERReqSize:]
	if err := checkType(&aerReqLayout, m.Type, TypeAERReq); err != nil {
		return m, err
	}
	if uint64(m.SenseLength) > uint64(len(m.Body)) {
		err = layout.Illegal(aerReqLayout.Title, "sense_length", 28, m.SenseLength, fmt.Sprintf("at most the %d bytes that follow", len(m.Body)))
	}
	return m, err
}

// Size returns the number of bytes of the unit on the wire.
func (m AERReq) Size() int { return AERReqSize + len(m.Body) }

// Sense returns the sense data, a part of Body; nil if it does not end within the unit.
func (m AERReq) Sense() []byte {
	if uint64(m.SenseLength) > uint64(len(m.Body)) {
		return nil
	}
	return m.Body[:m.SenseLength]
}

// AERRsp answers an AERReq; it needs no credit (Clause SRP-CRED-008).
type AERRsp struct {
	Type      uint8 // TypeAERRsp
	Reserved1 [7]byte
	Tag       Tag // of the request
}

// AppendBinary appends the 16 bytes of the unit. It never fails.
func (m AERRsp) AppendBinary(b []byte) ([]byte, error) {
	return appendTypeAndTag(b, m.Type, m.Reserved1, m.Tag), nil
}

// ParseAERRsp reads the answer to an event and checks its type.
func ParseAERRsp(b []byte) (m AERRsp, err error) {
	m.Type, m.Reserved1, m.Tag, err = parseTypeAndTag(b, &aerRspLayout, TypeAERRsp)
	return m, err
}
