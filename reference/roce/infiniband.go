// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
)

// EtherTypeRoCEv1 is the EtherType of RoCEv1 frames: a global route header
// follows it, and no IP (annex A16).
const EtherTypeRoCEv1 = 0x8915

// Lengths of the headers of InfiniBand in bytes.
const (
	lrhLen  = 8  // local route header
	grhLen  = 40 // global route header; it is laid out like that of IPv6
	vcrcLen = 2  // variant CRC, the last bytes of a packet on a link
)

// nextHeaderIBA says in a global route header that a BTH follows.
const nextHeaderIBA = 0x1B

// Values of the link next header in a local route header (IBTA 7.7.5).
const (
	lnhLocal  = 2 // a BTH follows
	lnhGlobal = 3 // a global route header follows
)

// icrcNoSeed is the CRC of no bytes.
const icrcNoSeed = 0

// DecodeGRH decodes a packet from its global route header on: what follows
// [EtherTypeRoCEv1] in a frame. Src and Dst are the GIDs as IP addresses. There
// is no UDP header; UDPLength is what it would say.
func (p *Packet) DecodeGRH(data []byte) error {
	p.clearLink()
	return p.decodeGRH(data, 0)
}

// DecodeLRH decodes a packet of an InfiniBand link, from its local route header
// on. Src and Dst are the GIDs if it has a global route header, else
// [LIDAddr] of the LIDs.
func (p *Packet) DecodeLRH(data []byte) error {
	p.clearLink()
	if len(data) < lrhLen {
		return tooShort("LRH", "length", len(data), lrhLen, ErrTruncated)
	}
	next := data[1] & 3
	if next != lnhLocal && next != lnhGlobal {
		return ErrNotRoCE // raw: IPv6 or Ethernet without InfiniBand transport
	}
	total := int(be.Uint16(data[4:])&0x7FF) * 4
	if total < lrhLen+BTHLen+ICRCLen {
		return tooShort("LRH", "packet length", total, lrhLen+BTHLen+ICRCLen, ErrMalformed)
	}
	p.lrh = data[:lrhLen]
	data = data[:min(len(data), total)]
	if next == lnhGlobal {
		return p.decodeGRH(data, lrhLen)
	}
	p.Src, p.Dst = LIDAddr(be.Uint16(data[6:])), LIDAddr(be.Uint16(data[2:]))
	p.TrafficClass, p.HopLimit, p.FlowLabel = 0, 0, 0
	return p.decodeTransport(data, lrhLen, total-lrhLen)
}

// LIDAddr gives an address that stands for a local identifier of an InfiniBand
// subnet, which no IP packet has: fe80::5%lid for LID 5.
func LIDAddr(lid uint16) netip.Addr {
	a := [16]byte{0: 0xFE, 1: 0x80}
	be.PutUint16(a[14:], lid)
	return netip.AddrFrom16(a).WithZone("lid")
}

// clearLink clears what is told of the headers below the transport.
func (p *Packet) clearLink() {
	p.DstMAC, p.SrcMAC, p.Tagged, p.VLAN = MAC{}, MAC{}, false, 0
	p.lrh, p.ip, p.udp = nil, nil, nil
	p.IPOffset, p.UDPOffset, p.BTHOffset = -1, -1, -1
}

func (p *Packet) decodeGRH(data []byte, at int) error {
	grh := data[at:]
	if len(grh) < grhLen {
		return tooShort("GRH", "length", len(grh), grhLen, ErrTruncated)
	}
	if version := int(grh[0] >> 4); version != 6 {
		return notExactly("GRH", "version", version, 6)
	}
	if grh[6] != nextHeaderIBA {
		return ErrNotRoCE
	}
	v := be.Uint32(grh)
	p.TrafficClass, p.HopLimit, p.FlowLabel = uint8(v>>20), grh[7], v&flowLabelMask
	p.Src, p.Dst = GID(grh[8:24]).Addr(), GID(grh[24:40]).Addr()
	p.IPOffset, p.ip = at, grh[:grhLen]
	return p.decodeTransport(data, at+grhLen, int(be.Uint16(grh[4:])))
}

// decodeTransport decodes the BTH at an offset, which with all that follows it,
// ICRC included, is length bytes long.
func (p *Packet) decodeTransport(data []byte, at, length int) error {
	if length < BTHLen+ICRCLen {
		return tooShort("BTH", "length of the packet", length, BTHLen+ICRCLen, ErrMalformed)
	}
	p.IPID, p.IPFragment = 0, 0
	p.SrcPort, p.DstPort, p.UDPChecksum = 0, 0, 0
	p.UDPLength = uint16(min(udpLen+length, 1<<16-1))
	p.BTHOffset = at
	return p.decodeUDPPayload(data[at:min(len(data), at+length)])
}

