// SPDX-License-Identifier: Apache-2.0

package roce

// MaxMessageLen is the largest length of an RDMA message in bytes, 2^31.
const MaxMessageLen = 1 << 31

// RETH is the RDMA extended transport header (InfiniBand Architecture
// Specification, volume 1, chapter 9.3).
type RETH struct {
	VA     uint64 // virtual address at the responder
	RKey   uint32 // remote key
	DMALen uint32 // length of the whole message in bytes
}

// Decode decodes the first RETHLen bytes; the rest is the payload.
func (r *RETH) Decode(data []byte) error {
	if err := need(data, "RETH", RETHLen); err != nil {
		return err
	}
	r.VA, r.RKey, r.DMALen = be.Uint64(data), be.Uint32(data[8:]), be.Uint32(data[12:])
	return nil
}

// Put writes the header at the beginning of b.
func (r *RETH) Put(b []byte) {
	be.PutUint64(b, r.VA)
	be.PutUint32(b[8:], r.RKey)
	be.PutUint32(b[12:], r.DMALen)
}

// Kind gives ExtRETH.
func (r *RETH) Kind() Ext { return ExtRETH }

// Len gives RETHLen.
func (r *RETH) Len() int { return RETHLen }
