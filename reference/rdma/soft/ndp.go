// SPDX-License-Identifier: Apache-2.0

package soft

import "net/netip"

const (
	ipProtoICMPv6 = 58
	ndHopLimit    = 255 // of every neighbour discovery message: it has not passed a router (RFC 4861)
)

// A neighbour solicitation or advertisement (RFC 4861, sections 4.3 and 4.4): ICMPv6 type, code and check sum, flags, the address
// that is asked for, and options of a type, a length in units of 8 bytes and a value.
const (
	ndSolicitation  = 135
	ndAdvertisement = 136

	ndChecksum = 2
	ndFlags    = 4
	ndTarget   = 8
	ndLen      = 24 // without options

	naSolicited = 0x40 // flags of an advertisement
	naOverride  = 0x20

	ndOptionUnit   = 8
	ndOptionHeader = 2
	ndSourceMAC    = 1 // option of a solicitation: the MAC address of the sender
	ndTargetMAC    = 2 // option of an advertisement: the MAC address of the target
)

var allNodes = netip.MustParseAddr("ff02::1")

// solicitedNode gives the multicast address that the owner of an address listens on (RFC 4291).
func solicitedNode(addr netip.Addr) netip.Addr {
	a := addr.As16()
	return netip.AddrFrom16([16]byte{0: 0xFF, 1: 0x02, 11: 0x01, 12: 0xFF, 13: a[13], 14: a[14], 15: a[15]})
}

// multicastMAC gives the Ethernet address of an IPv6 multicast address (RFC 2464).
func multicastMAC(addr netip.Addr) mac {
	a := addr.As16()
	return mac{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// sendSolicitation asks for the owner of an address.
func (l *FrameLink) sendSolicitation(target netip.Addr) {
	to := solicitedNode(target)
	l.sendDiscovery(to, multicastMAC(to), ndSolicitation, 0, target, ndSourceMAC)
}

// sendAdvertisement tells that this link has its address.
func (l *FrameLink) sendAdvertisement(to netip.Addr, toMAC mac, solicited bool) {
	flags := uint8(naOverride)
	if solicited {
		flags |= naSolicited
	}
	l.sendDiscovery(to, toMAC, ndAdvertisement, flags, l.addr, ndTargetMAC)
}

// sendDiscovery sends a neighbour discovery message with this link's MAC address as its one option.
func (l *FrameLink) sendDiscovery(to netip.Addr, toMAC mac, kind, flags uint8, target netip.Addr, option uint8) {
	const size = ndLen + ndOptionUnit
	frame := l.newFrame(toMAC, etherTypeIPv6, ipv6Len+size)
	ip := frame[ethernetLen:]
	ip[0] = 6 << 4
	be.PutUint16(ip[4:], size)
	ip[6], ip[7] = ipProtoICMPv6, ndHopLimit
	copy(ip[8:], l.addr.AsSlice())
	copy(ip[24:], to.AsSlice())
	m := ip[ipv6Len : ipv6Len+size]
	m[0], m[ndFlags] = kind, flags
	copy(m[ndTarget:], target.AsSlice())
	m[ndLen], m[ndLen+1] = option, 1
	copy(m[ndLen+ndOptionHeader:], l.mac[:])
	be.PutUint16(m[ndChecksum:], ^icmpv6Sum(ip, m))
	_ = l.frames.Send(frame) // what is lost is asked again
}

// icmpv6Sum is the sum over an ICMPv6 message and the addresses of its IPv6 header; with a right check sum it is 0xFFFF.
func icmpv6Sum(ip, message []byte) uint16 {
	return onesSum(uint32(onesSum(ipProtoICMPv6+uint32(len(message)), ip[8:40])), message)
}

// onICMPv6 handles neighbour solicitations and advertisements; all else is ignored.
func (l *FrameLink) onICMPv6(frame []byte) {
	ip := frame[ethernetLen:]
	length := int(be.Uint16(ip[4:]))
	if ip[7] != ndHopLimit || length < ndLen || len(ip) < ipv6Len+length {
		return
	}
	m := ip[ipv6Len : ipv6Len+length]
	if m[1] != 0 || icmpv6Sum(ip, m) != 0xFFFF {
		return
	}
	target := netip.AddrFrom16([16]byte(m[ndTarget:]))
	switch m[0] {
	case ndSolicitation:
		l.onSolicitation(netip.AddrFrom16([16]byte(ip[8:])), mac(frame[6:]), target, m[ndLen:])
	case ndAdvertisement:
		if at, told := macOption(m[ndLen:], ndTargetMAC); told && target != l.addr {
			l.neighbours.refresh(target, at)
		}
	}
}

func (l *FrameLink) onSolicitation(src netip.Addr, from mac, target netip.Addr, options []byte) {
	if target != l.addr {
		return
	}
	if src.IsUnspecified() { // somebody asks whether the address is free
		l.sendAdvertisement(allNodes, multicastMAC(allNodes), false)
		return
	}
	at, told := macOption(options, ndSourceMAC)
	if !told {
		at = from
	}
	l.neighbours.learn(src, at)
	l.sendAdvertisement(src, at, true)
}

// macOption finds a MAC address among the options of a message. An option of length 0 ends the search: such a message is to be
// ignored (RFC 4861, section 4.6).
func macOption(options []byte, kind uint8) (at mac, found bool) {
	for len(options) >= ndOptionUnit {
		size := int(options[1]) * ndOptionUnit
		if size == 0 || size > len(options) {
			return mac{}, false
		}
		if options[0] == kind {
			return mac(options[ndOptionHeader:]), true
		}
		options = options[size:]
	}
	return mac{}, false
}
