// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"fmt"
	"math/bits"
	"net/netip"
)

// EtherTypes and IP protocol numbers.
const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86DD
	etherTypeVLAN = 0x8100
	protocolUDP   = 17

	isFragment = 0x3FFF // more fragments, or a fragment offset

	ethernetLen = 14
	vlanLen     = 4
)

// MAC is an Ethernet address.
type MAC [6]byte

// Packet is one RoCEv2 packet, decoded without allocating:
// for trackers, wires and endpoints, which reuse one Packet for many frames. The
// slices in it refer to the decoded bytes.
//
// Of the extension headers those named by BTH.OpCode.Ext are valid, see
// [Packet.Has]; the others hold what an earlier packet left there.
//
// To build a packet, fill the fields and call [Packet.AppendFrame],
// [Packet.AppendIP] or [Packet.AppendUDPPayload].
type Packet struct {
	// Ethernet; zero if decoded from an IP packet or a UDP payload.
	DstMAC, SrcMAC MAC
	Tagged         bool   // one 802.1Q tag stands before the EtherType
	VLAN           uint16 // tag control information, if Tagged

	// IP
	Src, Dst     netip.Addr // both IPv4 or both IPv6
	TrafficClass uint8      // DSCP and ECN: the IPv4 TOS byte, the IPv6 traffic class
	HopLimit     uint8      // the IPv4 TTL
	FlowLabel    uint32     // IPv6 only, 20 bits
	IPID         uint16     // IPv4 only: identification
	IPFragment   uint16     // IPv4 only: flags in bits 15:13, fragment offset below

	// UDP
	SrcPort     uint16
	DstPort     uint16 // UDPPort in every decoded packet
	UDPLength   uint16
	UDPChecksum uint16

	// RoCEv2
	BTH          BTH
	XRCETH       XRCETH
	DETH         DETH
	FETH         FETH
	RETH         RETH
	AtomicETH    AtomicETH
	AETH         AETH
	AtomicAckETH AtomicAckETH
	ImmDt        ImmDt
	IETH         IETH
	CNPReserved  CNPReserved
	Payload      []byte // data after the extension headers, without pad and ICRC

	// IPOffset, UDPOffset, BTHOffset and PayloadOffset are places in the decoded
	// bytes; those of headers that were not among these are -1.
	IPOffset, UDPOffset, BTHOffset, PayloadOffset int

	// Truncated says that bytes promised by the UDP length are missing.
	Truncated bool

	lrh []byte // local route header of InfiniBand, nil if there is none
	ip  []byte // IP header, nil if it was not among the decoded bytes; without udp a global route header
	udp []byte // UDP header, likewise
	dgm []byte // UDP payload, trailing bytes included
}

// Decode decodes an Ethernet frame, with or without one 802.1Q tag. A frame that
// is not RoCEv2 gives [ErrNotRoCE]; anything else that is wrong gives an [Error]
// that wraps [ErrTruncated] or [ErrMalformed]. After an error the fields of
// headers that could be read are valid.
func (p *Packet) Decode(frame []byte) error {
	if len(frame) < ethernetLen {
		return tooShort("Ethernet", "length", len(frame), ethernetLen, ErrTruncated)
	}
	copy(p.DstMAC[:], frame)
	copy(p.SrcMAC[:], frame[6:])
	p.Tagged, p.VLAN = false, 0
	etherType, at := be.Uint16(frame[12:]), ethernetLen
	if etherType == etherTypeVLAN {
		if len(frame) < ethernetLen+vlanLen {
			return tooShort("802.1Q", "frame length", len(frame), ethernetLen+vlanLen, ErrTruncated)
		}
		p.Tagged, p.VLAN = true, be.Uint16(frame[14:])
		etherType, at = be.Uint16(frame[16:]), ethernetLen+vlanLen
	}
	switch etherType {
	case etherTypeIPv4:
		return p.decodeIPv4(frame, at)
	case etherTypeIPv6:
		return p.decodeIPv6(frame, at)
	}
	return ErrNotRoCE
}

// DecodeIP decodes an IPv4 or IPv6 packet, as [Packet.Decode] does a frame.
func (p *Packet) DecodeIP(packet []byte) error {
	p.DstMAC, p.SrcMAC, p.Tagged, p.VLAN = MAC{}, MAC{}, false, 0
	if len(packet) == 0 {
		return tooShort("IP", "length", 0, ipv4Len, ErrTruncated)
	}
	switch packet[0] >> 4 {
	case 4:
		return p.decodeIPv4(packet, 0)
	case 6:
		return p.decodeIPv6(packet, 0)
	}
	return ErrNotRoCE
}

