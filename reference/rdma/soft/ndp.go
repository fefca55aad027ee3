// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	ipProtoICMPv6 = 58
	ndHopLimit    = 255 // of every neighbour discovery message: it has not passed a router (RFC 4861)

	naSolicited = 0x40 // flags of a neighbour advertisement
	naOverride  = 0x20
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
	l.sendICMPv6(to, multicastMAC(to), layers.ICMPv6TypeNeighborSolicitation, &layers.ICMPv6NeighborSolicitation{
		TargetAddress: target.AsSlice(),
		Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: l.mac[:]}},
	})
}

// sendAdvertisement tells that this link has its address.
func (l *FrameLink) sendAdvertisement(to netip.Addr, toMAC mac, solicited bool) {
	flags := uint8(naOverride)
	if solicited {
		flags |= naSolicited
	}
	l.sendICMPv6(to, toMAC, layers.ICMPv6TypeNeighborAdvertisement, &layers.ICMPv6NeighborAdvertisement{
		Flags:         flags,
		TargetAddress: l.addr.AsSlice(),
		Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: l.mac[:]}},
	})
}

func (l *FrameLink) sendICMPv6(to netip.Addr, toMAC mac, kind uint8, message gopacket.SerializableLayer) {
	ip := &layers.IPv6{
		Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: ndHopLimit, SrcIP: l.addr.AsSlice(), DstIP: to.AsSlice(),
	}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err) // it is IPv6
	}
	l.sendLayers(&layers.Ethernet{SrcMAC: l.mac[:], DstMAC: toMAC[:], EthernetType: layers.EthernetTypeIPv6}, ip, icmp, message)
}

// onICMPv6 handles neighbour solicitations and advertisements; all else is ignored.
func (l *FrameLink) onICMPv6(frame []byte) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	ip, ok := p.NetworkLayer().(*layers.IPv6)
	if !ok || ip.HopLimit != ndHopLimit || !goodICMPv6(ip) {
		return
	}
	src, _ := netip.AddrFromSlice(ip.SrcIP)
	switch m := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(type) {
	case *layers.ICMPv6NeighborSolicitation:
		l.onSolicitation(src, mac(frame[6:12]), m)
	}
	switch m := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(type) {
	case *layers.ICMPv6NeighborAdvertisement:
		l.onAdvertisement(m)
	}
}

// goodICMPv6 checks the check sum, which covers the addresses.
func goodICMPv6(ip *layers.IPv6) bool {
	body := ip.LayerPayload()
	if int(ip.Length) != len(body) {
		return false
	}
	sum := onesSum(ipProtoICMPv6+uint32(len(body)), ip.LayerContents()[8:40])
	return onesSum(uint32(sum), body) == 0xFFFF
}

func (l *FrameLink) onSolicitation(src netip.Addr, from mac, m *layers.ICMPv6NeighborSolicitation) {
	target, ok := netip.AddrFromSlice(m.TargetAddress)
	if !ok || target != l.addr {
		return
	}
	if src.IsUnspecified() { // somebody asks whether the address is free
		l.sendAdvertisement(allNodes, multicastMAC(allNodes), false)
		return
	}
	at := from
	for _, o := range m.Options {
		if o.Type == layers.ICMPv6OptSourceAddress && len(o.Data) >= len(at) {
			at = mac(o.Data[:len(at)])
		}
	}
	l.neighbours.learn(src, at)
	l.sendAdvertisement(src, at, true)
}

func (l *FrameLink) onAdvertisement(m *layers.ICMPv6NeighborAdvertisement) {
	target, ok := netip.AddrFromSlice(m.TargetAddress)
	if !ok || target == l.addr {
		return
	}
	for _, o := range m.Options {
		if o.Type == layers.ICMPv6OptTargetAddress && len(o.Data) >= len(mac{}) {
			l.neighbours.refresh(target, mac(o.Data[:len(mac{})]))
		}
	}
}
