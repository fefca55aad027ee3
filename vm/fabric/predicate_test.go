// SPDX-License-Identifier: Apache-2.0

package fabric_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

func TestPredicates(t *testing.T) {
	f := &fabric.Frame{From: "alpha", To: "beta", Data: packet(t, mac(2), mac(1), 5, 0xAB, []byte("payload"))}
	other := &fabric.Frame{From: "beta", To: "alpha", Data: frameTo(mac(1), mac(2), "x")}
	tests := []struct {
		predicate fabric.Predicate
		name      string
		want      bool // of the packet; the other frame is matched by Any, Not and FromPort("beta") alone
		other     bool
	}{
		{fabric.Any(), "any", true, true},
		{fabric.Not(fabric.Any()), "not any", false, false},
		{fabric.And(fabric.Any(), fabric.IsRoCE()), "(any and roce)", true, false},
		{fabric.Or(fabric.FromPort("beta"), fabric.PSN(5)), "(from beta or psn 5)", true, true},
		{fabric.FromPort("alpha"), "from alpha", true, false},
		{fabric.ToPort("beta"), "to beta", true, false},
		{fabric.FromAddr(netip.MustParseAddr("10.0.0.1")), "from 10.0.0.1", true, false},
		{fabric.FromAddr(netip.MustParseAddr("10.0.0.2")), "from 10.0.0.2", false, false},
		{fabric.ToAddr(netip.MustParseAddr("10.0.0.2")), "to 10.0.0.2", true, false},
		{fabric.Opcode(roce.RCSendOnly, roce.RCWriteOnlyImm), "RC SEND Only|RC RDMA WRITE Only with Immediate", true, false},
		{fabric.Opcode(roce.RCSendOnly), "RC SEND Only", false, false},
		{fabric.DestQP(0x12), "to qp 0x12", true, false},
		{fabric.DestQP(0x13), "to qp 0x13", false, false},
		{fabric.ConnectionOf(fabric.PSN(5)), "to the queue pair of the first psn 5", true, false},
		{fabric.ConnectionOf(fabric.PSN(6)), "to the queue pair of the first psn 6", false, false},
		{fabric.PSN(6), "psn 6", false, false},
		{fabric.Immediate("odd", func(i uint32) bool { return i&1 == 1 }), "odd", true, false},
		{fabric.Immediate("even", func(i uint32) bool { return i&1 == 0 }), "even", false, false},
		{fabric.RoCE("wants ack", func(h *roce.BTH) bool { return h.AckReq }), "wants ack", true, false},
		{fabric.IsARPOrND(), "arp or nd", false, false},
	}
	for _, test := range tests {
		if got := test.predicate.String(); got != test.name {
			t.Errorf("the name is %q, want %q", got, test.name)
		}
		if got := test.predicate.Match(f); got != test.want {
			t.Errorf("%v matches the packet: %v, want %v", test.predicate, got, test.want)
		}
		if got := test.predicate.Match(other); got != test.other {
			t.Errorf("%v matches the other frame: %v, want %v", test.predicate, got, test.other)
		}
	}
}

// TestConnectionOf follows the connection of one packet.
func TestConnectionOf(t *testing.T) {
	p := fabric.ConnectionOf(fabric.PSN(6))
	for i, c := range []struct {
		from string
		psn  roce.PSN
		want bool
	}{{"alpha", 5, false}, {"alpha", 6, true}, {"alpha", 7, true}, {"beta", 7, false}, {"alpha", 5, true}} {
		f := &fabric.Frame{From: c.from, Data: packet(t, mac(2), mac(1), c.psn, 0xAB, []byte("payload"))}
		if got := p.Match(f); got != c.want {
			t.Errorf("packet %d, %+v: %v", i, c, got)
		}
	}
}

func TestNeighbourResolution(t *testing.T) {
	arp := frameTo(broadcast, mac(1), "")
	binary.BigEndian.PutUint16(arp[12:], 0x0806)
	solicitation := frameTo(broadcast, mac(1), "")
	binary.BigEndian.PutUint16(solicitation[12:], 0x86DD)
	ip := make([]byte, 44)
	ip[0], ip[5], ip[6], ip[40] = 0x60, 4, 58, 135
	solicitation = append(solicitation, ip...)
	echo := append([]byte(nil), solicitation...)
	echo[14+40] = 128
	for name, test := range map[string]struct {
		data []byte
		want bool
	}{"arp": {arp, true}, "neighbour solicitation": {solicitation, true}, "echo request": {echo, false}} {
		if got := fabric.IsARPOrND().Match(&fabric.Frame{Data: test.data}); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// FuzzDecode has no frame make the decoder read beyond it.
func FuzzDecode(f *testing.F) {
	f.Add(packet(f, mac(2), mac(1), 5, 0xAB, []byte("payload")))
	f.Add(frameTo(mac(2), mac(1), ""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < fabric.MinFrame {
			t.Skip("a rail takes no such frame")
		}
		frame := &fabric.Frame{Data: data}
		_ = frame.String()
		frame.Immediate()
		fabric.IsARPOrND().Match(frame)
	})
}
