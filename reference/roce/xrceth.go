// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// XRCETH is the XRC extended transport header, which names the shared receive
// queue a request of an extended reliable connection is for (InfiniBand
// Architecture Specification, annex A14).
type XRCETH struct {
	chained
	Reserved uint8  // byte 0
	SRQ      uint32 // 24 bits: XRC shared receive queue number
}

// DecodeFromBytes decodes the first XRCETHLen bytes; the rest is the payload.
func (x *XRCETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := x.take(data, "XRCETH", XRCETHLen, df); err != nil {
		return err
	}
	x.Reserved, x.SRQ = data[0], uint24(data[1:])
	return nil
}

func (x *XRCETH) put(b []byte) {
	b[0] = x.Reserved
	putUint24(b[1:], x.SRQ)
}

// LayerType gives LayerTypeXRCETH.
func (x *XRCETH) LayerType() gopacket.LayerType { return LayerTypeXRCETH }

// CanDecode gives LayerTypeXRCETH.
func (x *XRCETH) CanDecode() gopacket.LayerClass { return LayerTypeXRCETH }

// NextLayerType gives what follows by the opcode of the packet.
func (x *XRCETH) NextLayerType() gopacket.LayerType { return x.nextExt(ExtXRCETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (x *XRCETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, x)
}

func (x *XRCETH) size() int { return XRCETHLen }
