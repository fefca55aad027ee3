// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes of the login units in bytes.
const (
	LoginReqSize   = 64
	LoginReqCMSize = 56
	LoginRspSize   = 52
	LoginRejSize   = 32

	MinIULength = 64 // the least an initiator may ask for as its IU length
)

// Bits of the buffer formats in login units.
const (
	FormatsDirect   = 0x0002
	FormatsIndirect = 0x0004
)

// Bits of Flags in login units. The two low bits of a request tell what to do with other channels of the nexus, those
// of a response what was done.
const (
	LoginImmediate = 0x80 // of a request: immediate data wanted; of a response: granted

	multiChannelMask = 0x03

	ChannelSingle   = 0 // request: end the other channels
	ChannelMultiple = 1 // request: keep them

	ChannelsNone       = 0 // response: there were none
	ChannelsTerminated = 1 // response: they were ended
	ChannelsKept       = 2 // response: they were kept
)

// LoginReq asks for a channel: the 64-byte form, for the InfiniBand connection manager (Clause SRP-LOGIN-002).
type LoginReq struct {
	Type              uint8 // TypeLoginReq
	Reserved1         [7]byte
	Tag               Tag
	RequestedIULength uint32 // largest unit the initiator will send, bytes
	Reserved20        [4]byte
	RequiredFormats   uint16 // FormatsDirect, FormatsIndirect
	Flags             uint8  // ChannelSingle or ChannelMultiple, LoginImmediate
	Reserved27        [1]byte
	ImmediateOffset   uint16 // bytes from the start of Cmd to immediate data
	Reserved30        [2]byte
	InitiatorPort     PortID
	TargetPort        PortID
}

// AppendBinary appends the 64 bytes of the unit. It never fails.
func (m LoginReq) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, LoginReqSize)
	p[0] = m.Type
	copy(p[1:], m.Reserved1[:])
	copy(p[8:], m.Tag[:])
	binary.BigEndian.PutUint32(p[16:], m.RequestedIULength)
	copy(p[20:], m.Reserved20[:])
	binary.BigEndian.PutUint16(p[24:], m.RequiredFormats)
	p[26] = m.Flags
	copy(p[27:], m.Reserved27[:])
	binary.BigEndian.PutUint16(p[28:], m.ImmediateOffset)
	copy(p[30:], m.Reserved30[:])
	copy(p[32:], m.InitiatorPort[:])
	copy(p[48:], m.TargetPort[:])
	return b, nil
}

// ParseLoginReq reads the 64-byte form of a login request and checks type and requested IU length.
func ParseLoginReq(b []byte) (m LoginReq, err error) {
	if len(b) < LoginReqSize {
		return m, layout.Short(loginReqLayout.Title, len(b), LoginReqSize)
	}
	m.Type = b[0]
	copy(m.Reserved1[:], b[1:])
	copy(m.Tag[:], b[8:])
	m.RequestedIULength = binary.BigEndian.Uint32(b[16:])
	copy(m.Reserved20[:], b[20:])
	m.RequiredFormats = binary.BigEndian.Uint16(b[24:])
	m.Flags = b[26]
	copy(m.Reserved27[:], b[27:])
	m.ImmediateOffset = binary.BigEndian.Uint16(b[28:])
	copy(m.Reserved30[:], b[30:])
	copy(m.InitiatorPort[:], b[32:])
	copy(m.TargetPort[:], b[48:])
	return m, checkLoginReq(&loginReqLayout, m.Type, m.RequestedIULength, 16)
}

// CM returns the 56-byte form of the same request.
func (m LoginReq) CM() LoginReqCM {
	return LoginReqCM{
		Tag: m.Tag, RequiredFormats: m.RequiredFormats, Flags: m.Flags, Type: m.Type,
		RequestedIULength: m.RequestedIULength, InitiatorPort: m.InitiatorPort, TargetPort: m.TargetPort,
		ImmediateOffset: m.ImmediateOffset,
	}
}

