// SPDX-License-Identifier: Apache-2.0

package roce

// CMDreq is the message DREQ, request for communication release (InfiniBand
// Architecture Specification, volume 1, chapter 12.6.10).
type CMDreq struct {
	privateData
	LocalCommID  uint32 // of the sender
	RemoteCommID uint32 // of the receiver
	RemoteQPN    uint32 // 24 bits: queue pair number of the receiver
	Reserved     uint8  // byte 11
}

// Attribute gives AttrDREQ.
func (d *CMDreq) Attribute() AttributeID { return AttrDREQ }

// CommIDs gives the communication ids of the sender and of the receiver.
func (d *CMDreq) CommIDs() (local, remote uint32) { return d.LocalCommID, d.RemoteCommID }

// Decode decodes the data of a MAD, private data included.
func (d *CMDreq) Decode(data []byte) error {
	if err := d.take(data, "CM DREQ", dreqLen); err != nil {
		return err
	}
	d.LocalCommID, d.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	d.RemoteQPN, d.Reserved = uint24(data[8:]), data[11]
	return nil
}

// Len gives dreqLen.
func (d *CMDreq) Len() int { return dreqLen }

// Put writes the message, without private data, at the beginning of b.
func (d *CMDreq) Put(b []byte) {
	be.PutUint32(b, d.LocalCommID)
	be.PutUint32(b[4:], d.RemoteCommID)
	putUint24(b[8:], d.RemoteQPN)
	b[11] = d.Reserved
}
