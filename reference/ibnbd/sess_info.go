// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Message types, the first two bytes of every message.
const (
	TypeSessInfo         = 0
	TypeSessInfoResponse = 1
	TypeOpen             = 2
	TypeOpenResponse     = 3
	TypeIO               = 4
	TypeClose            = 5
)

// headerSize is the part that all messages share: type and padding.
const headerSize = 4

// MessageType returns the type of the message in b, which must have its first 4 bytes. A server answers EINVAL to
// less, and to types it does not know (Clauses IBNBD-MSG-011, IBNBD-MSG-012).
func MessageType(b []byte) (uint16, error) {
	if len(b) < headerSize {
		return 0, layout.Short("IBNBD message", len(b), headerSize)
	}
	return binary.LittleEndian.Uint16(b), nil
}

// SessInfoSize is the size of SessInfo in both directions, in bytes.
const SessInfoSize = 36

// Version is the major protocol version of this package.
const Version = 2

// SessInfo opens the session in the block protocol and, with another type, answers: 36 bytes each way (Clause
// IBNBD-MSG-002).
type SessInfo struct {
	Type         uint16 // TypeSessInfo or TypeSessInfoResponse
	Padding      [2]byte
	Version      uint8 // the client's highest; in the response the lower of both sides
	Reserved     [3]byte
	Marker       [8]byte  // Marker, or whatever a peer without it left there
	Features     Features // valid only with the marker
	ReservedTail [16]byte
}

// AppendBinary appends the 36 bytes of the message. It never fails.
func (m SessInfo) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, SessInfoSize)
	binary.LittleEndian.PutUint16(p, m.Type)
	copy(p[2:], m.Padding[:])
	p[4] = m.Version
	copy(p[5:], m.Reserved[:])
	copy(p[8:], m.Marker[:])
	binary.LittleEndian.PutUint32(p[16:], uint32(m.Features))
	copy(p[20:], m.ReservedTail[:])
	return b, nil
}

// ParseSessInfo reads the client's SESS_INFO and checks type and version; 0 is no version (Clause IBNBD-MSG-016).
func ParseSessInfo(b []byte) (SessInfo, error) {
	m, err := decodeSessInfo(b, sessInfoLayout.Title, TypeSessInfo)
	if err == nil && m.Version == 0 {
		err = layout.Illegal(sessInfoLayout.Title, "version", 4, m.Version, "at least 1")
	}
	return m, err
}

// ParseSessInfoResponse reads the server's SESS_INFO_RSP and checks its type.
func ParseSessInfoResponse(b []byte) (SessInfo, error) {
	return decodeSessInfo(b, sessInfoResponseLayout.Title, TypeSessInfoResponse)
}

func decodeSessInfo(b []byte, title string, wantType uint16) (m SessInfo, err error) {
	if len(b) < SessInfoSize {
		return m, layout.Short(title, len(b), SessInfoSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	copy(m.Padding[:], b[2:])
	m.Version = b[4]
	copy(m.Reserved[:], b[5:])
	copy(m.Marker[:], b[8:])
	m.Features = Features(binary.LittleEndian.Uint32(b[16:]))
	copy(m.ReservedTail[:], b[20:])
	return m, checkType(title, m.Type, wantType)
}

func checkType(title string, got, want uint16) error {
	if got == want {
		return nil
	}
	return layout.Illegal(title, "type", 0, got, messageTypes[want].Name+", which is "+string('0'+rune(want)))
}
