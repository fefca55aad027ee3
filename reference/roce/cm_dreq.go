// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// CMDreq is the message DREQ, request for communication release (InfiniBand
// Architecture Specification, volume 1, chapter 12.6.10).
type CMDreq struct {
	chained
	LocalCommID  uint32 // of the sender
	RemoteCommID uint32 // of the receiver
	RemoteQPN    uint32 // 24 bits: queue pair number of the receiver
	Reserved     uint8  // byte 11
}

// LayerType gives LayerTypeCMDreq.
func (d *CMDreq) LayerType() gopacket.LayerType { return LayerTypeCMDreq }

// CanDecode gives LayerTypeCMDreq.
func (d *CMDreq) CanDecode() gopacket.LayerClass { return LayerTypeCMDreq }

// NextLayerType gives plain payload, for the private data.
func (d *CMDreq) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// Attribute gives AttrDREQ.
func (d *CMDreq) Attribute() AttributeID { return AttrDREQ }

// CommIDs gives the communication ids of the sender and of the receiver.
func (d *CMDreq) CommIDs() (local, remote uint32) { return d.LocalCommID, d.RemoteCommID }

// DecodeFromBytes decodes the data of a MAD; the private data is the payload.
func (d *CMDreq) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := d.takeCM(data, "CM DREQ", dreqLen, df); err != nil {
		return err
	}
	d.LocalCommID, d.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	d.RemoteQPN, d.Reserved = uint24(data[8:]), data[11]
	return nil
}

// SerializeTo writes the message in front of the private data that the buffer
// holds. With FixLengths the private data is padded with zeros to its full
// length.
func (d *CMDreq) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	return serializeCM(b, opts, "CM DREQ", d)
}

func (d *CMDreq) size() int { return dreqLen }

func (d *CMDreq) put(b []byte) {
	be.PutUint32(b, d.LocalCommID)
	be.PutUint32(b[4:], d.RemoteCommID)
	putUint24(b[8:], d.RemoteQPN)
	b[11] = d.Reserved
}
