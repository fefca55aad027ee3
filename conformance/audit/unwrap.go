// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"
	"errors"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// EtherTypes that are looked into.
const (
	etherIPv4     = 0x0800
	etherVLAN     = 0x8100
	etherTEB      = 0x6558 // Ethernet in a tunnel
	etherIPv6     = 0x86DD
	etherMPLS     = 0x8847
	etherMPLSMany = 0x8848 // multicast
	etherPPPoE    = 0x8864
	etherService  = 0x88A8
	etherERSPAN   = 0x88BE
	etherBackbone = 0x88E7
	etherVNTag    = 0x8926
	etherExtender = 0x893F
	etherOldVLAN  = 0x9100
	etherERSPAN3  = 0x22EB
	etherOldVLAN2 = 0x9200
	etherRedundat = 0xF1C1
)

// tags are headers between the addresses of a frame and the EtherType of what it carries: so many bytes, and then that.
var tags = map[uint16]struct {
	length int
	as     wrapper
}{
	etherVLAN: {2, inVLAN}, etherService: {2, inServiceVLAN}, etherOldVLAN: {2, inOldServiceVLAN}, etherOldVLAN2: {2, inOldServiceVLAN},
	etherVNTag: {4, inVNTag}, etherExtender: {6, inPortExtender}, etherRedundat: {4, inRedundancy},
}

// Protocols above IP that are looked into.
const (
	protocolIPv4    = 4
	protocolUDP     = 17
	protocolIPv6    = 41
	protocolGRE     = 47
	protocolEtherIP = 97
	protocolMPLS    = 137
)

// UDP ports of tunnels.
const (
	portGREinUDP  = 4754
	portVXLAN     = 4789
	portVXLANGPE  = 4790
	portGeneve    = 6081
	portMPLSinUDP = 6635
	portOldVXLAN  = 8472 // of Linux, unless it is told otherwise
)

// contentKind is what numbers the contents of a frame in which no packet of RDMA was found.
type contentKind uint8

const (
	ofLink     contentKind = iota // the link type of the file
	ofEther                       // EtherType
	ofProtocol                    // protocol above IP
	ofPort                        // destination port of UDP
	ofFragment                    // a part of an IP packet
	ofNothing                     // too short, or broken
)

// content says what a frame holds: as far as it was looked into, and what is there.
type content struct {
	wrap   wrapping
	kind   contentKind
	number uint32
}

// unwrapper finds the packet of RDMA in a frame, whatever it is wrapped in.
type unwrapper struct {
	packet   *roce.Packet
	found    content
	src, dst roce.MAC // of the innermost Ethernet header
}

var be = binary.BigEndian

// unwrap decodes the packet in a frame. Without one it gives [roce.ErrNotRoCE], and u.found says what is there instead.
func (u *unwrapper) unwrap(f Frame) error {
	u.found, u.src, u.dst = content{}, roce.MAC{}, roce.MAC{}
	b := f.Data
	switch f.Link {
	case Ethernet:
		return u.ethernet(b)
	case Null, Loop:
		return u.skip(b, 4, u.ip)
	case RawIP, RawIPv4, RawIPv6, rawIPBSD, rawIPOpen:
		return u.ip(b)
	case LinuxSLL:
		return u.cooked(b, 14, 16)
	case LinuxSLLv2:
		return u.cooked(b, 0, 20)
	case InfiniBand:
		return u.infiniBand(b)
	case ERF:
		return u.erf(b)
	}
	return u.other(ofLink, uint32(f.Link))
}

// other ends the search at something that holds no packet of RDMA.
func (u *unwrapper) other(kind contentKind, number uint32) error {
	u.found.kind, u.found.number = kind, number
	return roce.ErrNotRoCE
}

// into goes on behind n bytes of a header.
func (u *unwrapper) into(as wrapper, b []byte, n int, next func([]byte) error) error {
	deeper, ok := u.found.wrap.with(as)
	if !ok || len(b) < n {
		return u.other(ofNothing, 0)
	}
	u.found.wrap = deeper
	return next(b[n:])
}

// skip goes on behind n bytes that are no header of their own.
func (u *unwrapper) skip(b []byte, n int, next func([]byte) error) error {
	if len(b) < n {
		return u.other(ofNothing, 0)
	}
	return next(b[n:])
}

// cooked goes on behind the pseudo header of a Linux capture, which has an EtherType.
func (u *unwrapper) cooked(b []byte, at, length int) error {
	if len(b) < length {
		return u.other(ofNothing, 0)
	}
	return u.etherType(be.Uint16(b[at:]), b[length:])
}

func (u *unwrapper) ethernet(b []byte) error {
	if len(b) < 14 {
		return u.other(ofNothing, 0)
	}
	u.dst, u.src = roce.MAC(b[:6]), roce.MAC(b[6:12])
	return u.etherType(be.Uint16(b[12:]), b[14:])
}

