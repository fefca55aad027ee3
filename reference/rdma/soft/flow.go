// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/roce"
)

const (
	ipProtoUDP   = 17
	flagDontFrag = 0x4000
)

// flow is what all packets from one address to another have in common: the IP and UDP headers with the lengths left
// out. The IPv4 identification is 0 with "don't fragment" set, because that is what an ordinary UDP socket can be made
// to send, and the ICRC covers both.
type flow struct {
	header [ipv6Len + udpLen]byte
	ipLen  int
}

// newFlow makes a flow. tos is the IPv4 type of service or the IPv6 traffic class, ttl the time to live or hop limit.
func newFlow(src, dst netip.Addr, srcPort uint16, tos, ttl uint8) flow {
	var f flow
	h := f.header[:]
	if src.Is4() {
		f.ipLen = ipv4Len
		h[0], h[1], h[8], h[9] = 0x45, tos, ttl, ipProtoUDP
		be.PutUint16(h[6:], flagDontFrag)
		s, d := src.As4(), dst.As4()
		copy(h[12:], s[:])
		copy(h[16:], d[:])
	} else {
		f.ipLen = ipv6Len
		be.PutUint32(h, 6<<28|uint32(tos)<<20)
		h[6], h[7] = ipProtoUDP, ttl
		s, d := src.As16(), dst.As16()
		copy(h[8:], s[:])
		copy(h[24:], d[:])
	}
	be.PutUint16(h[f.ipLen:], srcPort)
	be.PutUint16(h[f.ipLen+2:], roce.UDPPort)
	return f
}

// start gives a packet of this flow with a UDP payload of n bytes, of which all but the addresses is unset.
func (f *flow) start(n int) *Packet {
	p := newPacket(n)
	p.ip = p.bth - udpLen - f.ipLen
	p.end = p.bth + n
	copy(p.buf[p.ip:], f.header[:f.ipLen+udpLen])
	p.setLengths()
	return p
}

// setLengths makes the lengths in the IP and UDP headers fit the payload.
func (p *Packet) setLengths() {
	ip, n := p.IP(), p.end-p.bth
	if len(ip) == ipv4Len {
		be.PutUint16(ip[2:], uint16(ipv4Len+udpLen+n))
	} else {
		be.PutUint16(ip[4:], uint16(udpLen+n))
	}
	be.PutUint16(p.UDP()[4:], uint16(udpLen+n))
}
