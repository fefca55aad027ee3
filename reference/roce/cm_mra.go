// SPDX-License-Identifier: Apache-2.0

package roce

// CMMra is the message MRA, message receipt acknowledgement: wait longer for
// the answer (InfiniBand Architecture Specification, volume 1, chapter 12.6.6).
type CMMra struct {
	privateData
	LocalCommID    uint32        // of the sender
	RemoteCommID   uint32        // of the receiver
	MessageMRAed   CMMessageKind // 2 bits: which message was received
	Reserved6      uint8         // 6 bits after it
	ServiceTimeout uint8         // 5 bits: see CMTimeout
	Reserved3      uint8         // 3 bits after it
}

// Attribute gives AttrMRA.
func (m *CMMra) Attribute() AttributeID { return AttrMRA }

// CommIDs gives the communication ids of the sender and of the receiver.
func (m *CMMra) CommIDs() (local, remote uint32) { return m.LocalCommID, m.RemoteCommID }

// Decode decodes the data of a MAD, private data included.
func (m *CMMra) Decode(data []byte) error {
	if err := m.take(data, "CM MRA", mraLen); err != nil {
		return err
	}
	m.LocalCommID, m.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	m.MessageMRAed, m.Reserved6 = CMMessageKind(data[8]>>6), data[8]&0x3F
	m.ServiceTimeout, m.Reserved3 = data[9]>>3, data[9]&7
	return nil
}

// Len gives mraLen.
func (m *CMMra) Len() int { return mraLen }

// Put writes the message, without private data, at the beginning of b.
func (m *CMMra) Put(b []byte) {
	be.PutUint32(b, m.LocalCommID)
	be.PutUint32(b[4:], m.RemoteCommID)
	b[8] = byte(m.MessageMRAed)<<6 | m.Reserved6&0x3F
	b[9] = m.ServiceTimeout<<3 | m.Reserved3&7
}
