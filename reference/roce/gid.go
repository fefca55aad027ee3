// SPDX-License-Identifier: Apache-2.0

package roce

import "net/netip"

// GID is a global identifier. In RoCEv2 it is the IP address: IPv6 as it is,
// IPv4 in its mapped form ::ffff:a.b.c.d (RoCEv2 annex A17).
type GID [16]byte

// GIDOf gives the GID of an IP address, the zero GID for the zero Addr. A zone
// is dropped.
func GIDOf(a netip.Addr) GID {
	if !a.IsValid() {
		return GID{}
	}
	return a.As16()
}

// Addr gives the IP address of the GID: IPv4 if it is a mapped one, else IPv6.
func (g GID) Addr() netip.Addr { return netip.AddrFrom16(g).Unmap() }

// IsZero reports whether all bytes are zero.
func (g GID) IsZero() bool { return g == GID{} }

// String gives the IP address in its usual notation.
func (g GID) String() string { return g.Addr().String() }
