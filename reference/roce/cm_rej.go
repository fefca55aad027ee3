// SPDX-License-Identifier: Apache-2.0

package roce

// CMRej is the message REJ, reject (InfiniBand Architecture Specification,
// volume 1, chapter 12.6.7). Linux 6.12 leaves LocalCommID 0 when it rejects a
// REQ before it has disclosed an id (measured).
type CMRej struct {
	privateData
	LocalCommID     uint32           // of the sender
	RemoteCommID    uint32           // of the receiver
	MessageRejected CMMessageKind    // 2 bits: which message is rejected
	Reserved6       uint8            // 6 bits after it
	InfoLength      uint8            // 7 bits: bytes of Info in use
	Reserved1       uint8            // 1 bit after it
	Reason          RejReason        // why
	Info            [rejInfoLen]byte // additional reject information (ARI)
}

// Attribute gives AttrREJ.
func (r *CMRej) Attribute() AttributeID { return AttrREJ }

// CommIDs gives the communication ids of the sender and of the receiver.
func (r *CMRej) CommIDs() (local, remote uint32) { return r.LocalCommID, r.RemoteCommID }

// Decode decodes the data of a MAD, private data included.
func (r *CMRej) Decode(data []byte) error {
	if err := r.take(data, "CM REJ", rejLen); err != nil {
		return err
	}
	r.LocalCommID, r.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	r.MessageRejected, r.Reserved6 = CMMessageKind(data[8]>>6), data[8]&0x3F
	r.InfoLength, r.Reserved1 = data[9]>>1, data[9]&1
	r.Reason = RejReason(be.Uint16(data[10:]))
	copy(r.Info[:], data[12:])
	return nil
}

// Len gives rejLen.
func (r *CMRej) Len() int { return rejLen }

// Put writes the message, without private data, at the beginning of b.
func (r *CMRej) Put(b []byte) {
	be.PutUint32(b, r.LocalCommID)
	be.PutUint32(b[4:], r.RemoteCommID)
	b[8] = byte(r.MessageRejected)<<6 | r.Reserved6&0x3F
	b[9] = r.InfoLength<<1 | r.Reserved1&1
	be.PutUint16(b[10:], uint16(r.Reason))
	copy(b[12:rejLen], r.Info[:])
}

// ARI gives the additional reject information in use: the first InfoLength
// bytes of Info, all of it if InfoLength says more.
func (r *CMRej) ARI() []byte { return r.Info[:min(int(r.InfoLength), rejInfoLen)] }

// SetARI puts additional reject information, at most 72 bytes.
func (r *CMRej) SetARI(info []byte) error {
	if len(info) > rejInfoLen {
		return tooLong("CM REJ", "additional reject information length", len(info), rejInfoLen)
	}
	r.Info = [rejInfoLen]byte{}
	r.InfoLength = uint8(copy(r.Info[:], info))
	return nil
}
