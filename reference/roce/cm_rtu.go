// SPDX-License-Identifier: Apache-2.0

package roce

// CMRtu is the message RTU, ready to use: the active side has its queue pair in
// order (InfiniBand Architecture Specification, volume 1, chapter 12.6.9).
type CMRtu struct {
	privateData
	LocalCommID  uint32 // of the sender
	RemoteCommID uint32 // of the receiver
}

// Attribute gives AttrRTU.
func (r *CMRtu) Attribute() AttributeID { return AttrRTU }

// CommIDs gives the communication ids of the sender and of the receiver.
func (r *CMRtu) CommIDs() (local, remote uint32) { return r.LocalCommID, r.RemoteCommID }

// Decode decodes the data of a MAD, private data included.
func (r *CMRtu) Decode(data []byte) error {
	if err := r.take(data, "CM RTU", cmIDsLen); err != nil {
		return err
	}
	r.LocalCommID, r.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	return nil
}

// Len gives cmIDsLen.
func (r *CMRtu) Len() int { return cmIDsLen }

// Put writes the message, without private data, at the beginning of b.
func (r *CMRtu) Put(b []byte) {
	be.PutUint32(b, r.LocalCommID)
	be.PutUint32(b[4:], r.RemoteCommID)
}
