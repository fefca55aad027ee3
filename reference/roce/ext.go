// SPDX-License-Identifier: Apache-2.0

package roce

import "math/bits"

// Ext is a set of extension headers. The bits stand in wire order: in every
// packet an extension header with a lower bit precedes one with a higher bit,
// so the set alone fixes the layout (InfiniBand Architecture Specification,
// volume 1, chapter 9.2: RETH precedes ImmDt; FETH precedes RETH).
type Ext uint16

// The extension headers, in wire order.
const (
	ExtXRCETH       Ext = 1 << iota // XRC, 4 bytes
	ExtDETH                         // datagram, 8 bytes
	ExtFETH                         // flush, 4 bytes
	ExtRETH                         // RDMA, 16 bytes
	ExtAtomicETH                    // atomic request, 28 bytes
	ExtAETH                         // acknowledge, 4 bytes
	ExtAtomicAckETH                 // atomic response, 8 bytes
	ExtImmDt                        // immediate data, 4 bytes
	ExtIETH                         // invalidate, 4 bytes
	ExtCNP                          // reserved bytes of a CNP, 16 bytes
)

// extCount is the number of extension headers there are.
const extCount = 10

// Lengths of the headers in bytes.
const (
	BTHLen          = 12 // base transport header
	XRCETHLen       = 4  // XRC extended transport header
	DETHLen         = 8  // datagram extended transport header
	FETHLen         = 4  // flush extended transport header
	RETHLen         = 16 // RDMA extended transport header
	AtomicETHLen    = 28 // atomic extended transport header
	AETHLen         = 4  // ACK extended transport header
	AtomicAckETHLen = 8  // atomic ACK extended transport header
	ImmDtLen        = 4  // immediate data
	IETHLen         = 4  // invalidate extended transport header
	CNPReservedLen  = 16 // reserved bytes of a congestion notification packet
	ICRCLen         = 4  // invariant CRC
)

// extLens and extNames are indexed by bit number.
var (
	extLens = [extCount]int{
		XRCETHLen, DETHLen, FETHLen, RETHLen, AtomicETHLen,
		AETHLen, AtomicAckETHLen, ImmDtLen, IETHLen, CNPReservedLen,
	}
	extNames = [extCount]string{
		"XRCETH", "DETH", "FETH", "RETH", "AtomicETH",
		"AETH", "AtomicAckETH", "ImmDt", "IETH", "CNP reserved",
	}
)

// Has reports whether every header of want is in the set.
func (e Ext) Has(want Ext) bool { return e&want == want }

// Len is the length of all headers of the set together, in bytes.
func (e Ext) Len() int {
	n := 0
	for ; e != 0; e &= e - 1 {
		n += extLens[bits.TrailingZeros16(uint16(e))]
	}
	return n
}

// String lists the headers in wire order, joined by "+".
func (e Ext) String() string {
	s := ""
	for ; e != 0; e &= e - 1 {
		if s != "" {
			s += "+"
		}
		s += extNames[bits.TrailingZeros16(uint16(e))]
	}
	return s
}

// first gives the header of the set that stands first on the wire, 0 if none.
func (e Ext) first() Ext { return e & -e }
