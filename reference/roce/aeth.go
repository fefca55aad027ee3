// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// AETH is the ACK extended transport header of acknowledgements and of READ and
// atomic responses (InfiniBand Architecture Specification, volume 1, chapter
// 9.3).
type AETH struct {
	chained
	Syndrome Syndrome // what is acknowledged, or refused
	MSN      uint32   // 24 bits: message sequence number of the responder
}

// DecodeFromBytes decodes the first AETHLen bytes; the rest is the payload.
func (a *AETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := a.take(data, "AETH", AETHLen, df); err != nil {
		return err
	}
	a.Syndrome, a.MSN = Syndrome(data[0]), uint24(data[1:])
	return nil
}

func (a *AETH) put(b []byte) {
	b[0] = byte(a.Syndrome)
	putUint24(b[1:], a.MSN)
}

// LayerType gives LayerTypeAETH.
func (a *AETH) LayerType() gopacket.LayerType { return LayerTypeAETH }

// CanDecode gives LayerTypeAETH.
func (a *AETH) CanDecode() gopacket.LayerClass { return LayerTypeAETH }

// NextLayerType gives what follows by the opcode of the packet.
func (a *AETH) NextLayerType() gopacket.LayerType { return a.nextExt(ExtAETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (a *AETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, a)
}

func (a *AETH) size() int { return AETHLen }
