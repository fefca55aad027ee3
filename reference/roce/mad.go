// SPDX-License-Identifier: Apache-2.0

package roce

import "fmt"

// Lengths and fixed values of management datagrams.
const (
	MADLen       = 256                   // a whole datagram
	MADHeaderLen = 24                    // common header
	MADDataLen   = MADLen - MADHeaderLen // data after the common header

	MADBaseVersion uint8 = 1
	ClassCM        uint8 = 0x07 // management class of connection management
	ClassVersionCM uint8 = 2
	MethodSend     uint8 = 0x03 // method of every CM message
)

// AttributeID says what a management datagram is about; for connection
// management it is the message type.
type AttributeID uint16

// The attributes of connection management (InfiniBand Architecture
// Specification, volume 1, chapters 12 and 16).
const (
	AttrREQ     AttributeID = 0x0010 // request for communication
	AttrMRA     AttributeID = 0x0011 // message receipt acknowledgement
	AttrREJ     AttributeID = 0x0012 // reject
	AttrREP     AttributeID = 0x0013 // reply to a request for communication
	AttrRTU     AttributeID = 0x0014 // ready to use
	AttrDREQ    AttributeID = 0x0015 // request for communication release
	AttrDREP    AttributeID = 0x0016 // reply to a request for communication release
	AttrSIDRReq AttributeID = 0x0017 // service id resolution request
	AttrSIDRRep AttributeID = 0x0018 // service id resolution response
	AttrLAP     AttributeID = 0x0019 // load alternate path
	AttrAPR     AttributeID = 0x001A // alternate path response
)

var attributeNames = [...]string{
	"REQ", "MRA", "REJ", "REP", "RTU", "DREQ", "DREP", "SIDR_REQ", "SIDR_REP", "LAP", "APR",
}

// String gives the name of a connection management attribute, else its number.
func (a AttributeID) String() string {
	if i := int(a) - int(AttrREQ); i >= 0 && i < len(attributeNames) {
		return attributeNames[i]
	}
	return fmt.Sprintf("attribute %#04x", uint16(a))
}

// MAD is the common header of a management datagram (InfiniBand Architecture
// Specification, volume 1, chapter 13.4).
type MAD struct {
	BaseVersion       uint8
	MgmtClass         uint8
	ClassVersion      uint8
	Method            uint8
	Status            uint16
	ClassSpecific     uint16
	TransactionID     uint64
	AttributeID       AttributeID
	Reserved          uint16
	AttributeModifier uint32
}

// NewCMHeader gives the common header of a CM message.
func NewCMHeader(a AttributeID, transactionID uint64) MAD {
	return MAD{
		BaseVersion:   MADBaseVersion,
		MgmtClass:     ClassCM,
		ClassVersion:  ClassVersionCM,
		Method:        MethodSend,
		TransactionID: transactionID,
		AttributeID:   a,
	}
}

// IsCM reports whether the data is laid out as a CM message of class version 2.
func (m *MAD) IsCM() bool { return m.MgmtClass == ClassCM && m.ClassVersion == ClassVersionCM }

// Decode decodes the common header; the data is the payload.
func (m *MAD) Decode(data []byte) error {
	if err := need(data, "MAD", MADHeaderLen); err != nil {
		return err
	}
	m.BaseVersion, m.MgmtClass, m.ClassVersion, m.Method = data[0], data[1], data[2], data[3]
	m.Status = be.Uint16(data[4:])
	m.ClassSpecific = be.Uint16(data[6:])
	m.TransactionID = be.Uint64(data[8:])
	m.AttributeID = AttributeID(be.Uint16(data[16:]))
	m.Reserved = be.Uint16(data[18:])
	m.AttributeModifier = be.Uint32(data[20:])
	return nil
}

// Len gives MADHeaderLen.
func (m *MAD) Len() int { return MADHeaderLen }

// Put writes the header at the beginning of b.
func (m *MAD) Put(b []byte) {
	b[0], b[1], b[2], b[3] = m.BaseVersion, m.MgmtClass, m.ClassVersion, m.Method
	be.PutUint16(b[4:], m.Status)
	be.PutUint16(b[6:], m.ClassSpecific)
	be.PutUint64(b[8:], m.TransactionID)
	be.PutUint16(b[16:], uint16(m.AttributeID))
	be.PutUint16(b[18:], m.Reserved)
	be.PutUint32(b[20:], m.AttributeModifier)
}
