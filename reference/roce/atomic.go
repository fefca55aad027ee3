// SPDX-License-Identifier: Apache-2.0

package roce

import "github.com/google/gopacket"

// AtomicETH is the header of a Compare & Swap or Fetch & Add request
// (InfiniBand Architecture Specification, volume 1, chapter 9.3). Operands
// travel as big-endian numbers, whatever the byte order of the memory.
type AtomicETH struct {
	chained
	VA      uint64 // virtual address at the responder, a multiple of 8
	RKey    uint32 // remote key
	SwapAdd uint64 // value to swap in, or to add
	Compare uint64 // value to compare with; Fetch & Add ignores it
}

// DecodeFromBytes decodes the first AtomicETHLen bytes; the rest is the payload.
func (a *AtomicETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := a.take(data, "AtomicETH", AtomicETHLen, df); err != nil {
		return err
	}
	a.VA, a.RKey = be.Uint64(data), be.Uint32(data[8:])
	a.SwapAdd, a.Compare = be.Uint64(data[12:]), be.Uint64(data[20:])
	return nil
}

func (a *AtomicETH) put(b []byte) {
	be.PutUint64(b, a.VA)
	be.PutUint32(b[8:], a.RKey)
	be.PutUint64(b[12:], a.SwapAdd)
	be.PutUint64(b[20:], a.Compare)
}

// LayerType gives LayerTypeAtomicETH.
func (a *AtomicETH) LayerType() gopacket.LayerType { return LayerTypeAtomicETH }

// CanDecode gives LayerTypeAtomicETH.
func (a *AtomicETH) CanDecode() gopacket.LayerClass { return LayerTypeAtomicETH }

// NextLayerType gives what follows by the opcode of the packet.
func (a *AtomicETH) NextLayerType() gopacket.LayerType { return a.nextExt(ExtAtomicETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (a *AtomicETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, a)
}

func (a *AtomicETH) size() int { return AtomicETHLen }

// AtomicAckETH is the header of an atomic response, after the AETH.
type AtomicAckETH struct {
	chained
	Original uint64 // value in memory before the operation
}

// DecodeFromBytes decodes the first AtomicAckETHLen bytes; the rest is the payload.
func (a *AtomicAckETH) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	if err := a.take(data, "AtomicAckETH", AtomicAckETHLen, df); err != nil {
		return err
	}
	a.Original = be.Uint64(data)
	return nil
}

func (a *AtomicAckETH) put(b []byte) {
	be.PutUint64(b, a.Original)
}

// LayerType gives LayerTypeAtomicAckETH.
func (a *AtomicAckETH) LayerType() gopacket.LayerType { return LayerTypeAtomicAckETH }

// CanDecode gives LayerTypeAtomicAckETH.
func (a *AtomicAckETH) CanDecode() gopacket.LayerClass { return LayerTypeAtomicAckETH }

// NextLayerType gives what follows by the opcode of the packet.
func (a *AtomicAckETH) NextLayerType() gopacket.LayerType { return a.nextExt(ExtAtomicAckETH) }

// SerializeTo writes the header in front of what the buffer holds.
func (a *AtomicAckETH) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return prepend(b, a)
}

func (a *AtomicAckETH) size() int { return AtomicAckETHLen }
