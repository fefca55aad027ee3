// SPDX-License-Identifier: Apache-2.0

package roce

// CMDrep is the message DREP, reply to a request for communication release
// (InfiniBand Architecture Specification, volume 1, chapter 12.6.11).
type CMDrep struct {
	privateData
	LocalCommID  uint32 // of the sender
	RemoteCommID uint32 // of the receiver
}

// Attribute gives AttrDREP.
func (d *CMDrep) Attribute() AttributeID { return AttrDREP }

// CommIDs gives the communication ids of the sender and of the receiver.
func (d *CMDrep) CommIDs() (local, remote uint32) { return d.LocalCommID, d.RemoteCommID }

// Decode decodes the data of a MAD, private data included.
func (d *CMDrep) Decode(data []byte) error {
	if err := d.take(data, "CM DREP", cmIDsLen); err != nil {
		return err
	}
	d.LocalCommID, d.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	return nil
}

// Len gives cmIDsLen.
func (d *CMDrep) Len() int { return cmIDsLen }

// Put writes the message, without private data, at the beginning of b.
func (d *CMDrep) Put(b []byte) {
	be.PutUint32(b, d.LocalCommID)
	be.PutUint32(b[4:], d.RemoteCommID)
}
