// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"errors"
	"fmt"

	"github.com/google/gopacket"
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

// CMMessage is a CM message: the part of a MAD after the common header. As a
// decoded layer, LayerPayload is its private data, always in full length: the
// wire does not tell how much of it the sender meant.
type CMMessage interface {
	gopacket.DecodingLayer
	gopacket.SerializableLayer
	header

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

// cmLayerType gives the layer type of a message, plain payload for one whose
// layout is not known here.
func cmLayerType(a AttributeID) gopacket.LayerType {
	switch a {
	case AttrREQ:
		return LayerTypeCMReq
	case AttrMRA:
		return LayerTypeCMMra
	case AttrREJ:
		return LayerTypeCMRej
	case AttrREP:
		return LayerTypeCMRep
	case AttrRTU:
		return LayerTypeCMRtu
	case AttrDREQ:
		return LayerTypeCMDreq
	case AttrDREP:
		return LayerTypeCMDrep
	}
	return gopacket.LayerTypePayload
}

// ErrNotCM says that a management datagram is no CM message whose layout is
// known: another class or version, or an attribute known by name only.
var ErrNotCM = errors.New("not a known CM message")

// DecodeCM decodes a whole management datagram, the payload of a packet to
// queue pair 1. For another class or attribute it gives the header and an error
// that wraps ErrNotCM. The message refers to the bytes of mad.
func DecodeCM(mad []byte) (MAD, CMMessage, error) {
	var m MAD
	if err := m.DecodeFromBytes(mad, gopacket.NilDecodeFeedback); err != nil {
		return m, nil, err
	}
	if !m.IsCM() {
		return m, nil, fmt.Errorf("management class %#02x version %d: %w", m.MgmtClass, m.ClassVersion, ErrNotCM)
	}
	msg := newCMMessage(m.AttributeID)
	if msg == nil {
		return m, nil, fmt.Errorf("%v: %w", m.AttributeID, ErrNotCM)
	}
	if err := msg.DecodeFromBytes(m.LayerPayload(), gopacket.NilDecodeFeedback); err != nil {
		return m, nil, err
	}
	return m, msg, nil
}

// AppendCM appends a whole management datagram of 256 bytes: the header m, whose
// attribute becomes that of msg, the message, and private data padded with
// zeros. Private data beyond the room of the message is an [Error].
func AppendCM(b []byte, m *MAD, msg CMMessage, private []byte) ([]byte, error) {
	m.AttributeID = msg.Attribute()
	if room := MADDataLen - msg.size(); len(private) > room {
		return b, tooLong("CM "+m.AttributeID.String(), "private data length", len(private), room)
	}
	at := len(b)
	b = append(b, make([]byte, MADLen)...)
	out := b[at:]
	m.put(out)
	msg.put(out[MADHeaderLen:])
	copy(out[MADHeaderLen+msg.size():], private)
	return b, nil
}

// takeCM splits the data of a MAD after the fixed part of a message. The private
// data must be there in full.
func (c *chained) takeCM(data []byte, name string, size int, df gopacket.DecodeFeedback) error {
	if len(data) < MADDataLen {
		df.SetTruncated()
		return tooShort(name, "length", len(data), MADDataLen, ErrTruncated)
	}
	if len(data) > MADDataLen {
		return tooLong(name, "length", len(data), MADDataLen)
	}
	return c.take(data, name, size, df)
}

// serializeCM writes a message in front of its private data.
func serializeCM(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions, name string, msg CMMessage) error {
	if opts.FixLengths {
		if err := padTo(b, name, "private data length", MADDataLen-msg.size()); err != nil {
			return err
		}
	}
	return prepend(b, msg)
}