// etherType goes on with what an EtherType announces.
func (u *unwrapper) etherType(kind uint16, b []byte) error {
	if tag, ok := tags[kind]; ok {
		if len(b) < tag.length+2 {
			return u.other(ofNothing, 0)
		}
		return u.into(tag.as, b, tag.length+2, func(rest []byte) error { return u.etherType(be.Uint16(b[tag.length:]), rest) })
	}
	switch kind {
	case etherIPv4, etherIPv6:
		return u.ip(b)
	case roce.EtherTypeRoCEv1:
		return u.into(inRoCEv1, b, 0, func(b []byte) error { return u.decoded(u.packet.DecodeGRH(b)) })
	case etherMPLS, etherMPLSMany:
		return u.mpls(b)
	case etherBackbone:
		return u.into(inBackbone, b, 4, u.ethernet)
	case etherTEB:
		return u.ethernet(b)
	case etherPPPoE:
		return u.into(inPPPoE, b, 8, u.ip)
	}
	const snap, snapLen = 0xAAAA, 8
	if kind <= longest8023 && len(b) >= snapLen && be.Uint16(b) == snap && be.Uint16(b[6:]) > longest8023 {
		return u.into(inSNAP, b, snapLen, func(rest []byte) error { return u.etherType(be.Uint16(b[6:]), rest) })
	}
	return u.other(ofEther, uint32(kind))
}

// decoded ends the search at a packet of RDMA, good or not.
func (u *unwrapper) decoded(err error) error {
	u.packet.SrcMAC, u.packet.DstMAC = u.src, u.dst
	return err
}

// mpls goes on behind the last label. What is there no header tells: IP packets begin with their version, and the Ethernet
// frames of a pseudowire with a control word of zeros or with an address.
func (u *unwrapper) mpls(b []byte) error {
	for n := 4; n <= len(b); n += 4 {
		if b[n-2]&1 != 0 {
			return u.into(inMPLS, b, n, u.unlabelled)
		}
	}
	return u.other(ofNothing, 0)
}

func (u *unwrapper) unlabelled(b []byte) error {
	ways := []func([]byte) error{u.ethernet}
	switch {
	case len(b) == 0:
		return u.other(ofNothing, 0)
	case b[0]>>4 == 4, b[0]>>4 == 6:
		ways = []func([]byte) error{u.ip, u.ethernet}
	case b[0]>>4 == 0 && len(b) > 4:
		ways = []func([]byte) error{func([]byte) error { return u.ethernet(b[4:]) }, u.ethernet}
	}
	found := u.found
	var first content
	for i, way := range ways {
		u.found = found
		if err := way(b); !errors.Is(err, roce.ErrNotRoCE) {
			return err
		}
		if i == 0 {
			first = u.found
		}
	}
	u.found = first
	return roce.ErrNotRoCE
}

// ip takes an IP packet: one of RoCEv2, or one that carries another in a tunnel.
func (u *unwrapper) ip(b []byte) error {
	err := u.packet.DecodeIP(b)
	if !errors.Is(err, roce.ErrNotRoCE) && len(b) > 0 {
		return u.decoded(err)
	}
	protocol, at, ok := u.aboveIP(b)
	if !ok {
		return roce.ErrNotRoCE
	}
	b = b[at:]
	switch protocol {
	case protocolUDP:
		return u.udp(b)
	case protocolGRE:
		return u.gre(b)
	case protocolIPv4:
		return u.into(inIPv4, b, 0, u.ip)
	case protocolIPv6:
		return u.into(inIPv6, b, 0, u.ip)
	case protocolEtherIP:
		return u.into(inEtherIP, b, 2, u.ethernet)
	case protocolMPLS:
		return u.mpls(b)
	}
	return u.other(ofProtocol, uint32(protocol))
}

// aboveIP gives the protocol above IP and where it begins.
func (u *unwrapper) aboveIP(b []byte) (protocol byte, at int, ok bool) {
	const moreOrOffset = 0x3FFF
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		at = int(b[0]&15) * 4
		if be.Uint16(b[6:])&moreOrOffset != 0 {
			u.other(ofFragment, uint32(b[9]))
			return 0, 0, false
		}
		if at >= 20 && at <= len(b) {
			return b[9], at, true
		}
	case len(b) >= 40 && b[0]>>4 == 6:
		return u.aboveIPv6(b)
	}
	u.other(ofNothing, 0)
	return 0, 0, false
}

