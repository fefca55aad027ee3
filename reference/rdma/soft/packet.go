// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Lengths of headers, in bytes.
const (
	ethernetLen = 14
	vlanLen     = 4
	ipv4Len     = 20
	ipv6Len     = 40
	udpLen      = 8
)

// headroom is the room in front of the UDP payload: Ethernet with a VLAN tag, IPv6, UDP.
const headroom = ethernetLen + vlanLen + ipv6Len + udpLen

// Room for a UDP payload: the largest packet of a queue pair (header, RETH, immediate, 4096 bytes, ICRC), and one that
// is enough for acknowledgements, requests and connection management (280 bytes).
const (
	largeRoom = 4096 + 64
	smallRoom = 320
)

var be = binary.BigEndian

// Packet is one RoCEv2 packet as an IP datagram: IP header, UDP header, and the UDP payload from the base transport
// header to the ICRC. Its setters change bytes in place; a hook that runs before the ICRC is computed so makes a packet
// that is well-formed for the receiver, one that runs afterwards makes a packet that the receiver will drop.
//
// A Packet belongs to whoever was given it last. It comes from a pool and goes back to it when its owner releases it.
type Packet struct {
	buf []byte // the whole storage
	ip  int    // offset of the IP header
	bth int    // offset of the UDP payload; the UDP header stands right before it
	end int    // offset behind the UDP payload

	idUnknown bool // received through a socket that does not show the IPv4 identification
}

var (
	largePackets = sync.Pool{New: func() any { return &Packet{buf: make([]byte, headroom+largeRoom)} }}
	smallPackets = sync.Pool{New: func() any { return &Packet{buf: make([]byte, headroom+smallRoom)} }}
)

// newPacket gives a packet with room for a UDP payload of n bytes at most, and none in it.
func newPacket(n int) *Packet {
	var p *Packet
	switch {
	case n <= smallRoom:
		p = smallPackets.Get().(*Packet)
	case n <= largeRoom:
		p = largePackets.Get().(*Packet)
	default:
		p = &Packet{buf: make([]byte, headroom+n)}
	}
	p.ip, p.bth, p.end, p.idUnknown = headroom, headroom, headroom, false
	return p
}

// NewPacket gives a packet with a copy of an IP datagram, so that a program can send what no device would. The IP and UDP
// headers must be whole; all behind them may be anything.
func NewPacket(datagram []byte) (*Packet, error) {
	p := newPacket(len(datagram))
	p.ip = headroom - ipv6Len - udpLen
	n := copy(p.buf[p.ip:], datagram)
	b := p.buf[p.ip : p.ip+n]
	if n > 0 && (b[0]>>4 == 4 && p.parseIPv4(b) || b[0]>>4 == 6 && p.parseIPv6(b)) {
		return p, nil
	}
	p.Release()
	return nil, fmt.Errorf("soft: %d bytes are no UDP datagram of IPv4 or IPv6 that could be RoCEv2", len(datagram))
}

// Release gives the packet back. It must not be used afterwards.
func (p *Packet) Release() {
	switch len(p.buf) - headroom {
	case smallRoom:
		smallPackets.Put(p)
	case largeRoom:
		largePackets.Put(p)
	}
}

// Clone gives an independent copy.
func (p *Packet) Clone() *Packet {
	c := newPacket(p.end - p.bth)
	c.ip, c.bth, c.end, c.idUnknown = p.ip, p.bth, p.end, p.idUnknown
	copy(c.buf[c.ip:c.end], p.buf[p.ip:p.end])
	return c
}

// IP is the IP header: 20 bytes of IPv4 or 40 of IPv6.
func (p *Packet) IP() []byte { return p.buf[p.ip : p.bth-udpLen] }

// UDP is the UDP header, 8 bytes.
func (p *Packet) UDP() []byte { return p.buf[p.bth-udpLen : p.bth] }

