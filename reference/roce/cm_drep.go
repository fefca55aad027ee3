// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// CMDrep is the message DREP, reply to a request for communication release
// (InfiniBand Architecture Specification, volume 1, chapter 12.6.11).
type CMDrep struct {
	chained
	LocalCommID  uint32 // of the sender
	RemoteCommID uint32 // of the receiver
}

// LayerType gives LayerTypeCMDrep.
func (d *CMDrep) LayerType() gopacket.LayerType { return LayerTypeCMDrep }

// CanDecode gives LayerTypeCMDrep.
func (d *CMDrep) CanDecode() gopacket.LayerClass { return LayerTypeCMDrep }

// NextLayerType gives plain payload, for the private data.
func (d *CMDrep) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// Attribute gives AttrDREP.
func (d *CMDrep) Attribute() AttributeID { return AttrDREP }

// CommIDs gives the communication ids of the sender and of the receiver.
func (d *CMDrep) CommIDs() (local, remote uint32) { return d.LocalCommID, d.RemoteCommID }

// DecodeFromBytes decodes the data of a MAD; the private data is the payload.
func (d *CMDrep) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := d.takeCM(data, "CM DREP", cmIDsLen, df); err != nil {
		return err
	}
	d.LocalCommID, d.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	return nil
}

// SerializeTo writes the message in front of the private data that the buffer
// holds. With FixLengths the private data is padded with zeros to its full
// length.
func (d *CMDrep) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	return serializeCM(b, opts, "CM DREP", d)
}

func (d *CMDrep) size() int { return cmIDsLen }

func (d *CMDrep) put(b []byte) {
	be.PutUint32(b, d.LocalCommID)
	be.PutUint32(b[4:], d.RemoteCommID)
}
