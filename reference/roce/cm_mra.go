// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// CMMra is the message MRA, message receipt acknowledgement: wait longer for
// the answer (InfiniBand Architecture Specification, volume 1, chapter 12.6.6).
type CMMra struct {
	chained
	LocalCommID    uint32        // of the sender
	RemoteCommID   uint32        // of the receiver
	MessageMRAed   CMMessageKind // 2 bits: which message was received
	Reserved6      uint8         // 6 bits after it
	ServiceTimeout uint8         // 5 bits: see CMTimeout
	Reserved3      uint8         // 3 bits after it
}

// LayerType gives LayerTypeCMMra.
func (m *CMMra) LayerType() gopacket.LayerType { return LayerTypeCMMra }

// CanDecode gives LayerTypeCMMra.
func (m *CMMra) CanDecode() gopacket.LayerClass { return LayerTypeCMMra }

// NextLayerType gives plain payload, for the private data.
func (m *CMMra) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// Attribute gives AttrMRA.
func (m *CMMra) Attribute() AttributeID { return AttrMRA }

// CommIDs gives the communication ids of the sender and of the receiver.
func (m *CMMra) CommIDs() (local, remote uint32) { return m.LocalCommID, m.RemoteCommID }

// DecodeFromBytes decodes the data of a MAD; the private data is the payload.
func (m *CMMra) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := m.takeCM(data, "CM MRA", mraLen, df); err != nil {
		return err
	}
	m.LocalCommID, m.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	m.MessageMRAed, m.Reserved6 = CMMessageKind(data[8]>>6), data[8]&0x3F
	m.ServiceTimeout, m.Reserved3 = data[9]>>3, data[9]&7
	return nil
}

// SerializeTo writes the message in front of the private data that the buffer
// holds. With FixLengths the private data is padded with zeros to its full
// length.
func (m *CMMra) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	return serializeCM(b, opts, "CM MRA", m)
}

func (m *CMMra) size() int { return mraLen }

func (m *CMMra) put(b []byte) {
	be.PutUint32(b, m.LocalCommID)
	be.PutUint32(b[4:], m.RemoteCommID)
	b[8] = byte(m.MessageMRAed)<<6 | m.Reserved6&0x3F
	b[9] = m.ServiceTimeout<<3 | m.Reserved3&7
}
