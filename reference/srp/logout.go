// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes of the logout units in bytes.
const (
	ILogoutSize = 16
	TLogoutSize = 16
)

// ILogout is the last unit an initiator sends on a channel; nothing answers it (Clause SRP-LOGOUT-002).
type ILogout struct {
	Type      uint8 // TypeILogout
	Reserved1 [7]byte
	Tag       Tag
}

// AppendBinary appends the 16 bytes of the unit. It never fails.
func (m ILogout) AppendBinary(b []byte) ([]byte, error) {
	return appendTypeAndTag(b, m.Type, m.Reserved1, m.Tag), nil
}

// ParseILogout reads an initiator's logout and checks its type.
func ParseILogout(b []byte) (m ILogout, err error) {
	m.Type, m.Reserved1, m.Tag, err = parseTypeAndTag(b, &iLogoutLayout, TypeILogout)
	return m, err
}

// LogoutReason tells why a target logs out. Numbers that have no name here are information for people only.
type LogoutReason uint32

// The reasons of a TLogout.
const (
	LogoutNoReason          LogoutReason = 0
	LogoutInactive          LogoutReason = 1
	LogoutInvalidType       LogoutReason = 2
	LogoutSpuriousResponse  LogoutReason = 3
	LogoutMultiChannelLogin LogoutReason = 4
)

var logoutReasons = []layout.Value{
	{Number: uint64(LogoutNoReason), Name: "no reason given"},
	{Number: uint64(LogoutInactive), Name: "inactive channel"},
	{Number: uint64(LogoutInvalidType), Name: "unit of an invalid type received"},
	{Number: uint64(LogoutSpuriousResponse), Name: "response without a request received"},
	{Number: uint64(LogoutMultiChannelLogin), Name: "multi-channel action of a new login"},
}

// String returns the reason in words.
func (r LogoutReason) String() string { return nameOf(logoutReasons, uint64(r), "reason") }

// TLogout is the last unit a target sends on a channel (Clause SRP-LOGOUT-003).
type TLogout struct {
	Type      uint8 // TypeTLogout
	Notify    uint8
	Reserved2 [2]byte
	Reason    LogoutReason
	Tag       Tag
}

// AppendBinary appends the 16 bytes of the unit. It never fails.
func (m TLogout) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, TLogoutSize)
	p[0] = m.Type
	p[1] = m.Notify
	copy(p[2:], m.Reserved2[:])
	binary.BigEndian.PutUint32(p[4:], uint32(m.Reason))
	copy(p[8:], m.Tag[:])
	return b, nil
}

// ParseTLogout reads a target's logout and checks its type.
func ParseTLogout(b []byte) (m TLogout, err error) {
	if len(b) < TLogoutSize {
		return m, layout.Short(tLogoutLayout.Title, len(b), TLogoutSize)
	}
	m.Type = b[0]
	m.Notify = b[1]
	copy(m.Reserved2[:], b[2:])
	m.Reason = LogoutReason(binary.BigEndian.Uint32(b[4:]))
	copy(m.Tag[:], b[8:])
	return m, checkType(&tLogoutLayout, m.Type, TypeTLogout)
}
