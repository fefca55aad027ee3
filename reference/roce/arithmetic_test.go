// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

func TestPSN(t *testing.T) {
	for _, c := range []struct {
		p, q roce.PSN
		sub  int
	}{
		{0, 0, 0},
		{1, 0, 1},
		{0, 1, -1},
		{0, 0xFFFFFF, 1},
		{0xFFFFFF, 0, -1},
		{0x7FFFFF, 0, 1<<23 - 1},
		{0x800000, 0, -1 << 23},
		{5, 0xFFFFF0, 21},
	} {
		if got := c.p.Sub(c.q); got != c.sub {
			t.Errorf("%#x - %#x = %d, want %d", c.p, c.q, got, c.sub)
		}
		if got := c.q.Add(c.sub); got != c.p {
			t.Errorf("%#x + %d = %#x, want %#x", c.q, c.sub, got, c.p)
		}
		if c.p.After(c.q) != (c.sub > 0) || c.p.Before(c.q) != (c.sub < 0) {
			t.Errorf("%#x against %#x: after %v, before %v", c.p, c.q, c.p.After(c.q), c.p.Before(c.q))
		}
	}
	if first := roce.PSN(0xFFFFFE); !first.Add(2).In(first, 3) || first.Add(3).In(first, 3) || first.Add(-1).In(first, 3) {
		t.Error("In does not hold for exactly the PSNs FFFFFE, FFFFFF and 0")
	}
}

func TestMTU(t *testing.T) {
	for _, c := range []struct {
		netdev     int
		port, path roce.MTUCode
	}{
		{1500, roce.MTU1024, roce.MTU1024},
		{4300, roce.MTU4096, roce.MTU4096},
		{4192, roce.MTU4096, roce.MTU4096},
		{4191, roce.MTU4096, roce.MTU2048},
		{4176, roce.MTU4096, roce.MTU2048},
		{4175, roce.MTU2048, roce.MTU2048},
		{68, roce.MTU256, roce.MTU256},
		{65536, roce.MTU4096, roce.MTU4096},
	} {
		if port, path := roce.PortMTU(c.netdev), roce.PathMTU(c.netdev); port != c.port || path != c.path {
			t.Errorf("device MTU %d: port %v, path %v; want %v, %v", c.netdev, port, path, c.port, c.path)
		}
	}
	for code, want := range map[roce.MTUCode]int{0: 0, 1: 256, 2: 512, 3: 1024, 4: 2048, 5: 4096, 6: 0, 255: 0} {
		if got := code.Bytes(); got != want {
			t.Errorf("code %d is %d bytes, want %d", uint8(code), got, want)
		}
		if got, ok := roce.MTUCodeOf(want); want != 0 && (got != code || !ok) {
			t.Errorf("%d bytes have code %v, %v", want, got, ok)
		}
	}
	if c, ok := roce.MTUCodeOf(1000); ok {
		t.Errorf("1000 bytes have code %v", c)
	}
}

func TestSegmentation(t *testing.T) {
	for _, c := range []struct {
		length uint32
		pmtu   int
		n      int
	}{{0, 1024, 1}, {1, 1024, 1}, {1024, 1024, 1}, {1025, 1024, 2}, {2048, 1024, 2}, {5001, 1024, 5}, {1<<32 - 1, 256, 1 << 24}} {
		n := roce.Packets(c.length, c.pmtu)
		if n != c.n {
			t.Errorf("%d bytes at %d are %d packets, want %d", c.length, c.pmtu, n, c.n)
		}
		if n > 10 {
			continue
		}
		next := uint32(0)
		for i := range n {
			pos, from, to := roce.Segment(c.length, c.pmtu, i)
			starts := pos == roce.PositionFirst || pos == roce.PositionOnly
			ends := pos == roce.PositionLast || pos == roce.PositionOnly
			full := to-from == uint32(c.pmtu) || ends
			if from != next || starts != (i == 0) || ends != (i == n-1) || !full {
				t.Errorf("%d bytes at %d: packet %d is %v, [%d, %d)", c.length, c.pmtu, i, pos, from, to)
			}
			next = to
		}
		if next != c.length {
			t.Errorf("%d bytes at %d: packets end at %d", c.length, c.pmtu, next)
		}
	}
}

func TestSyndromes(t *testing.T) {
	for _, c := range []struct {
		s      roce.Syndrome
		class  roce.SyndromeClass
		fatal  bool
		string string
	}{
		{0x00, roce.SyndromeACK, false, "ACK, 0 credits"},
		{0x0A, roce.SyndromeACK, false, "ACK, 32 credits"},
		{roce.ACKUnlimited, roce.SyndromeACK, false, "ACK, credits unlimited"},
		{0x20, roce.SyndromeRNRNAK, false, "RNR NAK, 655.36ms"},
		{roce.RNRSyndrome(1), roce.SyndromeRNRNAK, false, "RNR NAK, 10µs"},
		{0x3F, roce.SyndromeRNRNAK, false, "RNR NAK, 491.52ms"},
		{0x40, roce.SyndromeReserved, true, "reserved syndrome 0x40"},
		{0x60, roce.SyndromeNAK, false, "NAK, PSN sequence error"},
		{0x61, roce.SyndromeNAK, true, "NAK, invalid request"},
		{roce.NAKSyndrome(roce.NAKRemoteAccessError), roce.SyndromeNAK, true, "NAK, remote access error"},
		{0x63, roce.SyndromeNAK, true, "NAK, remote operational error"},
		{0x64, roce.SyndromeNAK, true, "NAK, invalid RD request"},
		{0x65, roce.SyndromeNAK, true, "NAK, reserved code 5"},
		{0x80, roce.SyndromeReserved, true, "reserved syndrome 0x80"},
		{0xE0, roce.SyndromeReserved, true, "reserved syndrome 0xe0"},
	} {
		if c.s.Class() != c.class || c.s.Fatal() != c.fatal || c.s.String() != c.string {
			t.Errorf("syndrome %#02x: class %d, fatal %v, %q", uint8(c.s), c.s.Class(), c.s.Fatal(), c.s)
		}
	}
}