func (p *Packet) decodeIPv4(data []byte, at int) error {
	ip := data[at:]
	if len(ip) < ipv4Len {
		return tooShort("IPv4", "length", len(ip), ipv4Len, ErrTruncated)
	}
	if version := int(ip[0] >> 4); version != 4 {
		return notExactly("IPv4", "version", version, 4)
	}
	headerLen := int(ip[0]&0x0F) * 4
	if headerLen < ipv4Len {
		return tooShort("IPv4", "header length", headerLen, ipv4Len, ErrMalformed)
	}
	p.IPFragment = be.Uint16(ip[6:])
	if ip[9] != protocolUDP || p.IPFragment&isFragment != 0 {
		return ErrNotRoCE
	}
	total := int(be.Uint16(ip[2:]))
	if total < headerLen+udpLen {
		return tooShort("IPv4", "total length", total, headerLen+udpLen, ErrMalformed)
	}
	p.TrafficClass, p.HopLimit, p.FlowLabel = ip[1], ip[8], 0
	p.IPID = be.Uint16(ip[4:])
	p.Src, p.Dst = netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:]))
	return p.decodeDatagram(data, at, headerLen, total)
}

func (p *Packet) decodeIPv6(data []byte, at int) error {
	ip := data[at:]
	if len(ip) < ipv6Len {
		return tooShort("IPv6", "length", len(ip), ipv6Len, ErrTruncated)
	}
	if version := int(ip[0] >> 4); version != 6 {
		return notExactly("IPv6", "version", version, 6)
	}
	if ip[6] != protocolUDP {
		return ErrNotRoCE
	}
	total := ipv6Len + int(be.Uint16(ip[4:]))
	if total < ipv6Len+udpLen {
		return tooShort("IPv6", "payload length", total-ipv6Len, udpLen, ErrMalformed)
	}
	v := be.Uint32(ip)
	p.TrafficClass, p.HopLimit, p.FlowLabel = uint8(v>>20), ip[7], v&flowLabelMask
	p.IPID, p.IPFragment = 0, 0
	p.Src, p.Dst = netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:]))
	return p.decodeDatagram(data, at, ipv6Len, total)
}

// decodeDatagram decodes what follows the IP header that stands at ipAt and is
// headerLen bytes long in an IP packet of total bytes.
func (p *Packet) decodeDatagram(data []byte, ipAt, headerLen, total int) error {
	udpAt := ipAt + headerLen
	if len(data) < udpAt+udpLen {
		return tooShort("UDP", "captured length", max(0, len(data)-udpAt), udpLen, ErrTruncated)
	}
	p.IPOffset, p.UDPOffset, p.BTHOffset = ipAt, udpAt, udpAt+udpLen
	p.lrh, p.ip, p.udp = nil, data[ipAt:udpAt], data[udpAt:udpAt+udpLen]
	p.SrcPort, p.DstPort = be.Uint16(p.udp), be.Uint16(p.udp[2:])
	p.UDPLength, p.UDPChecksum = be.Uint16(p.udp[4:]), be.Uint16(p.udp[6:])
	if p.DstPort != UDPPort {
		return ErrNotRoCE
	}
	if room := total - headerLen; int(p.UDPLength) > room {
		return &Error{Header: "UDP", Field: "length", Value: int(p.UDPLength), Limit: room, Bound: "at most", Err: ErrMalformed}
	}
	end := min(len(data), ipAt+total) // Ethernet padding and the like lie beyond
	return p.decodeUDPPayload(data[p.BTHOffset:end])
}

// DecodeUDP decodes what a UDP socket received: the payload of one datagram and
// its addresses. The IPv4 identification is unknown to a socket, so that the
// ICRC of an IPv4 packet is unverifiable; see [Packet.RecoverIPID].
func (p *Packet) DecodeUDP(src, dst netip.AddrPort, payload []byte) error {
	p.DstMAC, p.SrcMAC, p.Tagged, p.VLAN = MAC{}, MAC{}, false, 0
	p.Src, p.Dst = src.Addr().Unmap(), dst.Addr().Unmap()
	p.SrcPort, p.DstPort = src.Port(), dst.Port()
	p.TrafficClass, p.HopLimit, p.FlowLabel, p.IPID, p.IPFragment = 0, 0, 0, 0, DontFragment
	p.UDPLength, p.UDPChecksum = uint16(min(udpLen+len(payload), 1<<16-1)), 0
	p.IPOffset, p.UDPOffset, p.BTHOffset = -1, -1, 0
	p.lrh, p.ip, p.udp = nil, nil, nil
	if p.DstPort != UDPPort {
		return ErrNotRoCE
	}
	return p.decodeUDPPayload(payload)
}

