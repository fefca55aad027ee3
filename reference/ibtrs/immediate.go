// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// ImmediateSize is the size of immediate data in bytes.
const ImmediateSize = 4

const (
	payloadBits = 28
	errnoBits   = 9
	idBits      = 19

	// MaxMessageID is the largest message id a response can name.
	MaxMessageID = 1<<idBits - 1
)

// ImmediateType is the top 4 bits of immediate data. Receivers ignore types that have no name here (Clause
// IBTRS-IMM-008).
type ImmediateType uint8

// The types of immediate data.
const (
	ImmRequest             ImmediateType = 0 // client to server: a request lies in a chunk
	ImmResponse            ImmediateType = 1 // server to client: a request is done
	ImmResponseInvalidated ImmediateType = 2 // the same, and the client's key has been invalidated
	ImmHeartbeat           ImmediateType = 8
	ImmHeartbeatAck        ImmediateType = 9
)

// Immediate is the immediate data of a message as an integer of the host. On the wire its most significant byte comes
// first (Clause IBTRS-IMM-001).
type Immediate uint32

// The two immediates of the heartbeat (Clause IBTRS-IMM-011).
const (
	Heartbeat    Immediate = 0x80000000
	HeartbeatAck Immediate = 0x90000000
)

// MakeImmediate puts a type and a payload together. Bits that do not fit, above 4 and 28, are cut off.
func MakeImmediate(t ImmediateType, payload uint32) Immediate {
	return Immediate(uint32(t)<<payloadBits | payload&(1<<payloadBits-1))
}

// Type returns the top 4 bits.
func (i Immediate) Type() ImmediateType { return ImmediateType(i >> payloadBits) }

// Payload returns the low 28 bits.
func (i Immediate) Payload() uint32 { return uint32(i) & (1<<payloadBits - 1) }

// AppendBinary appends the 4 bytes of the immediate in wire order. It never fails.
func (i Immediate) AppendBinary(b []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint32(b, uint32(i)), nil
}

// ParseImmediate reads immediate data in wire order.
func ParseImmediate(b []byte) (Immediate, error) {
	if len(b) < ImmediateSize {
		return 0, layout.Short(immediateLayout.Title, len(b), ImmediateSize)
	}
	return Immediate(binary.BigEndian.Uint32(b)), nil
}

// RequestImmediate returns the immediate of a request in the given chunk whose transport message lies at offset bytes
// from its start (Clause IBTRS-IMM-002). It fails if the geometry has no such chunk or offset.
func (g Geometry) RequestImmediate(chunk, offset uint32) (Immediate, error) {
	if err := g.checkPlace(chunk, offset); err != nil {
		return 0, err
	}
	return MakeImmediate(ImmRequest, chunk<<g.Shift()|offset), nil
}

// Request returns the chunk and the offset in bytes that the immediate of a request names. It fails if the geometry
// has no such chunk or offset, upon which a server closes the path (Clauses IBTRS-IMM-006, IBTRS-IMM-007); both
// numbers are returned nevertheless.
func (g Geometry) Request(i Immediate) (chunk, offset uint32, err error) {
	shift := g.Shift()
	chunk, offset = i.Payload()>>shift, i.Payload()&(1<<shift-1)
	return chunk, offset, g.checkPlace(chunk, offset)
}

func (g Geometry) checkPlace(chunk, offset uint32) error {
	if chunk >= uint32(g.QueueDepth) {
		return layout.Illegal(immediateLayout.Title, "chunk", 0, chunk, fmt.Sprintf("below the queue depth %d", g.QueueDepth))
	}
	if offset >= g.ChunkSize() {
		return layout.Illegal(immediateLayout.Title, "offset", 0, offset, fmt.Sprintf("below the chunk size %d", g.ChunkSize()))
	}
	return nil
}

// ResponseImmediate returns the immediate that answers request id with errno; 0 is success. Numbers that do not fit
// into its 9 bits are mapped first, see [Errno.OnWire]. invalidated says that the client's key was invalidated. It
// fails if id exceeds MaxMessageID.
func ResponseImmediate(id uint32, errno Errno, invalidated bool) (Immediate, error) {
	if id > MaxMessageID {
		return 0, layout.Illegal(responseImmediateLayout.Title, "id", 0, id, "at most 524287")
	}
	t := ImmResponse
	if invalidated {
		t = ImmResponseInvalidated
	}
	return MakeImmediate(t, uint32(errno.OnWire())<<idBits|id), nil
}

// Response returns the message id and the error number of a response, and whether the client's key was invalidated;
// ok is false if the immediate is not a response.
func (i Immediate) Response() (id uint32, errno Errno, invalidated, ok bool) {
	t := i.Type()
	if t != ImmResponse && t != ImmResponseInvalidated {
		return 0, 0, false, false
	}
	payload := i.Payload()
	return payload & MaxMessageID, Errno(payload >> idBits), t == ImmResponseInvalidated, true
}

// String describes the immediate as far as it can without the geometry of the session.
func (i Immediate) String() string {
	if id, errno, invalidated, ok := i.Response(); ok {
		return fmt.Sprintf("response id=%d errno=%v invalidated=%v", id, errno, invalidated)
	}
	switch i.Type() {
	case ImmRequest:
		return fmt.Sprintf("request payload=%#07x", i.Payload())
	case ImmHeartbeat:
		return "heartbeat"
	case ImmHeartbeatAck:
		return "heartbeat acknowledge"
	}
	return fmt.Sprintf("type %d payload=%#07x", i.Type(), i.Payload())
}
