// SPDX-License-Identifier: Apache-2.0

package roce

// TransportType is the transport service that a REQ asks for.
type TransportType uint8

// The transport services.
const (
	TransportRC TransportType = iota
	TransportUC
	TransportRD
	TransportExtended // named by the extended transport field
)

// CMReq is the message REQ, request for communication (InfiniBand Architecture
// Specification, volume 1, chapter 12.6.5). The private data of a REQ to the
// RDMA IP CM service begins with an [IPCM].
type CMReq struct {
	privateData
	LocalCommID        uint32 // of the sender
	Reserved4          uint8  // byte 4
	VendorID           uint32 // 24 bits
	ServiceID          ServiceID
	LocalCAGUID        uint64
	Reserved24         uint32        // bytes 24 to 27
	LocalQKey          uint32        // queue key, datagram only
	LocalQPN           uint32        // 24 bits
	ResponderResources uint8         // READ and atomic requests the sender can serve at once
	LocalEECN          uint32        // 24 bits: end-to-end context, reliable datagram only
	InitiatorDepth     uint8         // READ and atomic requests the sender wants to issue at once
	RemoteEECN         uint32        // 24 bits
	RemoteCMTimeout    uint8         // 5 bits: response timeout of the receiver, see CMTimeout
	TransportType      TransportType // 2 bits
	FlowControl        bool          // end-to-end flow control
	StartingPSN        PSN           // 24 bits: the receiver of the REQ starts sending with it
	LocalCMTimeout     uint8         // 5 bits: response timeout of the sender, see CMTimeout
	RetryCount         uint8         // 3 bits
	PKey               uint16
	PathMTU            MTUCode // 4 bits
	RDCExists          bool
	RNRRetryCount      uint8 // 3 bits, 7 is without end
	MaxCMRetries       uint8 // 4 bits
	SRQ                bool  // the sender uses a shared receive queue
	ExtendedTransport  uint8 // 3 bits: 1 is XRC
	Primary, Alternate CMPath
}

// Attribute gives AttrREQ.
func (r *CMReq) Attribute() AttributeID { return AttrREQ }

// CommIDs gives the communication ids of the sender and of the receiver.
// The receiver has none yet: remote is 0.
func (r *CMReq) CommIDs() (local, remote uint32) { return r.LocalCommID, 0 }

// Decode decodes the data of a MAD, private data included.
func (r *CMReq) Decode(data []byte) error {
	if err := r.take(data, "CM REQ", reqLen); err != nil {
		return err
	}
	r.LocalCommID = be.Uint32(data)
	r.Reserved4, r.VendorID = data[4], uint24(data[5:])
	r.ServiceID = ServiceID(be.Uint64(data[8:]))
	r.LocalCAGUID = be.Uint64(data[16:])
	r.Reserved24 = be.Uint32(data[24:])
	r.LocalQKey = be.Uint32(data[28:])
	r.LocalQPN, r.ResponderResources = uint24(data[32:]), data[35]
	r.LocalEECN, r.InitiatorDepth = uint24(data[36:]), data[39]
	r.RemoteEECN = uint24(data[40:])
	r.RemoteCMTimeout = data[43] >> 3
	r.TransportType = TransportType(data[43] >> 1 & 3)
	r.FlowControl = data[43]&1 != 0
	r.StartingPSN = PSN(uint24(data[44:]))
	r.LocalCMTimeout, r.RetryCount = data[47]>>3, data[47]&7
	r.PKey = be.Uint16(data[48:])
	r.PathMTU = MTUCode(data[50] >> 4)
	r.RDCExists = data[50]&8 != 0
	r.RNRRetryCount = data[50] & 7
	r.MaxCMRetries = data[51] >> 4
	r.SRQ = data[51]&8 != 0
	r.ExtendedTransport = data[51] & 7
	r.Primary.get(data[52:])
	r.Alternate.get(data[52+cmPathLen:])
	return nil
}

// Len gives reqLen.
func (r *CMReq) Len() int { return reqLen }

// Put writes the message, without private data, at the beginning of b.
func (r *CMReq) Put(b []byte) {
	be.PutUint32(b, r.LocalCommID)
	b[4] = r.Reserved4
	putUint24(b[5:], r.VendorID)
	be.PutUint64(b[8:], uint64(r.ServiceID))
	be.PutUint64(b[16:], r.LocalCAGUID)
	be.PutUint32(b[24:], r.Reserved24)
	be.PutUint32(b[28:], r.LocalQKey)
	putUint24(b[32:], r.LocalQPN)
	b[35] = r.ResponderResources
	putUint24(b[36:], r.LocalEECN)
	b[39] = r.InitiatorDepth
	putUint24(b[40:], r.RemoteEECN)
	b[43] = r.RemoteCMTimeout<<3 | byte(r.TransportType)&3<<1 | bit(r.FlowControl, 0)
	putUint24(b[44:], uint32(r.StartingPSN))
	b[47] = r.LocalCMTimeout<<3 | r.RetryCount&7
	be.PutUint16(b[48:], r.PKey)
	b[50] = byte(r.PathMTU)<<4 | bit(r.RDCExists, 3) | r.RNRRetryCount&7
	b[51] = r.MaxCMRetries<<4 | bit(r.SRQ, 3) | r.ExtendedTransport&7
	r.Primary.put(b[52:])
	r.Alternate.put(b[52+cmPathLen:])
}

// IPCM gives the IP addressing at the head of the private data, and the private
// data of the application after it. It fails if the service id is not one of
// the RDMA IP CM service, or if the message was not decoded from bytes.
func (r *CMReq) IPCM() (addressing *IPCM, application []byte, err error) {
	if _, _, ok := r.ServiceID.IP(); !ok {
		return nil, nil, notExactly("CM REQ", "service id prefix", int(r.ServiceID>>ipServiceShift), ipServicePrefix)
	}
	addressing = &IPCM{}
	if err := addressing.Decode(r.data); err != nil {
		return nil, nil, err
	}
	return addressing, r.data[IPCMLen:], nil
}
