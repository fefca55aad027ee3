// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String gives the address in the usual form, "52:54:00:00:00:01".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// multicast tells a group address (which includes broadcast) from the address of one station.
func (m MAC) multicast() bool { return m[0]&1 != 0 }

// Sizes of an Ethernet frame as a rail takes it, in bytes, without the frame check sequence.
const (
	MinFrame = 14           // the header alone; QEMU does not pad
	MaxFrame = 4096 + 65536 // the largest frame that QEMU's network layer carries
)

// Frame is one Ethernet frame on a rail. A predicate or a hook may look at a frame only until it returns, and must not
// change it; [Frame.Clone] is for keeping.
type Frame struct {
	Number uint64    // position among all frames offered to the rail, from 1; copies of a flooded frame share it
	At     time.Time // when the rail got it, host clock
	Rail   string    // the rail's name
	From   string    // the name of the port or station that sent it
	To     string    // the name of the port or station that this copy goes to; "" where nobody is on the rail to get it
	Data   []byte    // the frame, from the destination address on, without check sequence

	decoded bool
	packet  packet
}

// Clone returns a copy that shares nothing with f.
func (f *Frame) Clone() *Frame {
	return f.with(slices.Clone(f.Data))
}

// with returns the frame with other bytes.
func (f *Frame) with(data []byte) *Frame {
	return &Frame{Number: f.Number, At: f.At, Rail: f.Rail, From: f.From, To: f.To, Data: data}
}

// Destination is the frame's destination address.
func (f *Frame) Destination() MAC { return MAC(f.Data[0:6]) }

// Source is the frame's source address.
func (f *Frame) Source() MAC { return MAC(f.Data[6:12]) }

// EtherType is the type of what the frame carries, behind a VLAN tag if there is one.
func (f *Frame) EtherType() uint16 { return f.decode().etherType }

// IP returns the addresses of the IP packet in the frame; ok is false where there is none.
func (f *Frame) IP() (source, destination netip.Addr, ok bool) {
	p := f.decode()
	return p.source, p.destination, p.ip != 0
}

// UDP returns the ports of the UDP datagram in the frame; ok is false where there is none, or only a later fragment of one.
func (f *Frame) UDP() (source, destination uint16, ok bool) {
	p := f.decode()
	return p.sourcePort, p.destinationPort, p.udp != 0
}

// String gives the frame as one line for evidence.
func (f *Frame) String() string {
	way := fmt.Sprintf("%s>%s %d bytes", f.From, f.To, len(f.Data))
	p := f.decode()
	switch {
	case p.transport != 0:
		return way + " " + f.describeRoCE()
	case p.udp != 0:
		return fmt.Sprintf("%s udp %d>%d", way, p.sourcePort, p.destinationPort)
	default:
		return fmt.Sprintf("%s type %#04x", way, p.etherType)
	}
}

// use makes f the frame in data and forgets what was decoded of the last one.
func (f *Frame) use(data []byte, at time.Time) {
	f.Data, f.At, f.To, f.decoded = data, at, "", false
}

func (f *Frame) decode() *packet {
	if !f.decoded {
		f.packet.decode(f.Data)
		f.decoded = true
	}
	return &f.packet
}

// packet holds what a frame carries. Offsets count from the begin of the frame; 0 says that the layer is not there.
type packet struct {
	etherType               uint16
	ip, udp, transport, end int // end: first byte behind the UDP datagram
	source, destination     netip.Addr
	sourcePort              uint16
	destinationPort         uint16
	bth                     roce.BTH // of the last RoCEv2 packet: valid where transport is not 0
}

// Assigned numbers.
const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86DD
	etherTypeVLAN = 0x8100
	protocolUDP   = 17
	ipv4Header    = 20
	ipv6Header    = 40
	udpHeader     = 8
)

// decode reads as many layers of data as are whole; data has at least [MinFrame] bytes.
func (p *packet) decode(data []byte) {
	p.etherType = binary.BigEndian.Uint16(data[12:])
	p.ip, p.udp, p.transport, p.end = 0, 0, 0, 0
	p.source, p.destination = netip.Addr{}, netip.Addr{}
	p.sourcePort, p.destinationPort = 0, 0
	at := MinFrame
	if p.etherType == etherTypeVLAN && len(data) >= at+4 {
		p.etherType = binary.BigEndian.Uint16(data[at+2:])
		at += 4
	}
	switch p.etherType {
	case etherTypeIPv4:
		p.decodeIPv4(data, at)
	case etherTypeIPv6:
		p.decodeIPv6(data, at)
	}
}

func (p *packet) decodeIPv4(data []byte, at int) {
	b := data[at:]
	if len(b) < ipv4Header || b[0]>>4 != 4 {
		return
	}
	header := int(b[0]&0xF) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4Header || total < header || total > len(b) {
		return
	}
	p.ip = at
	p.source = netip.AddrFrom4([4]byte(b[12:16]))
	p.destination = netip.AddrFrom4([4]byte(b[16:20]))
	const moreOrOffset = 0x3FFF
	fragment := binary.BigEndian.Uint16(b[6:])&moreOrOffset != 0
	if b[9] == protocolUDP && !fragment {
		p.decodeUDP(data[:at+total], at+header)
	}
}

func (p *packet) decodeIPv6(data []byte, at int) {
	b := data[at:]
	if len(b) < ipv6Header || b[0]>>4 != 6 {
		return
	}
	total := ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return
	}
	p.ip = at
	p.source = netip.AddrFrom16([16]byte(b[8:24]))
	p.destination = netip.AddrFrom16([16]byte(b[24:40]))
	if b[6] == protocolUDP {
		p.decodeUDP(data[:at+total], at+ipv6Header)
	}
}

func (p *packet) decodeUDP(data []byte, at int) {
	b := data[at:]
	if len(b) < udpHeader {
		return
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < udpHeader || length > len(b) {
		return
	}
	p.udp, p.end = at, at+length
	p.sourcePort = binary.BigEndian.Uint16(b[0:])
	p.destinationPort = binary.BigEndian.Uint16(b[2:])
	if p.destinationPort == roce.UDPPort {
		p.decodeRoCE(data)
	}
}