// aboveIPv6 passes over extension headers (RFC 8200).
func (u *unwrapper) aboveIPv6(b []byte) (protocol byte, at int, ok bool) {
	const hopByHop, routing, fragment, destination = 0, 43, 44, 60
	protocol, at = b[6], 40
	for at+8 <= len(b) {
		switch protocol {
		case hopByHop, routing, destination:
			protocol, at = b[at], at+8+8*int(b[at+1])
			continue
		case fragment:
			u.other(ofFragment, uint32(b[at]))
			return 0, 0, false
		}
		return protocol, at, true
	}
	if at <= len(b) && protocol != fragment {
		return protocol, at, true
	}
	u.other(ofNothing, 0)
	return 0, 0, false
}

// udp goes on in the datagrams of tunnels.
func (u *unwrapper) udp(b []byte) error {
	if len(b) < 8 {
		return u.other(ofNothing, 0)
	}
	port := be.Uint16(b[2:])
	b = b[8:]
	switch {
	case (port == portVXLAN || port == portOldVXLAN) && len(b) >= 8 && b[0]&8 != 0:
		return u.into(inVXLAN, b, 8, u.ethernet)
	case port == portVXLANGPE && len(b) >= 8:
		next := map[byte]func([]byte) error{1: u.ip, 2: u.ip, 3: u.ethernet}[b[3]]
		if next != nil {
			return u.into(inVXLANGPE, b, 8, next)
		}
	case port == portGeneve && len(b) >= 8 && b[0]>>6 == 0:
		return u.into(inGeneve, b, 8+4*int(b[0]&63), func(rest []byte) error { return u.etherType(be.Uint16(b[2:]), rest) })
	case port == portMPLSinUDP:
		return u.mpls(b)
	case port == portGREinUDP:
		return u.gre(b)
	}
	return u.other(ofPort, uint32(port))
}

// gre goes on behind a header of generic routing encapsulation (RFC 2784, RFC 2890), in which mirrored frames come as well.
func (u *unwrapper) gre(b []byte) error {
	const checksum, routed, key, sequence, version = 0x8000, 0x4000, 0x2000, 0x1000, 7
	if len(b) < 4 {
		return u.other(ofNothing, 0)
	}
	flags, kind, n := be.Uint16(b), be.Uint16(b[2:]), 4
	if flags&(routed|version) != 0 {
		return u.other(ofProtocol, protocolGRE)
	}
	for _, option := range []uint16{checksum, key, sequence} {
		if flags&option != 0 {
			n += 4
		}
	}
	switch {
	case kind == etherERSPAN && flags&sequence == 0:
		return u.into(inERSPAN1, b, n, u.ethernet)
	case kind == etherERSPAN:
		return u.into(inERSPAN2, b, n+8, u.ethernet)
	case kind == etherERSPAN3:
		return u.into(inERSPAN3, b, n, u.erspan3)
	case kind == etherTEB:
		return u.into(inBridgedGRE, b, n, u.ethernet)
	}
	return u.into(inGRE, b, n, func(rest []byte) error { return u.etherType(kind, rest) })
}

// erspan3 goes on behind the header of a mirrored frame, version 3, with or without its platform specific part.
func (u *unwrapper) erspan3(b []byte) error {
	const headerLen, specificLen, frameIP = 12, 8, 2
	if len(b) < headerLen {
		return u.other(ofNothing, 0)
	}
	kind, n := b[10]>>2&31, headerLen
	if b[11]&1 != 0 {
		n += specificLen
	}
	if kind == frameIP {
		return u.skip(b, n, u.ip)
	}
	return u.skip(b, n, u.ethernet)
}

func (u *unwrapper) infiniBand(b []byte) error {
	return u.into(inInfiniBand, b, 0, func(b []byte) error { return u.decoded(u.packet.DecodeLRH(b)) })
}

// Types of ERF records that are looked into.
const (
	erfEthernet   = 2
	erfColour     = 11
	erfDSM        = 16
	erfInfiniBand = 21
	erfIPv4       = 22
	erfIPv6       = 23
)

// erf goes on behind the header of a record of an Endace card, and its extensions.
func (u *unwrapper) erf(b []byte) error {
	const headerLen, extended, ethernetPad = 16, 0x80, 2
	if len(b) < headerLen {
		return u.other(ofNothing, 0)
	}
	kind, n := b[8]&^extended, headerLen
	for more := b[8]&extended != 0; more; n += 8 {
		if len(b) < n+8 {
			return u.other(ofNothing, 0)
		}
		more = b[n]&extended != 0
	}
	switch kind {
	case erfEthernet, erfColour, erfDSM:
		return u.into(inERF, b, n+ethernetPad, u.ethernet)
	case erfInfiniBand:
		return u.into(inERF, b, n, u.infiniBand)
	case erfIPv4, erfIPv6:
		return u.into(inERF, b, n, u.ip)
	}
	return u.other(ofLink, uint32(ERF))
}
