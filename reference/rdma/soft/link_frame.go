// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Frames is anything that sends and receives Ethernet frames, from the destination address on, without check sequence: a
// station on a virtual rail, or a [PacketSocket].
type Frames interface {
	// Send sends frames in order, without waiting for receivers. They may be changed again when it returns.
	Send(frames ...[]byte) error
	// Receive waits for a frame, copies it to buffer and returns its length. When ctx is over it still gives a frame
	// that is there.
	Receive(ctx context.Context, buffer []byte) (int, error)
	// Close ends Receive.
	Close() error
}

// FrameConfig says who a [FrameLink] is.
type FrameConfig struct {
	MAC     net.HardwareAddr // 6 bytes
	Prefix  netip.Prefix     // the address, and which others are reached without the gateway
	Gateway netip.Addr       // for the others; not needed without others
	MTU     int              // largest IP packet in bytes; default 1500
}

const defaultEthernetMTU = 1500

// Ethernet types.
const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86DD
)

type mac [6]byte

// String gives the address in the usual form.
func (m mac) String() string { return net.HardwareAddr(m[:]).String() }

func (m mac) group() bool { return m[0]&1 != 0 }

var broadcast = mac{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}

// FrameLink is a link on Ethernet. It makes and checks all headers itself, and finds its neighbours and is found by them
// with ARP or IPv6 neighbour discovery.
type FrameLink struct {
	frames  Frames
	mac     mac
	addr    netip.Addr
	prefix  netip.Prefix
	gateway netip.Addr
	mtu     int

	neighbours neighbours

	ctx    context.Context // over when the link is closed
	cancel context.CancelFunc
	over   context.Context // always over: what Receive is given to only look
	got    []*Packet

	sendMu sync.Mutex
	ready  [][]byte
}

var _ Link = (*FrameLink)(nil)

// NewFrameLink makes a link. frames belongs to it from then on, also when it fails.
func NewFrameLink(frames Frames, cfg FrameConfig) (*FrameLink, error) {
	l := &FrameLink{frames: frames, addr: cfg.Prefix.Addr(), prefix: cfg.Prefix, gateway: cfg.Gateway, mtu: cfg.MTU}
	setDefault(&l.mtu, defaultEthernetMTU)
	if err := l.check(cfg); err != nil {
		return nil, errors.Join(err, frames.Close())
	}
	l.mac = mac(cfg.MAC)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	over, cancel := context.WithCancel(context.Background())
	cancel()
	l.over = over
	l.neighbours.init(l)
	l.announce()
	return l, nil
}

func (l *FrameLink) check(cfg FrameConfig) error {
	if err := checkLinkAddr(l.addr); err != nil {
		return err
	}
	if len(cfg.MAC) != len(l.mac) || mac(cfg.MAC).group() || mac(cfg.MAC) == (mac{}) {
		return fmt.Errorf("soft: link on %s: MAC address %q, must be 6 bytes long and that of one station", l.addr, cfg.MAC)
	}
	if cfg.Gateway.IsValid() && cfg.Gateway.Is4() != l.addr.Is4() {
		return fmt.Errorf("soft: link on %s: gateway %s is of another family", l.addr, cfg.Gateway)
	}
	if err := rdma.CheckLimit("MTU", l.mtu, minLinkMTU, 65535); err != nil {
		return fmt.Errorf("soft: link on %s: %w", l.addr, err)
	}
	return nil
}

// Addr is the link's address.
func (l *FrameLink) Addr() netip.Addr { return l.addr }

// MTU is the largest IP packet.
func (l *FrameLink) MTU() int { return l.mtu }

// SourcePort is 0: any will do.
func (l *FrameLink) SourcePort() uint16 { return 0 }

// Wait returns at once.
func (l *FrameLink) Wait() {}

// Close closes the frames' source.
func (l *FrameLink) Close() error {
	l.cancel()
	l.neighbours.close()
	return l.frames.Close()
}

// Send puts Ethernet headers in front of the packets. Packets to a neighbour that is not known wait until it answers.
func (l *FrameLink) Send(packets []*Packet) error {
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	l.ready = l.ready[:0]
	for i, p := range packets {
		to, known := l.neighbours.lookup(l.nextHop(p.Dst()), p)
		if !known {
			packets[i] = nil // it waits, and belongs to the neighbours' table
			continue
		}
		l.ready = append(l.ready, p.frame(to, l.mac))
	}
	var err error
	if len(l.ready) > 0 {
		err = l.frames.Send(l.ready...)
	}
	for _, p := range packets {
		if p != nil {
			p.Release()
		}
	}
	return err
}

// nextHop gives the neighbour through which an address is reached.
func (l *FrameLink) nextHop(dst netip.Addr) netip.Addr {
	if l.gateway.IsValid() && !l.prefix.Contains(dst) {
		return l.gateway
	}
	return dst
}