// Payload is the UDP payload: base transport header, extension headers, data, pad and ICRC.
func (p *Packet) Payload() []byte { return p.buf[p.bth:p.end] }

// Datagram is the whole packet from the IP header on.
func (p *Packet) Datagram() []byte { return p.buf[p.ip:p.end] }

// Src is the IP source address.
func (p *Packet) Src() netip.Addr { return p.addr(0) }

// Dst is the IP destination address.
func (p *Packet) Dst() netip.Addr { return p.addr(1) }

// addr gives the source (0) or destination (1) address.
func (p *Packet) addr(which int) netip.Addr {
	ip := p.IP()
	if len(ip) == ipv4Len {
		return netip.AddrFrom4([4]byte(ip[12+4*which:]))
	}
	return netip.AddrFrom16([16]byte(ip[8+16*which:]))
}

// OpCode is byte 0 of the base transport header.
func (p *Packet) OpCode() roce.OpCode { return roce.OpCode(p.buf[p.bth]) }

// SetOpCode changes the opcode and nothing else.
func (p *Packet) SetOpCode(o roce.OpCode) { p.buf[p.bth] = byte(o) }

// PSN is the packet sequence number.
func (p *Packet) PSN() roce.PSN { return roce.PSN(be.Uint32(p.buf[p.bth+8:]) & psnMask) }

// SetPSN changes the packet sequence number.
func (p *Packet) SetPSN(psn roce.PSN) {
	word := be.Uint32(p.buf[p.bth+8:])
	be.PutUint32(p.buf[p.bth+8:], word&^psnMask|uint32(psn)&psnMask)
}

// DestQP is the destination queue pair number.
func (p *Packet) DestQP() uint32 { return be.Uint32(p.buf[p.bth+4:]) & psnMask }

// SetDestQP changes the destination queue pair number.
func (p *Packet) SetDestQP(qpn uint32) {
	word := be.Uint32(p.buf[p.bth+4:])
	be.PutUint32(p.buf[p.bth+4:], word&^psnMask|qpn&psnMask)
}

// AckReq tells whether the sender asks for an acknowledgement.
func (p *Packet) AckReq() bool { return p.buf[p.bth+8]&0x80 != 0 }

// SetAckReq asks for an acknowledgement or does not.
func (p *Packet) SetAckReq(on bool) {
	p.buf[p.bth+8] &^= 0x80
	if on {
		p.buf[p.bth+8] |= 0x80
	}
}

// PKey is the partition key.
func (p *Packet) PKey() uint16 { return be.Uint16(p.buf[p.bth+2:]) }

// SetPKey changes the partition key.
func (p *Packet) SetPKey(key uint16) { be.PutUint16(p.buf[p.bth+2:], key) }

// Solicited tells whether the solicited-event bit is set.
func (p *Packet) Solicited() bool { return p.buf[p.bth+1]&0x80 != 0 }

// padCount is the number of pad bytes before the ICRC.
func (p *Packet) padCount() int { return int(p.buf[p.bth+1] >> 4 & 3) }

// version is the transport header version.
func (p *Packet) version() uint8 { return p.buf[p.bth+1] & 0xF }

// Data is what follows base transport header and extension headers, without pad and ICRC; nil when the packet is too
// short for what its opcode promises.
func (p *Packet) Data() []byte {
	from, to := p.bth+p.OpCode().HeaderLen(), p.end-roce.ICRCLen-p.padCount()
	if from > to {
		return nil
	}
	return p.buf[from:to]
}

// Ext is what follows the base transport header: extension headers, data, pad and ICRC.
func (p *Packet) Ext() []byte { return p.buf[p.bth+roce.BTHLen : p.end] }

// wellFormed tells whether the payload holds all that its opcode and pad count promise.
func (p *Packet) wellFormed() bool {
	n := p.end - p.bth
	return n >= roce.BTHLen+roce.ICRCLen && n >= p.OpCode().HeaderLen()+p.padCount()+roce.ICRCLen
}

const psnMask = 1<<24 - 1
