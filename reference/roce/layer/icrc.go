// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"encoding/binary"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Lengths of the headers below the BTH in bytes.
const (
	ipv4Len = 20
	ipv6Len = 40
	udpLen  = 8
)

var be = binary.BigEndian

// CheckPacketICRC judges the ICRC of a packet that gopacket has decoded. A
// packet without IP or UDP layer is unverifiable.
func CheckPacketICRC(p gopacket.Packet) roce.ICRCVerdict {
	ip, udp := p.NetworkLayer(), p.TransportLayer()
	if ip == nil || udp == nil {
		return roce.ICRCUnverifiable
	}
	return roce.CheckICRC(ip.LayerContents(), udp.LayerContents(), udp.LayerPayload())
}

// computeICRC sums rest (BTH to pad) with the headers that will be serialized
// in front of it. With fix their length fields are those that gopacket will
// give them, else those in the layers.
func (b *BTH) computeICRC(rest []byte, fix bool) (uint32, error) {
	if b.network == nil || b.udp == nil {
		return 0, errNoHeaders
	}
	udpLength := b.udp.Length
	if fix {
		udpLength = uint16(udpLen + len(rest) + roce.ICRCLen)
	}
	var udp [udpLen]byte
	be.PutUint16(udp[0:], uint16(b.udp.SrcPort))
	be.PutUint16(udp[2:], uint16(b.udp.DstPort))
	be.PutUint16(udp[4:], udpLength)

	ip, err := ipHeader(b.network, udpLength, fix)
	if err != nil {
		return 0, err
	}
	return roce.ICRC(ip, udp[:], rest)
}

// ipHeader writes the covered fields of an IP layer; the others stay zero. With
// fix the length field is made to fit a UDP datagram of udpLength bytes.
func ipHeader(network gopacket.NetworkLayer, udpLength uint16, fix bool) ([]byte, error) {
	switch ip := network.(type) {
	case *layers.IPv4:
		return ipv4Header(ip, udpLength, fix)
	case *layers.IPv6:
		return ipv6Header(ip, udpLength, fix)
	}
	return nil, fmt.Errorf("BTH: computing the ICRC over a %v layer: must be IPv4 or IPv6", network.LayerType())
}

func ipv4Header(ip *layers.IPv4, udpLength uint16, fix bool) ([]byte, error) {
	src, dst := ip.SrcIP.To4(), ip.DstIP.To4()
	if src == nil || dst == nil {
		return nil, fmt.Errorf("BTH: computing the ICRC: IPv4 addresses %v and %v: must be 4 bytes long", ip.SrcIP, ip.DstIP)
	}
	if len(ip.Options) > 0 {
		return nil, tooLong("BTH", "number of IPv4 options under an ICRC", len(ip.Options), 0)
	}
	length, ihl := ip.Length, ip.IHL
	if fix {
		length, ihl = ipv4Len+udpLength, ipv4Len/4
	}
	h := make([]byte, ipv4Len)
	h[0] = ip.Version<<4 | ihl
	be.PutUint16(h[2:], length)
	be.PutUint16(h[4:], ip.Id)
	be.PutUint16(h[6:], uint16(ip.Flags)<<13|ip.FragOffset)
	h[9] = byte(ip.Protocol)
	copy(h[12:], src)
	copy(h[16:], dst)
	return h, nil
}

func ipv6Header(ip *layers.IPv6, udpLength uint16, fix bool) ([]byte, error) {
	src, dst := ip.SrcIP.To16(), ip.DstIP.To16()
	if src == nil || dst == nil {
		return nil, fmt.Errorf("BTH: computing the ICRC: IPv6 addresses %v and %v: must be 16 bytes long", ip.SrcIP, ip.DstIP)
	}
	if ip.HopByHop != nil {
		return nil, tooLong("BTH", "number of IPv6 extension headers under an ICRC", 1, 0)
	}
	length := ip.Length
	if fix {
		length = udpLength
	}
	h := make([]byte, ipv6Len)
	h[0] = ip.Version << 4
	be.PutUint16(h[4:], length)
	h[6] = byte(ip.NextHeader)
	copy(h[8:], src)
	copy(h[24:], dst)
	return h, nil
}