// frame puts an Ethernet header in front of the packet and completes the IPv4 header. The UDP check sum is zero, as usual
// in RoCEv2.
func (p *Packet) frame(to, from mac) []byte {
	ip := p.IP()
	kind := uint16(etherTypeIPv6)
	if len(ip) == ipv4Len {
		kind = etherTypeIPv4
		ip[10], ip[11] = 0, 0
		be.PutUint16(ip[10:], ^onesSum(0, ip))
	}
	start := p.ip - ethernetLen
	b := p.buf[start:p.end]
	copy(b, to[:])
	copy(b[6:], from[:])
	be.PutUint16(b[12:], kind)
	return b
}

// onesSum is the ones' complement sum of 16-bit words that IP and UDP use, carried on from sum.
func onesSum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(be.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xFFFF {
		sum = sum>>16 + sum&0xFFFF
	}
	return uint16(sum)
}

// receiveBatch is how many frames are taken at once.
const receiveBatch = 64

// Receive waits for a RoCEv2 packet, and takes as many as are there. Other frames are answered or ignored.
func (l *FrameLink) Receive() ([]*Packet, error) {
	l.got = l.got[:0]
	for wait := l.ctx; len(l.got) < receiveBatch; {
		p := newPacket(largeRoom)
		n, err := l.frames.Receive(wait, p.buf[headroom-ethernetLen-ipv6Len-udpLen:])
		if err != nil {
			p.Release()
			if len(l.got) > 0 {
				return l.got, nil
			}
			if l.ctx.Err() != nil {
				return nil, errLinkClosed
			}
			if wait == l.over && errors.Is(err, context.Canceled) {
				wait = l.ctx
				continue
			}
			if isTooLong(err) {
				continue
			}
			return nil, errors.Join(errLinkClosed, err)
		}
		if l.accept(p, n) {
			l.got = append(l.got, p)
			wait = l.over
		} else {
			p.Release()
		}
	}
	return l.got, nil
}

// accept sorts a received frame of n bytes; true means that p is a RoCEv2 packet for this link.
func (l *FrameLink) accept(p *Packet, n int) bool {
	const start = headroom - ethernetLen - ipv6Len - udpLen
	if n < ethernetLen {
		return false
	}
	frame := p.buf[start : start+n]
	to, from := mac(frame[:6]), mac(frame[6:12])
	if to != l.mac && !to.group() {
		return false
	}
	ip := frame[ethernetLen:]
	p.ip = start + ethernetLen
	switch be.Uint16(frame[12:]) {
	case etherTypeARP:
		l.onARP(frame)
	case etherTypeIPv4:
		return l.addr.Is4() && p.parseIPv4(ip) && l.forMe(p, from)
	case etherTypeIPv6:
		if l.addr.Is4() {
			return false
		}
		if len(ip) >= ipv6Len && ip[6] == ipProtoICMPv6 {
			l.onICMPv6(frame)
			return false
		}
		return p.parseIPv6(ip) && l.forMe(p, from)
	}
	return false
}

// forMe tells whether a RoCEv2 packet is addressed to this link, and learns where it came from.
func (l *FrameLink) forMe(p *Packet, from mac) bool {
	if p.Dst() != l.addr || be.Uint16(p.UDP()[2:]) != roce.UDPPort {
		return false
	}
	if l.prefix.Contains(p.Src()) {
		l.neighbours.heard(p.Src(), from)
	}
	return true
}

// parseIPv4 checks an IPv4 header as an IP stack does and sets the packet's offsets. Fragments and options are refused:
// RoCEv2 has neither.
func (p *Packet) parseIPv4(b []byte) bool {
	const fragment = 0x3FFF // more fragments, and the offset
	if len(b) < ipv4Len+udpLen || b[0] != 0x45 || b[9] != ipProtoUDP || be.Uint16(b[6:])&fragment != 0 {
		return false
	}
	total := int(be.Uint16(b[2:]))
	if total < ipv4Len+udpLen || total > len(b) || onesSum(0, b[:ipv4Len]) != 0xFFFF {
		return false
	}
	return p.parseUDP(b, ipv4Len, total, b[12:20])
}

// parseIPv6 checks an IPv6 header and sets the packet's offsets. Extension headers are refused.
func (p *Packet) parseIPv6(b []byte) bool {
	if len(b) < ipv6Len+udpLen || b[0]>>4 != 6 || b[6] != ipProtoUDP {
		return false
	}
	total := ipv6Len + int(be.Uint16(b[4:]))
	if total < ipv6Len+udpLen || total > len(b) {
		return false
	}
	return p.parseUDP(b, ipv6Len, total, b[8:40])
}

// parseUDP checks length and check sum of a UDP datagram; addrs are the two addresses that its check sum covers.
func (p *Packet) parseUDP(b []byte, at, total int, addrs []byte) bool {
	udp := b[at:total]
	length := int(be.Uint16(udp[4:]))
	if length < udpLen+roce.BTHLen+roce.ICRCLen || length > len(udp) {
		return false
	}
	if sum := be.Uint16(udp[6:]); sum != 0 {
		pseudo := uint32(onesSum(uint32(ipProtoUDP)+uint32(length), addrs))
		if onesSum(pseudo, udp[:length]) != 0xFFFF {
			return false
		}
	}
	p.bth = p.ip + at + udpLen
	p.end = p.ip + at + length
	return true
}
