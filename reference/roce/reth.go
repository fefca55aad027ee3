// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// MaxMessageLen is the largest length of an RDMA message in bytes, 2^31.
const MaxMessageLen = 1 << 31

// RETH is the RDMA extended transport header (InfiniBand Architecture
// Specification, volume 1, chapter 9.3).
type RETH struct {
	chained
	VA     uint64 // virtual address at the responder
	RKey   uint32 // remote key
	DMALen uint32 // length of the whole message in bytes
}

// DecodeFromBytes decodes the first RETHLen bytes; the rest is the payload.
func (r *RETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := r.take(data, "RETH", RETHLen, df); err != nil {
		return err
	}
	r.VA, r.RKey, r.DMALen = be.Uint64(data), be.Uint32(data[8:]), be.Uint32(data[12:])
	return nil
}

func (r *RETH) put(b []byte) {
	be.PutUint64(b, r.VA)
	be.PutUint32(b[8:], r.RKey)
	be.PutUint32(b[12:], r.DMALen)
}

// LayerType gives LayerTypeRETH.
func (r *RETH) LayerType() gopacket.LayerType { return LayerTypeRETH }

// CanDecode gives LayerTypeRETH.
func (r *RETH) CanDecode() gopacket.LayerClass { return LayerTypeRETH }

// NextLayerType gives what follows by the opcode of the packet.
func (r *RETH) NextLayerType() gopacket.LayerType { return r.nextExt(ExtRETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (r *RETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, r)
}

func (r *RETH) size() int { return RETHLen }
