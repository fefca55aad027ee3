// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// TestContents: whatever is in a capture beside storage is named, with its number.
func TestContents(t *testing.T) {
	base := load(t, audit.Files{Names: []string{baseCase}})
	data := base[40].Data
	sent := func(op roce.OpCode, qp uint32) []byte {
		p := roce.Packet{Src: roceOf(data).Src, Dst: roceOf(data).Dst, DstPort: roce.UDPPort}
		p.BTH.OpCode, p.BTH.DestQP = op, qp
		b, err := p.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tcp := outerIPv4(6, make([]byte, 20))
	fragment := outerIPv4(protocolUDP, make([]byte, 40))
	fragment[20] = 0x20 // more fragments
	for _, test := range []struct {
		frame []byte
		want  string
	}{
		{sent(0x24, 77), "1 packet of unreliable connections (UC)"},
		{sent(roce.UDSendOnly, 77), "1 packet of unreliable datagrams (UD)"},
		{sent(roce.CNP, 77), "1 packet of congestion notification (CNP)"},
		{sent(roce.RCSendOnly, 77), "1 packet of reliable connections (RC) that began before it"},
		{ethernetOf(0x0806, make([]byte, 28)), "1 frame of ARP"},
		{ethernetOf(0x88E5, make([]byte, 60)), "1 frame of MACsec, which may be encrypted"},
		{ethernetOf(0xBEEF, make([]byte, 60)), "1 frame of EtherType 0xbeef"},
		{ethernetOf(60, make([]byte, 60)), "1 frame of 802.3"},
		{tcp, "1 frame of TCP"},
		{outerIPv4(50, make([]byte, 20)), "1 frame of IPsec ESP, which is encrypted"},
		{outerIPv4(99, make([]byte, 20)), "1 frame of IP protocol 99"},
		{fragment, "1 frame of IP fragments"},
		{outerIPv6([]byte{44}, protocolUDP, make([]byte, 40)), "1 frame of IP fragments"},
		{outerIPv6([]byte{0, 43, 60}, 6, make([]byte, 20)), "1 frame of TCP"},
		{inVXLANof(portVXLAN)(tcp), "1 frame of TCP in VXLAN"},
		{tagged(0x88, 0xA8, 0, 1, 0x81, 0, 0, 2)(tcp), "1 frame of TCP in 802.1ad, 802.1Q"},
		{outerIPv4(protocolUDP, outerUDP(2152, make([]byte, 40))), "1 frame of GTP, which is not looked into"},
		{outerIPv4(protocolUDP, outerUDP(53, make([]byte, 40))), "1 frame of UDP"},
		{outerIPv4(protocolGRE, []byte{0x30, 0x01, 0x88, 0x0B}, make([]byte, 40)), "1 frame of GRE of another version"},
		{ethernetOf(etherMPLS, []byte{0, 1, 1, 64}, tcp[14:]), "1 frame of TCP in MPLS"},
		{ethernetOf(etherMPLS, []byte{0, 1, 0, 64}), "1 frame of broken headers"},
		{tagged([]byte(strings.Repeat("\x81\x00\x00\x09", 20))...)(data), "1 frame of broken headers"},
	} {
		tracker := audit.NewTracker(audit.Options{SkipICRC: true})
		tracker.Frame("rail0", base[0].At, test.frame, len(test.frame))
		got := tracker.Contents().Sentence()
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%x: %q, want %q", test.frame[:min(len(test.frame), 40)], got, test.want)
		}
	}
}
