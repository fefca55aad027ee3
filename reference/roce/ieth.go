// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// IETH is the invalidate extended transport header: the remote key that the
// responder invalidates after it has placed the SEND.
type IETH struct {
	chained
	RKey uint32
}

// DecodeFromBytes decodes the first IETHLen bytes; the rest is the payload.
func (i *IETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := i.take(data, "IETH", IETHLen, df); err != nil {
		return err
	}
	i.RKey = be.Uint32(data)
	return nil
}

func (i *IETH) put(b []byte) {
	be.PutUint32(b, i.RKey)
}

// LayerType gives LayerTypeIETH.
func (i *IETH) LayerType() gopacket.LayerType { return LayerTypeIETH }

// CanDecode gives LayerTypeIETH.
func (i *IETH) CanDecode() gopacket.LayerClass { return LayerTypeIETH }

// NextLayerType gives what follows by the opcode of the packet.
func (i *IETH) NextLayerType() gopacket.LayerType { return i.nextExt(ExtIETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (i *IETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, i)
}

func (i *IETH) size() int { return IETHLen }
