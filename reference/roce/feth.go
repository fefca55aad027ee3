// SPDX-License-Identifier: Apache-2.0

package roce

// FETH is the flush extended transport header (InfiniBand Architecture
// Specification, memory placement extensions annex).
type FETH struct {
	Reserved    uint32 // 26 bits
	Selectivity uint8  // 2 bits: 0 address range, 1 memory region
	Placement   uint8  // 4 bits: 1 global visibility, 2 persistence
}

// Decode decodes the first FETHLen bytes; the rest is the payload.
func (f *FETH) Decode(data []byte) error {
	if err := need(data, "FETH", FETHLen); err != nil {
		return err
	}
	v := be.Uint32(data)
	f.Reserved, f.Selectivity, f.Placement = v>>6, uint8(v>>4&3), uint8(v&0x0F)
	return nil
}

// Put writes the header at the beginning of b.
func (f *FETH) Put(b []byte) {
	be.PutUint32(b, f.Reserved<<6|uint32(f.Selectivity&3)<<4|uint32(f.Placement&0x0F))
}

// Kind gives ExtFETH.
func (f *FETH) Kind() Ext { return ExtFETH }

// Len gives FETHLen.
func (f *FETH) Len() int { return FETHLen }
