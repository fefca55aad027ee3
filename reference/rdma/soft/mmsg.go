// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// mmsgBatch is how many datagrams one system call moves.
const mmsgBatch = 32

// mmsg is the argument of sendmmsg and recvmmsg: many datagrams with one system call, without allocating for any.
type mmsg struct {
	ipv4 bool
	zone uint32 // interface index for link-local addresses

	headers [mmsgBatch]mmsghdr
	vectors [mmsgBatch]unix.Iovec
	names4  [mmsgBatch]unix.RawSockaddrInet4
	names6  [mmsgBatch]unix.RawSockaddrInet6
	packets [mmsgBatch]*Packet // that the vectors point into

	// The system call under way: its datagrams and its result. The functions are made once, so that no call allocates.
	from, to int
	count    int
	errno    unix.Errno
	sendFunc func(fd uintptr) bool
	recvFunc func(fd uintptr) bool
}

// mmsghdr is struct mmsghdr of Linux.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// newMmsg makes an argument for the socket of a local address.
func newMmsg(addr netip.Addr) *mmsg {
	m := &mmsg{ipv4: addr.Is4()}
	if i, err := net.InterfaceByName(addr.Zone()); err == nil {
		m.zone = uint32(i.Index)
	}
	for i := range m.headers {
		h := &m.headers[i].hdr
		h.Iov = &m.vectors[i]
		h.SetIovlen(1)
		m.setName(i)
	}
	m.sendFunc = func(fd uintptr) bool { return m.call(unix.SYS_SENDMMSG, fd) }
	m.recvFunc = func(fd uintptr) bool { return m.call(unix.SYS_RECVMMSG, fd) }
	return m
}

// call makes the system call and reports whether it did not have to wait.
func (m *mmsg) call(number, fd uintptr) bool {
	head := unsafe.Pointer(&m.headers[m.from])
	n, _, errno := unix.Syscall6(number, fd, uintptr(head), uintptr(m.to-m.from), unix.MSG_DONTWAIT, 0, 0)
	m.count, m.errno = int(n), errno
	return errno != unix.EAGAIN
}

// result gives how many datagrams went, none with an error.
func (m *mmsg) result(err error) (int, error) {
	if err == nil && m.errno != 0 {
		err = m.errno
	}
	if err != nil {
		return 0, err
	}
	return m.count, nil
}

func (m *mmsg) setName(i int) {
	h := &m.headers[i].hdr
	if m.ipv4 {
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&m.names4[i])), unix.SizeofSockaddrInet4
		return
	}
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&m.names6[i])), unix.SizeofSockaddrInet6
}

// load points to the payloads of packets and gives how many there was room for.
func (m *mmsg) load(packets []*Packet) int {
	n := min(len(packets), mmsgBatch)
	for i, p := range packets[:n] {
		b := p.Payload()
		m.vectors[i].Base = &b[0]
		m.vectors[i].SetLen(len(b))
		m.address(i, p.Dst())
	}
	return n
}

// address makes datagram i go to port 4791 of an address.
func (m *mmsg) address(i int, dst netip.Addr) {
	if m.ipv4 {
		m.names4[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(roce.UDPPort), Addr: dst.As4()}
		return
	}
	m.names6[i] = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(roce.UDPPort), Addr: dst.As16()}
	if dst.IsLinkLocalUnicast() {
		m.names6[i].Scope_id = m.zone
	}
}

// networkOrder gives the field value whose bytes in memory are v, most significant first; applied twice it gives v back.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	be.PutUint16(b[:], v)
	return *(*uint16)(unsafe.Pointer(&b))
}

// sendTo sends loaded datagrams from..to, waiting for room, and gives how many went.
func (m *mmsg) sendTo(raw syscall.RawConn, from, to int) (int, error) {
	m.from, m.to = from, to
	return m.result(raw.Write(m.sendFunc))
}

// refill gives every datagram that has none a packet to be received into.
func (m *mmsg) refill() {
	for i := range m.packets {
		if m.packets[i] == nil {
			m.packets[i] = newPacket(largeRoom)
		}
		room := m.packets[i].buf[headroom:]
		m.vectors[i].Base = &room[0]
		m.vectors[i].SetLen(len(room))
		m.setName(i)
	}
}

// receiveFrom waits for datagrams and gives how many came.
func (m *mmsg) receiveFrom(raw syscall.RawConn) (int, error) {
	m.from, m.to = 0, mmsgBatch
	return m.result(raw.Read(m.recvFunc))
}

// received gives size and sender of received datagram i; one that was cut counts as larger than its room.
func (m *mmsg) received(i int) (size int, from netip.AddrPort) {
	size = int(m.headers[i].len)
	if m.headers[i].hdr.Flags&unix.MSG_TRUNC != 0 {
		size = largeRoom + 1
	}
	if m.ipv4 {
		name := &m.names4[i]
		return size, netip.AddrPortFrom(netip.AddrFrom4(name.Addr), networkOrder(name.Port))
	}
	name := &m.names6[i]
	return size, netip.AddrPortFrom(netip.AddrFrom16(name.Addr), networkOrder(name.Port))
}

// take gives received packet i away.
func (m *mmsg) take(i int) *Packet {
	p := m.packets[i]
	m.packets[i] = nil
	return p
}
