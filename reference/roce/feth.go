// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// FETH is the flush extended transport header (InfiniBand Architecture
// Specification, memory placement extensions annex).
type FETH struct {
	chained
	Reserved    uint32 // 26 bits
	Selectivity uint8  // 2 bits: 0 address range, 1 memory region
	Placement   uint8  // 4 bits: 1 global visibility, 2 persistence
}

// DecodeFromBytes decodes the first FETHLen bytes; the rest is the payload.
func (f *FETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := f.take(data, "FETH", FETHLen, df); err != nil {
		return err
	}
	v := be.Uint32(data)
	f.Reserved, f.Selectivity, f.Placement = v>>6, uint8(v>>4&3), uint8(v&0x0F)
	return nil
}

func (f *FETH) put(b []byte) {
	be.PutUint32(b, f.Reserved<<6|uint32(f.Selectivity&3)<<4|uint32(f.Placement&0x0F))
}

// LayerType gives LayerTypeFETH.
func (f *FETH) LayerType() gopacket.LayerType { return LayerTypeFETH }

// CanDecode gives LayerTypeFETH.
func (f *FETH) CanDecode() gopacket.LayerClass { return LayerTypeFETH }

// NextLayerType gives what follows by the opcode of the packet.
func (f *FETH) NextLayerType() gopacket.LayerType { return f.nextExt(ExtFETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (f *FETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, f)
}

func (f *FETH) size() int { return FETHLen }