// TestRNRTimes has the table of the specification in milliseconds.
func TestRNRTimes(t *testing.T) {
	ms := [32]float64{
		655.36, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.48, 0.64, 0.96, 1.28, 1.92,
		2.56, 3.84, 5.12, 7.68, 10.24, 15.36, 20.48, 30.72, 40.96, 61.44, 81.92, 122.88, 163.84, 245.76, 327.68, 491.52,
	}
	for code, want := range ms {
		got := roce.RNRTime(uint8(code))
		if got != time.Duration(want*1000+0.5)*time.Microsecond {
			t.Errorf("code %d is %v, want %v ms", code, got, want)
		}
		if back := roce.RNRCode(got); back != uint8(code) {
			t.Errorf("%v has code %d, want %d", got, back, code)
		}
	}
	if got := roce.RNRCode(13 * time.Microsecond); got != 2 {
		t.Errorf("13 µs have code %d, want 2", got)
	}
}

func TestCredits(t *testing.T) {
	want := [32]int{
		0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768,
		1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768, 0,
	}
	for code, n := range want {
		got, limited := roce.Credits(uint8(code))
		if got != n || limited != (code != 31) {
			t.Errorf("code %d grants %d, limited %v", code, got, limited)
		}
		if back := roce.CreditCode(n); limited && back != uint8(code) {
			t.Errorf("%d credits have code %d, want %d", n, back, code)
		}
	}
	for n, code := range map[int]uint8{-1: 0, 5: 4, 7: 5, 100000: 30} {
		if got := roce.CreditCode(n); got != code {
			t.Errorf("%d credits have code %d, want %d", n, got, code)
		}
	}
}

func TestTimeouts(t *testing.T) {
	for code, want := range map[uint8]time.Duration{
		0: 0, 1: 8192 * time.Nanosecond, 14: 67108864 * time.Nanosecond, 17: 536870912 * time.Nanosecond,
	} {
		if got := roce.ACKTimeout(code); got != want {
			t.Errorf("ACK timeout %d is %v, want %v", code, got, want)
		}
	}
	if got := roce.CMTimeout(0); got != 4096*time.Nanosecond {
		t.Errorf("CM timeout 0 is %v", got)
	}
	if got := roce.LinuxCMTimeout(20); got != 4096*time.Millisecond {
		t.Errorf("CM timeout 20 of Linux is %v, want 4.096s", got)
	}
	if got := roce.LinuxCMTimeout(3); got != time.Millisecond {
		t.Errorf("CM timeout 3 of Linux is %v, want 1ms", got)
	}
}

func TestGID(t *testing.T) {
	for _, s := range []string{"10.0.0.2", "fd00::1", "fe80::5054:ff:fe00:1"} {
		a := netip.MustParseAddr(s)
		if got := roce.GIDOf(a); got.Addr() != a || got.String() != s || got.IsZero() {
			t.Errorf("GID of %v is %x, back %v", a, got[:], got.Addr())
		}
	}
	want := roce.GID{10: 0xFF, 11: 0xFF, 12: 10, 15: 2}
	if got := roce.GIDOf(netip.MustParseAddr("10.0.0.2")); got != want {
		t.Errorf("GID of 10.0.0.2 is %x", got[:])
	}
	if !roce.GIDOf(netip.Addr{}).IsZero() {
		t.Error("GID of no address is not zero")
	}
}

func TestServiceID(t *testing.T) {
	id := roce.IPServiceID(roce.PortSpaceTCP, 7174)
	if id != 0x0000000001061C06 {
		t.Errorf("service id of TCP port 7174 is %v", id)
	}
	if space, port, ok := id.IP(); space != 6 || port != 7174 || !ok {
		t.Errorf("%v is port %d of space %d, %v", id, port, space, ok)
	}
	if _, _, ok := roce.ServiceID(0x0100000001061C06).IP(); ok {
		t.Error("another prefix passes for the RDMA IP CM service")
	}
}

// The ports were seen on the wire: see the test vectors and the captures.
func TestSourcePorts(t *testing.T) {
	if got := roce.SourcePort(0xA28B6, 0x11, 0x11); got != 59550 {
		t.Errorf("port of flow label A28B6 is %d, want 59550", got)
	}
	if got := roce.DatagramSourcePort(roce.GSIQPN); got != 55410 {
		t.Errorf("port of queue pair 1 is %d, want 55410", got)
	}
	if a, b := roce.SourcePort(0, 0x12, 0x345), roce.SourcePort(0, 0x345, 0x12); a != b || a < 0xC000 {
		t.Errorf("without flow label the two directions have ports %d and %d", a, b)
	}
}
