// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"errors"
	"fmt"
)

// Lengths of the fixed part of each CM message in bytes. The private data fills
// the rest of the MADDataLen bytes.
const (
	cmIDsLen   = 8 // RTU and DREP have nothing but the two ids
	reqLen     = 140
	mraLen     = 10
	rejLen     = 84
	repLen     = 36
	dreqLen    = 12
	rejInfoLen = 72
)

// Room for private data in each CM message in bytes. A REQ to the RDMA IP CM
// service leaves 56 of its 92 bytes to the application.
const (
	REQPrivateLen   = MADDataLen - reqLen     // 92
	REQIPPrivateLen = REQPrivateLen - IPCMLen // 56
	MRAPrivateLen   = MADDataLen - mraLen     // 222
	REJPrivateLen   = MADDataLen - rejLen     // 148
	REPPrivateLen   = MADDataLen - repLen     // 196
	RTUPrivateLen   = MADDataLen - cmIDsLen   // 224
	DREQPrivateLen  = MADDataLen - dreqLen    // 220
	DREPPrivateLen  = MADDataLen - cmIDsLen   // 224
)

// CMMessageKind names in a REJ or MRA the message it is about.
type CMMessageKind uint8

// The kinds of message that can be rejected or acknowledged.
const (
	KindREQ   CMMessageKind = iota
	KindREP                 // reply
	KindOther               // in a MRA the LAP, in a REJ neither REQ nor REP
)

// CMMessage is a CM message: the part of a MAD after the common header.
type CMMessage interface {
	Header

	// PrivateData is that of a decoded message, always in full length: the wire
	// does not tell how much of it the sender meant.
	PrivateData() []byte

	// Attribute is the message type.
	Attribute() AttributeID

	// CommIDs gives the communication ids of the sender and of the receiver.
	CommIDs() (local, remote uint32)
}

var (
	_ CMMessage = (*CMReq)(nil)
	_ CMMessage = (*CMMra)(nil)
	_ CMMessage = (*CMRej)(nil)
	_ CMMessage = (*CMRep)(nil)
	_ CMMessage = (*CMRtu)(nil)
	_ CMMessage = (*CMDreq)(nil)
	_ CMMessage = (*CMDrep)(nil)
)

// newCMMessage gives an empty message of a type, nil for one whose layout is
// not known here.
func newCMMessage(a AttributeID) CMMessage {
	switch a {
	case AttrREQ:
		return &CMReq{}
	case AttrMRA:
		return &CMMra{}
	case AttrREJ:
		return &CMRej{}
	case AttrREP:
		return &CMRep{}
	case AttrRTU:
		return &CMRtu{}
	case AttrDREQ:
		return &CMDreq{}
	case AttrDREP:
		return &CMDrep{}
	}
	return nil
}

// ErrNotCM says that a management datagram is no CM message whose layout is
// known: another class or version, or an attribute known by name only.
var ErrNotCM = errors.New("not a known CM message")

// DecodeCM decodes a whole management datagram, the payload of a packet to
// queue pair 1. For another class or attribute it gives the header and an error
// that wraps ErrNotCM. The message refers to the bytes of mad.
func DecodeCM(mad []byte) (MAD, CMMessage, error) {
	var m MAD
	if err := m.Decode(mad); err != nil {
		return m, nil, err
	}
	if !m.IsCM() {
		return m, nil, fmt.Errorf("management class %#02x version %d: %w", m.MgmtClass, m.ClassVersion, ErrNotCM)
	}
	msg := newCMMessage(m.AttributeID)
	if msg == nil {
		return m, nil, fmt.Errorf("%v: %w", m.AttributeID, ErrNotCM)
	}
	if err := msg.Decode(mad[MADHeaderLen:]); err != nil {
		return m, nil, err
	}
	return m, msg, nil
}

// AppendCM appends a whole management datagram of 256 bytes: the header m, whose
// attribute becomes that of msg, the message, and private data padded with
// zeros. Private data beyond the room of the message is an [Error].
func AppendCM(b []byte, m *MAD, msg CMMessage, private []byte) ([]byte, error) {
	m.AttributeID = msg.Attribute()
	if room := MADDataLen - msg.Len(); len(private) > room {
		return b, tooLong("CM "+m.AttributeID.String(), "private data length", len(private), room)
	}
	at := len(b)
	b = append(b, make([]byte, MADLen)...)
	out := b[at:]
	m.Put(out)
	msg.Put(out[MADHeaderLen:])
	copy(out[MADHeaderLen+msg.Len():], private)
	return b, nil
}

// privateData is what every CM message has behind its fixed part.
type privateData struct{ data []byte }

// PrivateData gives the private data of a decoded message in full length.
func (p *privateData) PrivateData() []byte { return p.data }

// take notes the private data behind the first size bytes of the data of a MAD,
// which must be there in full.
func (p *privateData) take(data []byte, message string, size int) error {
	if err := need(data, message, MADDataLen); err != nil {
		return err
	}
	if len(data) > MADDataLen {
		return tooLong(message, "length", len(data), MADDataLen)
	}
	p.data = data[size:]
	return nil
}
