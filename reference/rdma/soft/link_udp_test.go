// SPDX-License-Identifier: Apache-2.0

package soft_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// Loopback addresses that nobody else on the machine is likely to use.
var (
	loopA = netip.MustParseAddr("127.47.91.1")
	loopB = netip.MustParseAddr("127.47.91.2")
)

// newUDPPair makes two devices on loopback addresses.
func newUDPPair(t testing.TB, a, b netip.Addr, cfg soft.Config) *pair {
	t.Helper()
	p := &pair{a: openUDP(t, a, cfg), b: openUDP(t, b, cfg)}
	p.memA, p.memB = register(t, p.a), register(t, p.b)
	return p
}

func openUDP(t testing.TB, addr netip.Addr, cfg soft.Config) *soft.Device {
	t.Helper()
	link, err := soft.OpenUDP(addr)
	must(t, err)
	d, err := soft.Open(link, cfg)
	must(t, err)
	t.Cleanup(func() { closeAll(t, d) })
	return d
}

func TestUDPLoopback(t *testing.T) {
	p := newUDPPair(t, loopA, loopB, soft.Config{})
	p.connect(t, wallConn)
	exchange(t, p)
}

// exchange moves data with every operation in both directions.
func exchange(t *testing.T, p *pair) {
	t.Helper()
	const size = 150_001
	pattern(p.memA.Bytes()[:size], 3)
	must(t, p.client.PostSend(
		rdma.SendWR{Op: rdma.OpWrite, Local: part(p.memA, 0, size), RemoteAddr: p.memB.Addr(), RemoteKey: p.memB.Key()},
		rdma.SendWR{Op: rdma.OpSend, Local: part(p.memA, 0, 99), Signaled: true},
	))
	must(t, one(t, p.client).Err())
	must(t, one(t, p.server).Err())
	must(t, p.server.PostSend(rdma.SendWR{
		Op: rdma.OpRead, Local: part(p.memB, 200_000, size), RemoteAddr: p.memA.Addr(), RemoteKey: p.memA.Key(), Signaled: true,
	}))
	must(t, one(t, p.server).Err())
	for name, got := range map[string][]byte{"WRITE": p.memB.Bytes()[:size], "READ": p.memB.Bytes()[200_000 : 200_000+size]} {
		if !bytes.Equal(got, p.memA.Bytes()[:size]) {
			t.Errorf("%s has not moved what was there", name)
		}
	}
}

func TestUDPPortTaken(t *testing.T) {
	link, err := soft.OpenUDP(loopA)
	must(t, err)
	defer link.Close()
	_, err = soft.OpenUDP(loopA)
	if !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "network namespace") {
		t.Errorf("the second link on an address: %v, must name EADDRINUSE and the way out", err)
	}
}

func TestUDPAddressRefused(t *testing.T) {
	for _, addr := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("203.0.113.77")} {
		link, err := soft.OpenUDP(addr)
		if err == nil {
			link.Close()
			t.Errorf("%s was taken", addr)
		}
	}
}

func BenchmarkUDPWrite(b *testing.B) {
	p := newUDPPair(b, loopA, loopB, soft.Config{})
	p.connect(b, wallConn)
	flood(b, p.client, rdma.SendWR{
		Op: rdma.OpWrite, Local: part(p.memA, 0, 128<<10), RemoteAddr: p.memB.Addr(), RemoteKey: p.memB.Key(), Signaled: true,
	}, 16)
}
