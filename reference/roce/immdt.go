// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// ImmDt is immediate data: four bytes for the consumer at the responder,
// by convention in network order.
type ImmDt struct {
	chained
	Value uint32
}

// DecodeFromBytes decodes the first ImmDtLen bytes; the rest is the payload.
func (i *ImmDt) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := i.take(data, "ImmDt", ImmDtLen, df); err != nil {
		return err
	}
	i.Value = be.Uint32(data)
	return nil
}

func (i *ImmDt) put(b []byte) {
	be.PutUint32(b, i.Value)
}

// LayerType gives LayerTypeImmDt.
func (i *ImmDt) LayerType() gopacket.LayerType { return LayerTypeImmDt }

// CanDecode gives LayerTypeImmDt.
func (i *ImmDt) CanDecode() gopacket.LayerClass { return LayerTypeImmDt }

// NextLayerType gives what follows by the opcode of the packet.
func (i *ImmDt) NextLayerType() gopacket.LayerType { return i.nextExt(ExtImmDt) }

// SerializeTo writes the header in front of what the buffer holds.
func (i *ImmDt) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, i)
}

func (i *ImmDt) size() int { return ImmDtLen }
