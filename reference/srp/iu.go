// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// The types of information units, their first byte but in [LoginReqCM].
const (
	TypeLoginReq = 0x00
	TypeTskMgmt  = 0x01
	TypeCmd      = 0x02
	TypeILogout  = 0x03
	TypeCredRsp  = 0x41
	TypeAERRsp   = 0x42
	TypeTLogout  = 0x80
	TypeCredReq  = 0x81
	TypeAERReq   = 0x82
	TypeLoginRsp = 0xc0
	TypeRsp      = 0xc1
	TypeLoginRej = 0xc2
)

// MinIUSize is the size in bytes of the shortest unit that travels in a SEND.
const MinIUSize = 16

// IUType returns the type of the unit in b, which must have at least MinIUSize bytes.
func IUType(b []byte) (uint8, error) {
	if len(b) < MinIUSize {
		return 0, layout.Short("SRP information unit", len(b), MinIUSize)
	}
	return b[0], nil
}

// Tag names a request on its channel. The creator of the request puts in what it likes, the answer repeats it bit by
// bit, and nobody else may interpret it (Clause SRP-CMD-015).
type Tag [8]byte

// String returns the tag in hexadecimal.
func (t Tag) String() string { return hex.EncodeToString(t[:]) }

// TagOf returns a tag that holds n, most significant byte first. What stands in a tag is its creator's business.
func TagOf(n uint64) (t Tag) {
	binary.BigEndian.PutUint64(t[:], n)
	return t
}

// Number returns what TagOf put into the tag.
func (t Tag) Number() uint64 { return binary.BigEndian.Uint64(t[:]) }

// checkType compares the type of a unit with the one wanted.
func checkType(m *layout.Message, got, want uint8) error {
	if got == want {
		return nil
	}
	field, _ := m.Field("type")
	return layout.Illegal(m.Title, "type", field.Offset, got, m.Title)
}
