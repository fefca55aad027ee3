// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// CMRtu is the message RTU, ready to use: the active side has its queue pair in
// order (InfiniBand Architecture Specification, volume 1, chapter 12.6.9).
type CMRtu struct {
	chained
	LocalCommID  uint32 // of the sender
	RemoteCommID uint32 // of the receiver
}

// LayerType gives LayerTypeCMRtu.
func (r *CMRtu) LayerType() gopacket.LayerType { return LayerTypeCMRtu }

// CanDecode gives LayerTypeCMRtu.
func (r *CMRtu) CanDecode() gopacket.LayerClass { return LayerTypeCMRtu }

// NextLayerType gives plain payload, for the private data.
func (r *CMRtu) NextLayerType() gopacket.LayerType { return gopacket.LayerTypePayload }

// Attribute gives AttrRTU.
func (r *CMRtu) Attribute() AttributeID { return AttrRTU }

// CommIDs gives the communication ids of the sender and of the receiver.
func (r *CMRtu) CommIDs() (local, remote uint32) { return r.LocalCommID, r.RemoteCommID }

// DecodeFromBytes decodes the data of a MAD; the private data is the payload.
func (r *CMRtu) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := r.takeCM(data, "CM RTU", cmIDsLen, df); err != nil {
		return err
	}
	r.LocalCommID, r.RemoteCommID = be.Uint32(data), be.Uint32(data[4:])
	return nil
}

// SerializeTo writes the message in front of the private data that the buffer
// holds. With FixLengths the private data is padded with zeros to its full
// length.
func (r *CMRtu) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	return serializeCM(b, opts, "CM RTU", r)
}

func (r *CMRtu) size() int { return cmIDsLen }

func (r *CMRtu) put(b []byte) {
	be.PutUint32(b, r.LocalCommID)
	be.PutUint32(b[4:], r.RemoteCommID)
}