// LoginReqCM asks for a channel: the 56-byte form, for the RDMA connection manager, whose own header leaves no more
// (Clause SRP-LOGIN-001).
type LoginReqCM struct {
	Tag               Tag
	RequiredFormats   uint16
	Flags             uint8
	Type              uint8 // TypeLoginReq
	RequestedIULength uint32
	InitiatorPort     PortID
	TargetPort        PortID
	ImmediateOffset   uint16
	Reserved50        [6]byte
}

// AppendBinary appends the 56 bytes of the unit. It never fails.
func (m LoginReqCM) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, LoginReqCMSize)
	copy(p, m.Tag[:])
	binary.BigEndian.PutUint16(p[8:], m.RequiredFormats)
	p[10] = m.Flags
	p[11] = m.Type
	binary.BigEndian.PutUint32(p[12:], m.RequestedIULength)
	copy(p[16:], m.InitiatorPort[:])
	copy(p[32:], m.TargetPort[:])
	binary.BigEndian.PutUint16(p[48:], m.ImmediateOffset)
	copy(p[50:], m.Reserved50[:])
	return b, nil
}

// ParseLoginReqCM reads the 56-byte form of a login request and checks type and requested IU length.
func ParseLoginReqCM(b []byte) (m LoginReqCM, err error) {
	if len(b) < LoginReqCMSize {
		return m, layout.Short(loginReqCMLayout.Title, len(b), LoginReqCMSize)
	}
	copy(m.Tag[:], b)
	m.RequiredFormats = binary.BigEndian.Uint16(b[8:])
	m.Flags = b[10]
	m.Type = b[11]
	m.RequestedIULength = binary.BigEndian.Uint32(b[12:])
	copy(m.InitiatorPort[:], b[16:])
	copy(m.TargetPort[:], b[32:])
	m.ImmediateOffset = binary.BigEndian.Uint16(b[48:])
	copy(m.Reserved50[:], b[50:])
	return m, checkLoginReq(&loginReqCMLayout, m.Type, m.RequestedIULength, 12)
}

// LoginReq returns the 64-byte form of the same request.
func (m LoginReqCM) LoginReq() LoginReq {
	return LoginReq{
		Type: m.Type, Tag: m.Tag, RequestedIULength: m.RequestedIULength, RequiredFormats: m.RequiredFormats,
		Flags: m.Flags, ImmediateOffset: m.ImmediateOffset, InitiatorPort: m.InitiatorPort, TargetPort: m.TargetPort,
	}
}

func checkLoginReq(m *layout.Message, kind uint8, length uint32, offset int) error {
	if err := checkType(m, kind, TypeLoginReq); err != nil {
		return err
	}
	if length < MinIULength {
		return layout.Illegal(m.Title, "requested_iu_length", offset, length, "at least 64")
	}
	return nil
}

// LoginRsp accepts a login.
type LoginRsp struct {
	Type                 uint8 // TypeLoginRsp
	Reserved1            [3]byte
	RequestLimitDelta    int32 // the initial request limit of the channel
	Tag                  Tag
	MaxInitiatorIULength uint32 // bytes; the initiator sends no longer unit
	MaxTargetIULength    uint32 // bytes; the initiator's receive buffers are no smaller
	SupportedFormats     uint16 // FormatsDirect, FormatsIndirect
	Flags                uint8  // ChannelsNone, ChannelsTerminated or ChannelsKept; LoginImmediate
	Reserved27           [25]byte
}

// AppendBinary appends the 52 bytes of the unit. It never fails.
func (m LoginRsp) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, LoginRspSize)
	p[0] = m.Type
	copy(p[1:], m.Reserved1[:])
	binary.BigEndian.PutUint32(p[4:], uint32(m.RequestLimitDelta))
	copy(p[8:], m.Tag[:])
	binary.BigEndian.PutUint32(p[16:], m.MaxInitiatorIULength)
	binary.BigEndian.PutUint32(p[20:], m.MaxTargetIULength)
	binary.BigEndian.PutUint16(p[24:], m.SupportedFormats)
	p[26] = m.Flags
	copy(p[27:], m.Reserved27[:])
	return b, nil
}

