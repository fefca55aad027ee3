// SPDX-License-Identifier: Apache-2.0

package roce

// CMRep is the message REP, reply to a request for communication (InfiniBand
// Architecture Specification, volume 1, chapter 12.6.8).
type CMRep struct {
	privateData
	LocalCommID        uint32 // of the sender
	RemoteCommID       uint32 // of the receiver
	LocalQKey          uint32 // queue key, datagram only
	LocalQPN           uint32 // 24 bits
	VendorID           uint32 // 24 bits, in bytes 15, 19 and 23
	LocalEECN          uint32 // 24 bits: end-to-end context, reliable datagram only
	StartingPSN        PSN    // 24 bits: the receiver of the REP starts sending with it
	ResponderResources uint8  // READ and atomic requests the sender can serve at once
	InitiatorDepth     uint8  // READ and atomic requests the sender wants to issue at once
	TargetACKDelay     uint8  // 5 bits: see CMTimeout
	FailoverAccepted   uint8  // 2 bits
	FlowControl        bool   // end-to-end flow control
	RNRRetryCount      uint8  // 3 bits, 7 is without end
	SRQ                bool   // the sender uses a shared receive queue
	Reserved           uint8  // 4 bits after it
	LocalCAGUID        uint64
}

// Attribute gives AttrREP.
func (r *CMRep) Attribute() AttributeID { return AttrREP }

// CommIDs gives the communication ids of the sender and of the receiver.
func (r *CMRep) CommIDs() (local, remote uint32) { return r.LocalCommID, r.RemoteCommID }

// Decode decodes the data of a MAD, private data included.
func (r *CMRep) Decode(data []byte) error {
	if err := r.take(data, "CM REP", repLen); err != nil {
		return err
	}
	r.LocalCommID, r.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	r.LocalQKey = be.Uint32(data[8:])
	r.LocalQPN = uint24(data[12:])
	r.VendorID = uint32(data[15])<<16 | uint32(data[19])<<8 | uint32(data[23])
	r.LocalEECN = uint24(data[16:])
	r.StartingPSN = PSN(uint24(data[20:]))
	r.ResponderResources, r.InitiatorDepth = data[24], data[25]
	r.TargetACKDelay = data[26] >> 3
	r.FailoverAccepted = data[26] >> 1 & 3
	r.FlowControl = data[26]&1 != 0
	r.RNRRetryCount = data[27] >> 5
	r.SRQ = data[27]&0x10 != 0
	r.Reserved = data[27] & 0x0F
	r.LocalCAGUID = be.Uint64(data[28:])
	return nil
}

// Len gives repLen.
func (r *CMRep) Len() int { return repLen }

// Put writes the message, without private data, at the beginning of b.
func (r *CMRep) Put(b []byte) {
	be.PutUint32(b, r.LocalCommID)
	be.PutUint32(b[4:], r.RemoteCommID)
	be.PutUint32(b[8:], r.LocalQKey)
	putUint24(b[12:], r.LocalQPN)
	b[15], b[19], b[23] = byte(r.VendorID>>16), byte(r.VendorID>>8), byte(r.VendorID)
	putUint24(b[16:], r.LocalEECN)
	putUint24(b[20:], uint32(r.StartingPSN))
	b[24], b[25] = r.ResponderResources, r.InitiatorDepth
	b[26] = r.TargetACKDelay<<3 | r.FailoverAccepted&3<<1 | bit(r.FlowControl, 0)
	b[27] = r.RNRRetryCount<<5 | bit(r.SRQ, 4) | r.Reserved&0x0F
	be.PutUint64(b[28:], r.LocalCAGUID)
}
