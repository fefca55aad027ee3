// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// UDPLink is a link over an ordinary UDP socket: no privilege, no raw socket. What makes this possible is that the IP
// header is predictable, as the ICRC needs it to be: an IPv4 socket that is not connected and probes the path MTU sends
// "don't fragment" with identification 0. Received IPv4 packets do not show their identification; it is solved for from
// the ICRC, which leaves 16 of its 32 bits to find errors. Over IPv6 nothing is hidden.
type UDPLink struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	addr netip.Addr // without zone
	mtu  int
	own  flow // its source is the peer; completed for each received packet

	recvBuffer int

	receive *mmsg // of the one receiver
	packets []*Packet

	sendMu sync.Mutex
	send   *mmsg
}

var _ Link = (*UDPLink)(nil)

// recvBufferWanted is the receive buffer in bytes that holds 256 full packets, with what the kernel counts beside them.
const recvBufferWanted = 256 * 2 * (4096 + 512)

// OpenUDP makes a link on one local address, which may be a loopback address; a link-local IPv6 address needs its zone. The
// socket has port 4791, which no other program on this host and in this network namespace may have.
func OpenUDP(addr netip.Addr) (*UDPLink, error) {
	if err := checkLinkAddr(addr.WithZone("")); err != nil {
		return nil, err
	}
	mtu, err := interfaceMTU(addr)
	if err != nil {
		return nil, fmt.Errorf("soft: open a UDP link on %s: %w", addr, err)
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error { return setUDPOptions(fd, addr.Is4()) })
	}}
	pc, err := config.ListenPacket(context.Background(), "udp", netip.AddrPortFrom(addr, roce.UDPPort).String())
	if err != nil {
		return nil, fmt.Errorf("soft: open a UDP link on %s: %w", addr, explainBind(err))
	}
	conn := pc.(*net.UDPConn)
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("soft: open a UDP link on %s: %w", addr, err), conn.Close())
	}
	l := &UDPLink{conn: conn, raw: raw, addr: addr.WithZone(""), mtu: mtu}
	l.own = newFlow(l.addr, l.addr, roce.UDPPort, 0, 0)
	l.receive = newMmsg(addr)
	l.send = newMmsg(addr)
	l.recvBuffer = readRecvBuffer(raw)
	return l, nil
}

// explainBind says what usually has port 4791 when it is taken.
func explainBind(err error) error {
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	holder := "another RoCEv2 endpoint on this host"
	if _, statErr := os.Stat("/sys/module/rdma_rxe"); statErr == nil {
		holder = "the soft-RoCE module rdma_rxe, which is loaded and takes the port on all addresses, even without a device"
	}
	return fmt.Errorf("UDP port %d is taken, by %s: unload it, or run in another network namespace: %w", roce.UDPPort, holder, err)
}

// setUDPOptions makes the IP header predictable and the receive buffer large, and leaves out the UDP check sum.
func setUDPOptions(fd int, ipv4 bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, recvBufferWanted); err != nil {
		// Without privilege the system's limit applies, see RecvBuffer.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, recvBufferWanted); err != nil {
			return fmt.Errorf("set the receive buffer: %w", err)
		}
	}
	if ipv4 {
		return errors.Join(
			wrap("probe the path MTU", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)),
			wrap("send without UDP check sum", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)),
		)
	}
	return errors.Join(
		wrap("bind to IPv6 alone", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)),
		wrap("probe the path MTU", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)),
		wrap("send without UDP check sum", unix.SetsockoptInt(fd, unix.IPPROTO_UDP, udpNoCheck6TX, 1)),
		wrap("receive without UDP check sum", unix.SetsockoptInt(fd, unix.IPPROTO_UDP, udpNoCheck6RX, 1)),
	)
}

// Socket options of UDP over IPv6 (linux/udp.h). RoCEv2 packets have a check sum of their own and usually none of UDP.
const (
	udpNoCheck6TX = 101
	udpNoCheck6RX = 102
)

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// control runs a function on a socket's descriptor.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var err error
	if outer := raw.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

