// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"math"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes in bytes of the units that move credits.
const (
	CredReqSize = 16
	CredRspSize = 16
)

// CredReq gives credits without a response, or takes some away.
type CredReq struct {
	Type              uint8 // TypeCredReq
	Notify            uint8
	Reserved2         [2]byte
	RequestLimitDelta int32
	Tag               Tag
}

// AppendBinary appends the 16 bytes of the unit. It never fails.
func (m CredReq) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, CredReqSize)
	p[0] = m.Type
	p[1] = m.Notify
	copy(p[2:], m.Reserved2[:])
	binary.BigEndian.PutUint32(p[4:], uint32(m.RequestLimitDelta))
	copy(p[8:], m.Tag[:])
	return b, nil
}

// ParseCredReq reads a credit request and checks its type.
func ParseCredReq(b []byte) (m CredReq, err error) {
	if len(b) < CredReqSize {
		return m, layout.Short(credReqLayout.Title, len(b), CredReqSize)
	}
	m.Type = b[0]
	m.Notify = b[1]
	copy(m.Reserved2[:], b[2:])
	m.RequestLimitDelta = int32(binary.BigEndian.Uint32(b[4:]))
	copy(m.Tag[:], b[8:])
	return m, checkType(&credReqLayout, m.Type, TypeCredReq)
}

// CredRsp answers a CredReq; it needs no credit itself (Clause SRP-CRED-008).
type CredRsp struct {
	Type      uint8 // TypeCredRsp
	Reserved1 [7]byte
	Tag       Tag // of the request
}

// AppendBinary appends the 16 bytes of the unit. It never fails.
func (m CredRsp) AppendBinary(b []byte) ([]byte, error) {
	return appendTypeAndTag(b, m.Type, m.Reserved1, m.Tag), nil
}

// ParseCredRsp reads the answer to a credit request and checks its type.
func ParseCredRsp(b []byte) (m CredRsp, err error) {
	m.Type, m.Reserved1, m.Tag, err = parseTypeAndTag(b, &credRspLayout, TypeCredRsp)
	return m, err
}

// appendTypeAndTag appends a unit of 16 bytes that has nothing but a type and a tag.
func appendTypeAndTag(b []byte, kind uint8, reserved [7]byte, tag Tag) []byte {
	b = append(b, kind)
	b = append(b, reserved[:]...)
	return append(b, tag[:]...)
}

func parseTypeAndTag(b []byte, m *layout.Message, want uint8) (kind uint8, reserved [7]byte, tag Tag, err error) {
	if len(b) < m.Size {
		return 0, reserved, tag, layout.Short(m.Title, len(b), m.Size)
	}
	kind = b[0]
	copy(reserved[:], b[1:])
	copy(tag[:], b[8:])
	return kind, reserved, tag, checkType(m, kind, want)
}

// Credits counts the request limit of one channel on the initiator's side. The owner of the channel locks it.
type Credits struct {
	limit int32
}

// NewCredits returns the count of a new channel; initial is the request limit delta of its LoginRsp (Clause
// SRP-CRED-012).
func NewCredits(initial int32) Credits { return Credits{initial} }

// Limit returns the number of requests that may be sent now; it may be negative.
func (c *Credits) Limit() int32 { return c.limit }

// TakeCommand uses a credit for a command and reports whether there was one. It leaves the last credit for task
// management (Clause SRP-CRED-004).
func (c *Credits) TakeCommand() bool { return c.take(1) }

// TakeTaskManagement uses a credit for a task management request, if need be the last one, and reports whether there
// was one.
func (c *Credits) TakeTaskManagement() bool { return c.take(0) }

func (c *Credits) take(keep int32) bool {
	if c.limit <= keep {
		return false
	}
	c.limit--
	return true
}

// Add applies a request limit delta, which may be zero or negative. The limit stops at the ends of 32 bits instead of
// wrapping (Clauses SRP-CRED-005, SRP-CRED-014).
func (c *Credits) Add(delta int32) {
	sum := int64(c.limit) + int64(delta)
	c.limit = int32(min(max(sum, math.MinInt32), math.MaxInt32))
}
