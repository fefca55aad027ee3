// SPDX-License-Identifier: Apache-2.0

package roce

// AtomicETH is the header of a Compare & Swap or Fetch & Add request
// (InfiniBand Architecture Specification, volume 1, chapter 9.3). Operands
// travel as big-endian numbers, whatever the byte order of the memory.
type AtomicETH struct {
	VA      uint64 // virtual address at the responder, a multiple of 8
	RKey    uint32 // remote key
	SwapAdd uint64 // value to swap in, or to add
	Compare uint64 // value to compare with; Fetch & Add ignores it
}

// Decode decodes the first AtomicETHLen bytes; the rest is the payload.
func (a *AtomicETH) Decode(data []byte) error {
	if err := need(data, "AtomicETH", AtomicETHLen); err != nil {
		return err
	}
	a.VA, a.RKey = be.Uint64(data), be.Uint32(data[8:])
	a.SwapAdd, a.Compare = be.Uint64(data[12:]), be.Uint64(data[20:])
	return nil
}

// Put writes the header at the beginning of b.
func (a *AtomicETH) Put(b []byte) {
	be.PutUint64(b, a.VA)
	be.PutUint32(b[8:], a.RKey)
	be.PutUint64(b[12:], a.SwapAdd)
	be.PutUint64(b[20:], a.Compare)
}

// Kind gives ExtAtomicETH.
func (a *AtomicETH) Kind() Ext { return ExtAtomicETH }

// Len gives AtomicETHLen.
func (a *AtomicETH) Len() int { return AtomicETHLen }

// AtomicAckETH is the header of an atomic response, after the AETH.
type AtomicAckETH struct {
	Original uint64 // value in memory before the operation
}

// Decode decodes the first AtomicAckETHLen bytes; the rest is the payload.
func (a *AtomicAckETH) Decode(data []byte) error {
	if err := need(data, "AtomicAckETH", AtomicAckETHLen); err != nil {
		return err
	}
	a.Original = be.Uint64(data)
	return nil
}

// Put writes the header at the beginning of b.
func (a *AtomicAckETH) Put(b []byte) {
	be.PutUint64(b, a.Original)
}

// Kind gives ExtAtomicAckETH.
func (a *AtomicAckETH) Kind() Ext { return ExtAtomicAckETH }

// Len gives AtomicAckETHLen.
func (a *AtomicAckETH) Len() int { return AtomicAckETHLen }
