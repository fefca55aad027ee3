// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"encoding/binary"
	"fmt"
)

// DontFragment is the flag DF in IPFragment, which a RoCEv2 sender sets.
const DontFragment uint16 = 0x4000

// maxIPv4Payload is what an IPv4 packet can hold after its header.
const maxIPv4Payload = 1<<16 - 1 - ipv4Len

// AppendFrame appends the whole Ethernet frame. The lengths, the IPv4 header
// checksum, PadCnt, pad and ICRC are computed, the ICRC then changed by
// BTH.ICRCXor; all other fields go out as they are, DstPort and UDPChecksum
// included. Src and Dst must be of the same family, and the packet must fit
// into the IP length field.
func (p *Packet) AppendFrame(b []byte) ([]byte, error) {
	b = append(b, p.DstMAC[:]...)
	b = append(b, p.SrcMAC[:]...)
	if p.Tagged {
		b = be.AppendUint16(b, etherTypeVLAN)
		b = be.AppendUint16(b, p.VLAN)
	}
	if p.Src.Is4() {
		b = be.AppendUint16(b, etherTypeIPv4)
	} else {
		b = be.AppendUint16(b, etherTypeIPv6)
	}
	return p.AppendIP(b)
}

// AppendIP appends the IP packet, as [Packet.AppendFrame] does the frame.
func (p *Packet) AppendIP(b []byte) ([]byte, error) {
	return p.appendFrom(b, true)
}

// AppendUDPPayload appends the UDP payload alone, BTH to ICRC, as
// [Packet.AppendFrame] does the frame. The ICRC covers the IP and UDP headers
// that the fields describe; whoever sends the payload must see to it that these
// are the ones transmitted.
func (p *Packet) AppendUDPPayload(b []byte) ([]byte, error) {
	return p.appendFrom(b, false)
}

func (p *Packet) appendFrom(b []byte, withHeaders bool) ([]byte, error) {
	if p.Src.Is4() != p.Dst.Is4() || p.Src.Is6() != p.Dst.Is6() || !p.Src.IsValid() {
		return b, fmt.Errorf("RoCEv2 packet from %v to %v: must be addresses of one family", p.Src, p.Dst)
	}
	p.BTH.PadCnt = padCount(len(p.Payload))
	p.BTH.Pad = zeroPad[:p.BTH.PadCnt]
	length := udpLen + p.BTH.OpCode.HeaderLen() + len(p.Payload) + int(p.BTH.PadCnt) + ICRCLen
	if length > maxIPv4Payload {
		return b, tooLong("UDP", "length", length, maxIPv4Payload)
	}
	p.UDPLength = uint16(length)

	var h [ipv6Len + udpLen]byte
	ip := h[:ipv6Len]
	if p.Src.Is4() {
		ip = h[:ipv4Len]
		p.putIPv4(ip, length)
	} else {
		p.putIPv6(ip, length)
	}
	udp := h[len(ip) : len(ip)+udpLen]
	p.putUDP(udp, length)
	if withHeaders {
		b = append(append(b, ip...), udp...)
	}
	at := len(b)
	b = p.appendHeaders(b)
	b = append(b, p.Payload...)
	b = append(b, p.BTH.Pad...)
	p.BTH.ICRC, p.BTH.NoICRC = icrc(ip, udp, b[at:])^p.BTH.ICRCXor, false
	return binary.LittleEndian.AppendUint32(b, p.BTH.ICRC), nil
}

// appendHeaders appends the BTH and the extension headers of its opcode.
func (p *Packet) appendHeaders(b []byte) []byte {
	at, n := len(b), p.BTH.OpCode.HeaderLen()
	var room [BTHLen + 64]byte // no opcode has 64 bytes of extension headers
	b = append(b, room[:n]...)
	p.BTH.Put(b[at:])
	at += BTHLen
	for ext := p.BTH.OpCode.Ext(); ext != 0; ext &= ext - 1 {
		h := ext.first()
		p.putExt(h, b[at:])
		at += h.Len()
	}
	return b
}

// putExt writes one extension header at the beginning of b.
func (p *Packet) putExt(h Ext, b []byte) {
	switch h {
	case ExtXRCETH:
		p.XRCETH.Put(b)
	case ExtDETH:
		p.DETH.Put(b)
	case ExtFETH:
		p.FETH.Put(b)
	case ExtRETH:
		p.RETH.Put(b)
	case ExtAtomicETH:
		p.AtomicETH.Put(b)
	case ExtAETH:
		p.AETH.Put(b)
	case ExtAtomicAckETH:
		p.AtomicAckETH.Put(b)
	case ExtImmDt:
		p.ImmDt.Put(b)
	case ExtIETH:
		p.IETH.Put(b)
	case ExtCNP:
		p.CNPReserved.Put(b)
	}
}

// putIPv4 writes the IPv4 header of a UDP datagram of length bytes.
func (p *Packet) putIPv4(h []byte, length int) {
	src, dst := p.Src.As4(), p.Dst.As4()
	h[0], h[1] = 4<<4|ipv4Len/4, p.TrafficClass
	be.PutUint16(h[2:], uint16(ipv4Len+length))
	be.PutUint16(h[4:], p.IPID)
	be.PutUint16(h[6:], p.IPFragment)
	h[8], h[9] = p.HopLimit, protocolUDP
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	be.PutUint16(h[10:], ipChecksum(h[:ipv4Len]))
}

// putIPv6 writes the IPv6 header of a UDP datagram of length bytes.
func (p *Packet) putIPv6(h []byte, length int) {
	src, dst := p.Src.As16(), p.Dst.As16()
	be.PutUint32(h, 6<<28|uint32(p.TrafficClass)<<20|p.FlowLabel&flowLabelMask)
	be.PutUint16(h[4:], uint16(length))
	h[6], h[7] = protocolUDP, p.HopLimit
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
}

func (p *Packet) putUDP(h []byte, length int) {
	be.PutUint16(h, p.SrcPort)
	be.PutUint16(h[2:], p.DstPort)
	be.PutUint16(h[4:], uint16(length))
	be.PutUint16(h[6:], p.UDPChecksum)
}

// ipChecksum is the Internet checksum of a header whose checksum field is zero
// (RFC 1071).
func ipChecksum(h []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(be.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xFFFF
	return ^uint16(sum + sum>>16)
}
