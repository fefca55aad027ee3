// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// inNamespace puts the test into a network namespace of its own, with a veth pair "left" and "right" that is up. Sockets
// that the test opens itself belong to it.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	must(t, unix.Unshare(unix.CLONE_NEWNET))
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: "left", MTU: 4300})
	pair.PeerName = "right"
	must(t, netlink.LinkAdd(pair))
	for _, name := range []string{"lo", "left", "right"} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetUp(l))
	}
}

// address gives an interface an address that can be used at once.
func address(t *testing.T, name, prefix string) {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	a, err := netlink.ParseAddr(prefix)
	must(t, err)
	a.Flags = unix.IFA_F_NODAD
	must(t, netlink.AddrAdd(l, a))
}

func TestUDPOverIPv6(t *testing.T) {
	inNamespace(t)
	address(t, "lo", "fd00::1/128")
	address(t, "lo", "fd00::2/128")
	p := newUDPPair(t, netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2"), soft.Config{})
	p.connect(t, wallConn)
	exchange(t, p)
}

// A peer on the same link is dialled by its link-local address, with its interface or without.
func TestUDPOverLinkLocal(t *testing.T) {
	inNamespace(t)
	address(t, "left", "fe80::1/64")
	address(t, "left", "fe80::2/64")
	p := newUDPPair(t, netip.MustParseAddr("fe80::1%left"), netip.MustParseAddr("fe80::2%left"), soft.Config{})
	p.connect(t, wallConn)
	exchange(t, p)

	named := &pair{a: p.a, b: p.b, memA: p.memA, memB: p.memB}
	named.connectAt(t, wallConn, netip.MustParseAddrPort("[fe80::2%left]:7778"))
	exchange(t, named)
}

// A socket with the host's IP stack on one side, handmade headers on the other: each accepts the other's ICRC, finds the
// other's hardware address, and is found.
func TestPacketSocketAgainstUDP(t *testing.T) {
	for _, a := range []struct{ host, own string }{{"10.9.0.1/24", "10.9.0.2/24"}, {"fd09::1/64", "fd09::2/64"}} {
		done := make(chan struct{})
		go func() { // a namespace is for one goroutine
			defer close(done)
			packetSocketAgainstUDP(t, a.host, a.own)
		}()
		<-done
	}
}

func packetSocketAgainstUDP(t *testing.T, host, own string) {
	inNamespace(t)
	address(t, "left", host)
	frames, err := soft.OpenPacketSocket("right")
	must(t, err)
	link, err := soft.NewFrameLink(frames, soft.FrameConfig{
		MAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, Prefix: netip.MustParsePrefix(own), MTU: 4300,
	})
	must(t, err)
	d, err := soft.Open(link, soft.Config{})
	must(t, err)
	t.Cleanup(func() { closeAll(t, d) })
	p := &pair{a: d, b: openUDP(t, netip.MustParsePrefix(host).Addr(), soft.Config{})}
	p.memA, p.memB = register(t, p.a), register(t, p.b)
	p.connect(t, wallConn)
	exchange(t, p)
}

// What the kernel puts into the IP header of the UDP link's packets is what their ICRC was computed for.
func TestUDPHeaderIsPredictable(t *testing.T) {
	inNamespace(t)
	address(t, "left", "10.9.0.1/24")
	address(t, "left", "fd09::1/64")
	l, err := netlink.LinkByName("left")
	must(t, err)
	for _, peer := range []string{"10.9.0.2", "fd09::2"} {
		must(t, netlink.NeighAdd(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(peer), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		}))
	}
	frames, err := soft.OpenPacketSocket("right")
	must(t, err)
	defer closeAll(t, frames)
	for own, peer := range map[string]string{"10.9.0.1": "10.9.0.2", "fd09::1": "fd09::2"} {
		d := openUDP(t, netip.MustParseAddr(own), soft.Config{})
		ctx, cancel := context.WithCancel(context.Background())
		dialled := make(chan error, 1)
		go func() {
			_, err := d.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr(peer), 7777), wallConn, nil)
			dialled <- err
		}()
		p := nextPacket(t, frames)
		if got := roce.CheckICRC(p.IP(), p.UDP(), p.Payload()); got != roce.ICRCGood {
			t.Errorf("ICRC of a packet as it is on the wire: %s (IP header % x)", got, p.IP())
		}
		cancel()
		<-dialled
	}
}

// nextPacket waits for a frame with a RoCEv2 packet.
func nextPacket(t *testing.T, frames soft.Frames) *soft.Packet {
	t.Helper()
	var buffer [4400]byte
	for {
		n, err := frames.Receive(context.Background(), buffer[:])
		must(t, err)
		if p, err := soft.NewPacket(buffer[14:n]); err == nil && p.DestQP() == roce.GSIQPN {
			return p
		}
	}
}