// icrcInfiniBand computes the ICRC of a packet without IP and UDP (IBTA 7.8.1;
// RoCEv1: annex A16.5.1): over the local route header, for which eight bytes of
// ones stand where there is none, the global one if there is any, and rest, from
// the BTH to the pad.
func icrcInfiniBand(lrh, grh, rest []byte) uint32 {
	var h [lrhLen + grhLen + BTHLen]byte
	n, seed := 0, uint32(icrcSeed)
	if lrh != nil {
		seed = icrcNoSeed
		n = copy(h[:], lrh)
		h[0] |= 0xF0 // virtual lane
	}
	if grh != nil {
		at := n
		n += copy(h[n:], grh)
		h[at] |= 0x0F // traffic class, flow label
		h[at+1], h[at+2], h[at+3] = 0xFF, 0xFF, 0xFF
		h[at+7] = 0xFF // hop limit
	}
	n += copy(h[n:], rest[:BTHLen])
	h[n-BTHLen+4] = 0xFF
	sum := crc32.Update(seed, crc32.IEEETable, h[:n])
	return crc32.Update(sum, crc32.IEEETable, rest[BTHLen:])
}

// checkInfiniBand judges the ICRC of a packet without IP and UDP.
func (p *Packet) checkInfiniBand() ICRCVerdict {
	end := int(p.UDPLength) - udpLen
	if end < BTHLen+ICRCLen {
		return ICRCUnverifiable
	}
	if len(p.dgm) < end {
		return ICRCAbsent
	}
	at := end - ICRCLen
	if icrcInfiniBand(p.lrh, p.ip, p.dgm[:at]) != binary.LittleEndian.Uint32(p.dgm[at:]) {
		return ICRCBad
	}
	return ICRCGood
}

// AppendGRH appends the packet from its global route header on, as
// [Packet.AppendFrame] does the frame.
func (p *Packet) AppendGRH(b []byte) ([]byte, error) {
	return p.appendInfiniBand(b, nil)
}

// AppendLRH appends the packet as on a link of InfiniBand, with a global route
// header behind the local one; its last two bytes, the variant CRC, are zero.
func (p *Packet) AppendLRH(b []byte, dlid, slid uint16) ([]byte, error) {
	lrh := make([]byte, lrhLen)
	lrh[1] = lnhGlobal
	be.PutUint16(lrh[2:], dlid)
	be.PutUint16(lrh[6:], slid)
	b, err := p.appendInfiniBand(b, lrh)
	if err != nil {
		return b, err
	}
	return append(b, make([]byte, vcrcLen)...), nil
}

// appendInfiniBand appends a packet with the headers of InfiniBand.
func (p *Packet) appendInfiniBand(b, lrh []byte) ([]byte, error) {
	p.BTH.PadCnt = padCount(len(p.Payload))
	p.BTH.Pad = zeroPad[:p.BTH.PadCnt]
	length := p.BTH.OpCode.HeaderLen() + len(p.Payload) + int(p.BTH.PadCnt) + ICRCLen
	if most := 0x7FF*4 - lrhLen - grhLen; length > most {
		return b, tooLong("GRH", "payload length", length, most)
	}
	if !p.Src.IsValid() || !p.Dst.IsValid() {
		return b, fmt.Errorf("packet from %v to %v: must be two addresses", p.Src, p.Dst)
	}
	if lrh != nil {
		be.PutUint16(lrh[4:], uint16((lrhLen+grhLen+length)/4))
		b = append(b, lrh...)
	}
	var grh [grhLen]byte
	src, dst := GIDOf(p.Src), GIDOf(p.Dst)
	be.PutUint32(grh[:], 6<<28|uint32(p.TrafficClass)<<20|p.FlowLabel&flowLabelMask)
	be.PutUint16(grh[4:], uint16(length))
	grh[6], grh[7] = nextHeaderIBA, p.HopLimit
	copy(grh[8:], src[:])
	copy(grh[24:], dst[:])
	b = append(b, grh[:]...)
	at := len(b)
	b = p.appendHeaders(b)
	b = append(b, p.Payload...)
	b = append(b, p.BTH.Pad...)
	p.BTH.ICRC, p.BTH.NoICRC = icrcInfiniBand(lrh, grh[:], b[at:])^p.BTH.ICRCXor, false
	return binary.LittleEndian.AppendUint32(b, p.BTH.ICRC), nil
}