// ParseLoginRsp reads the unit that accepts a login and checks its type (Clause SRP-LOGIN-024).
func ParseLoginRsp(b []byte) (m LoginRsp, err error) {
	if len(b) < LoginRspSize {
		return m, layout.Short(loginRspLayout.Title, len(b), LoginRspSize)
	}
	m.Type = b[0]
	copy(m.Reserved1[:], b[1:])
	m.RequestLimitDelta = int32(binary.BigEndian.Uint32(b[4:]))
	copy(m.Tag[:], b[8:])
	m.MaxInitiatorIULength = binary.BigEndian.Uint32(b[16:])
	m.MaxTargetIULength = binary.BigEndian.Uint32(b[20:])
	m.SupportedFormats = binary.BigEndian.Uint16(b[24:])
	m.Flags = b[26]
	copy(m.Reserved27[:], b[27:])
	return m, checkType(&loginRspLayout, m.Type, TypeLoginRsp)
}

// RejectReason tells why a login was refused.
type RejectReason uint32

// The reasons of a LoginRej.
const (
	RejectNoDetail          RejectReason = 0x00010000
	RejectNoResources       RejectReason = 0x00010001
	RejectIULength          RejectReason = 0x00010002
	RejectNexus             RejectReason = 0x00010003
	RejectFormat            RejectReason = 0x00010004
	RejectMultiChannel      RejectReason = 0x00010005
	RejectChannelsExhausted RejectReason = 0x00010006
)

var rejectReasons = []layout.Value{
	{Number: uint64(RejectNoDetail), Name: "channel cannot be established"},
	{Number: uint64(RejectNoResources), Name: "insufficient RDMA channel resources"},
	{Number: uint64(RejectIULength), Name: "requested IU length too large"},
	{Number: uint64(RejectNexus), Name: "channel cannot be associated with the nexus"},
	{Number: uint64(RejectFormat), Name: "buffer format not supported"},
	{Number: uint64(RejectMultiChannel), Name: "multiple channels not supported"},
	{Number: uint64(RejectChannelsExhausted), Name: "channel limit of this initiator reached"},
}

// String returns the reason in words.
func (r RejectReason) String() string { return nameOf(rejectReasons, uint64(r), "reason") }

// LoginRej refuses a login.
type LoginRej struct {
	Type             uint8 // TypeLoginRej
	Reserved1        [3]byte
	Reason           RejectReason
	Tag              Tag
	Reserved16       [8]byte
	SupportedFormats uint16
	Reserved26       [6]byte
}

// AppendBinary appends the 32 bytes of the unit. It never fails.
func (m LoginRej) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, LoginRejSize)
	p[0] = m.Type
	copy(p[1:], m.Reserved1[:])
	binary.BigEndian.PutUint32(p[4:], uint32(m.Reason))
	copy(p[8:], m.Tag[:])
	copy(p[16:], m.Reserved16[:])
	binary.BigEndian.PutUint16(p[24:], m.SupportedFormats)
	copy(p[26:], m.Reserved26[:])
	return b, nil
}

// ParseLoginRej reads the unit that refuses a login and checks its type (Clause SRP-LOGIN-022). Only rejects of the
// connection manager with the reason "consumer defined" carry one.
func ParseLoginRej(b []byte) (m LoginRej, err error) {
	if len(b) < LoginRejSize {
		return m, layout.Short(loginRejLayout.Title, len(b), LoginRejSize)
	}
	m.Type = b[0]
	copy(m.Reserved1[:], b[1:])
	m.Reason = RejectReason(binary.BigEndian.Uint32(b[4:]))
	copy(m.Tag[:], b[8:])
	copy(m.Reserved16[:], b[16:])
	m.SupportedFormats = binary.BigEndian.Uint16(b[24:])
	copy(m.Reserved26[:], b[26:])
	return m, checkType(&loginRejLayout, m.Type, TypeLoginRej)
}

// nameOf returns the name of a number from its table, or kind and number if it has none.
func nameOf(values []layout.Value, number uint64, kind string) string {
	for _, v := range values {
		if v.Number == number {
			return v.Name
		}
	}
	return fmt.Sprintf("%s %#x", kind, number)
}
