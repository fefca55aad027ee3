// SPDX-License-Identifier: Apache-2.0

package roce

// PSN is a packet sequence number: 24 bits, arithmetic modulo 2^24. Values
// with higher bits set never come out of this package's functions.
type PSN uint32

const (
	psnBits = 24
	psnMask = 1<<psnBits - 1

	// MaxOutstandingPSNs is the largest number of PSNs a requester may have
	// unacknowledged, so that old and new can be told apart.
	MaxOutstandingPSNs = 1<<(psnBits-1) - 1
)

// Add gives the PSN n packets later, or earlier if n is negative.
func (p PSN) Add(n int) PSN { return PSN(int64(p)+int64(n)) & psnMask }

// Sub gives the distance from q to p as a signed 24-bit number: positive if p
// is after q, negative if before; -2^23 if they are half the circle apart.
func (p PSN) Sub(q PSN) int { return int(int32(p-q) << (32 - psnBits) >> (32 - psnBits)) }

// After reports whether p comes after q: 0 < p-q < 2^23.
func (p PSN) After(q PSN) bool { return p.Sub(q) > 0 }

// Before reports whether p comes before q.
func (p PSN) Before(q PSN) bool { return p.Sub(q) < 0 }

// In reports whether p is one of the n PSNs that begin with first.
func (p PSN) In(first PSN, n int) bool { return int((p-first)&psnMask) < n }