func readRecvBuffer(raw syscall.RawConn) (size int) {
	err := control(raw, func(fd int) (err error) {
		size, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	})
	if err != nil {
		return 0
	}
	return size
}

// interfaceMTU gives the MTU of the interface that has an address.
func interfaceMTU(addr netip.Addr) (int, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			return 0, err
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			mine := prefix.Addr() == addr.WithZone("") && (addr.Zone() == "" || addr.Zone() == i.Name)
			if mine || i.Flags&net.FlagLoopback != 0 && addr.Is4() && addr.IsLoopback() {
				return i.MTU, nil
			}
		}
	}
	return 0, errors.New("no interface of this host has the address")
}

// Addr is the local address, without zone.
func (l *UDPLink) Addr() netip.Addr { return l.addr }

// MTU is that of the interface.
func (l *UDPLink) MTU() int { return l.mtu }

// SourcePort is 4791: a socket has only one.
func (l *UDPLink) SourcePort() uint16 { return roce.UDPPort }

// RecvBuffer is the size of the receive buffer in bytes, as the kernel counts it. Less than what 256 full packets need
// (2.3 MB) means that bursts may be lost; raise net.core.rmem_max.
func (l *UDPLink) RecvBuffer() int { return l.recvBuffer }

// Wait returns at once: Send waits for the socket.
func (l *UDPLink) Wait() {}

// Close closes the socket.
func (l *UDPLink) Close() error { return l.conn.Close() }

// Send sends the packets, as many as possible with one system call. Those that the kernel refuses are lost.
func (l *UDPLink) Send(packets []*Packet) error {
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	var err error
	for rest := packets; len(rest) > 0; {
		n := l.send.load(rest)
		if err = l.sendBatch(n); err != nil {
			break
		}
		rest = rest[n:]
	}
	for _, p := range packets {
		p.Release()
	}
	return err
}

// sendBatch sends n loaded packets.
func (l *UDPLink) sendBatch(n int) error {
	for sent := 0; sent < n; {
		count, err := l.send.sendTo(l.raw, sent, n)
		if errors.Is(err, net.ErrClosed) {
			return errors.Join(errLinkClosed, err)
		}
		if err != nil {
			count = 1 // the first one is refused
		}
		sent += count
	}
	return nil
}

// Receive waits for packets and takes as many as are there.
func (l *UDPLink) Receive() ([]*Packet, error) {
	for {
		l.receive.refill()
		count, err := l.receive.receiveFrom(l.raw)
		if errors.Is(err, net.ErrClosed) {
			return nil, errors.Join(errLinkClosed, err)
		}
		l.packets = l.packets[:0]
		for i := range count {
			if p := l.finish(i); p != nil {
				l.packets = append(l.packets, p)
			}
		}
		if len(l.packets) > 0 {
			return l.packets, nil
		}
	}
}

// finish puts the IP and UDP headers in front of received packet i, as they must have been; nil for one that is no
// RoCEv2.
func (l *UDPLink) finish(i int) *Packet {
	size, from := l.receive.received(i)
	if size < roce.BTHLen+roce.ICRCLen || size > largeRoom {
		return nil
	}
	p := l.receive.take(i)
	p.ip, p.end = p.bth-udpLen-l.own.ipLen, p.bth+size
	copy(p.buf[p.ip:], l.own.header[:l.own.ipLen+udpLen])
	p.setSrc(from.Addr())
	be.PutUint16(p.UDP(), from.Port())
	p.setLengths()
	p.idUnknown = l.addr.Is4()
	return p
}

// setSrc sets the IP source address.
func (p *Packet) setSrc(addr netip.Addr) {
	ip := p.IP()
	if len(ip) == ipv4Len {
		a := addr.As4()
		copy(ip[12:], a[:])
		return
	}
	a := addr.As16()
	copy(ip[8:], a[:])
}