// decodeUDPPayload decodes the captured part of the payload of a datagram of
// UDPLength bytes.
func (p *Packet) decodeUDPPayload(data []byte) error {
	want := int(p.UDPLength) - udpLen
	p.dgm, p.Payload, p.Truncated = data, nil, len(data) < want
	if err := p.BTH.Decode(data, want); err != nil {
		return err
	}
	rest := p.BTH.Payload
	for ext := p.BTH.OpCode.Ext(); ext != 0; ext &= ext - 1 {
		if err := p.decodeExt(ext.first(), rest); err != nil {
			return err
		}
		rest = rest[extLens[bits.TrailingZeros16(uint16(ext))]:]
	}
	p.Payload = rest
	p.PayloadOffset = p.BTHOffset + p.BTH.OpCode.HeaderLen()
	return nil
}

// decodeExt decodes one extension header at the beginning of data.
func (p *Packet) decodeExt(h Ext, data []byte) error {
	switch h {
	case ExtXRCETH:
		return p.XRCETH.Decode(data)
	case ExtDETH:
		return p.DETH.Decode(data)
	case ExtFETH:
		return p.FETH.Decode(data)
	case ExtRETH:
		return p.RETH.Decode(data)
	case ExtAtomicETH:
		return p.AtomicETH.Decode(data)
	case ExtAETH:
		return p.AETH.Decode(data)
	case ExtAtomicAckETH:
		return p.AtomicAckETH.Decode(data)
	case ExtImmDt:
		return p.ImmDt.Decode(data)
	case ExtIETH:
		return p.IETH.Decode(data)
	}
	return p.CNPReserved.Decode(data)
}

// Has reports whether the packet has an extension header.
func (p *Packet) Has(h Ext) bool { return p.BTH.OpCode.Ext().Has(h) }

// IsMAD reports whether the payload is a management datagram: a UD SEND Only to
// queue pair 1 with its queue key. [DecodeCM] takes the payload.
func (p *Packet) IsMAD() bool { return p.BTH.OpCode == UDSendOnly && IsGSI(&p.BTH, &p.DETH) }

// CheckICRC judges the ICRC of the decoded packet.
func (p *Packet) CheckICRC() ICRCVerdict {
	if p.lrh != nil || p.ip != nil && p.udp == nil {
		return p.checkInfiniBand()
	}
	if p.ip != nil {
		return CheckICRC(p.ip, p.udp, p.dgm)
	}
	if p.BTHOffset < 0 || p.Src.Is4() || !p.Src.IsValid() {
		return ICRCUnverifiable
	}
	var h [ipv6Len + udpLen]byte
	p.putIPv6(h[:ipv6Len], int(p.UDPLength))
	p.putUDP(h[ipv6Len:], int(p.UDPLength))
	return CheckICRC(h[:ipv6Len], h[ipv6Len:], p.dgm)
}

// RecoverIPID solves the ICRC of a decoded IPv4 packet for the identification,
// with the flags of IPFragment; see [RecoverIPv4ID].
func (p *Packet) RecoverIPID() (id uint16, ok bool) {
	if !p.Src.Is4() || !p.Dst.Is4() {
		return 0, false
	}
	var h [ipv4Len + udpLen]byte
	p.putIPv4(h[:ipv4Len], int(p.UDPLength))
	p.putUDP(h[ipv4Len:], int(p.UDPLength))
	return RecoverIPv4ID(h[:ipv4Len], h[ipv4Len:], p.dgm)
}

// Reseal computes the ICRC again and writes it into the decoded bytes, after
// others of them were changed on purpose. The bytes must include the IP header
// and the whole UDP payload.
func (p *Packet) Reseal() error {
	if p.ip == nil || p.udp == nil || p.Truncated {
		return fmt.Errorf("computing the ICRC in place: IP header or end of the packet is missing: %w", ErrTruncated)
	}
	end := int(p.UDPLength) - udpLen
	return Reseal(p.ip, p.udp, p.dgm[:end])
}
