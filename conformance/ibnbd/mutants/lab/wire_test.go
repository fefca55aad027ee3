// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// frame is a RoCEv2 packet of a host, with all that follows its base transport header.
func frame(t *testing.T, from string, bth roce.BTH, rest []byte) *fabric.Frame {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP,
		SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2},
	}
	udp := &layers.UDP{SrcPort: 50000, DstPort: roce.UDPPort}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	base := layer.BTHOf(bth)
	base.SetHeadersForICRC(ip, udp)
	buffer := gopacket.NewSerializeBuffer()
	mac := make(net.HardwareAddr, 6)
	err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeIPv4}, ip, udp, base, gopacket.Payload(rest))
	if err != nil {
		t.Fatal(err)
	}
	return &fabric.Frame{From: from, Data: buffer.Bytes()}
}

// TestRepeatedRequests looks for what a host sends again on reliable connections.
func TestRepeatedRequests(t *testing.T) {
	p := repeated("client", ofRequests)
	write := func(from string, queue uint32, psn roce.PSN, op roce.OpCode) *fabric.Frame {
		return frame(t, from, roce.BTH{OpCode: op, DestQP: queue, PSN: psn}, make([]byte, roce.RETHLen+4))
	}
	for i, c := range []struct {
		frame *fabric.Frame
		want  bool
	}{
		{write("client", 17, 5, roce.RCWriteOnly), false},
		{write("client", 17, 6, roce.RCWriteOnly), false},
		{write("client", 18, 5, roce.RCWriteOnly), false},
		{write("server", 17, 5, roce.RCWriteOnly), false},
		{write("server", 17, 5, roce.RCWriteOnly), false},
		{write("client", 17, 5, roce.RCWriteOnly), true},
		{write("client", 17, 5, roce.RCWriteOnly), true},
		{write("client", 17, 7, roce.RCAcknowledge), false},
		{write("client", 17, 7, roce.RCAcknowledge), false},
		{&fabric.Frame{From: "client", Data: make([]byte, 60)}, false},
	} {
		if got := p.Match(c.frame); got != c.want {
			t.Errorf("frame %d: %v, want %v", i, got, c.want)
		}
	}
}

// TestDeathOfALoss lets everything through until something is repeated.
func TestDeathOfALoss(t *testing.T) {
	p := afterALoss("client")
	send := func(from string, psn roce.PSN, op roce.OpCode) *fabric.Frame {
		return frame(t, from, roce.BTH{OpCode: op, DestQP: 17, PSN: psn}, make([]byte, roce.RETHLen+4))
	}
	for i, c := range []struct {
		frame *fabric.Frame
		want  bool
	}{
		{send("client", 5, roce.RCWriteOnly), false},
		{send("client", 6, roce.RCWriteOnly), false},
		{send("client", 5, roce.RCWriteOnly), true},
		{send("client", 7, roce.RCWriteOnly), true},
		{send("client", 7, roce.RCAcknowledge), true},
		{send("server", 7, roce.RCWriteOnly), false},
		{send("client", 7, roce.UDSendOnly), false},
	} {
		if got := p.Match(c.frame); got != c.want {
			t.Errorf("frame %d: %v, want %v", i, got, c.want)
		}
	}
}

// managementOf is a message of the client's connection manager.
func managementOf(t *testing.T, m roce.CMMessage, exchange uint64, psn roce.PSN) *fabric.Frame {
	t.Helper()
	header := roce.NewCMHeader(m.Attribute(), exchange)
	rest, err := roce.AppendCM(make([]byte, roce.DETHLen), &header, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame(t, "client", roce.BTH{OpCode: roce.UDSendOnly, DestQP: roce.GSIQPN, PSN: psn}, rest)
}

// TestLaterConnects asks for nine connections, and repeats the first request.
func TestLaterConnects(t *testing.T) {
	p := laterConnects("client")
	for i := range 8 {
		for _, m := range []roce.CMMessage{&roce.CMReq{}, &roce.CMRtu{}} {
			if p.Match(managementOf(t, m, uint64(i), roce.PSN(i))) {
				t.Errorf("message %T of connection %d matches", m, i)
			}
		}
	}
	if p.Match(managementOf(t, &roce.CMReq{}, 0, 9)) {
		t.Error("a request that is repeated matches")
	}
	if p.Match(managementOf(t, &roce.CMRtu{}, 8, 10)) || !p.Match(managementOf(t, &roce.CMReq{}, 8, 11)) {
		t.Error("of the ninth connection its request must match, and nothing else")
	}
}

// TestRepeatedManagement looks for messages of the connection manager that a host sends again.
func TestRepeatedManagement(t *testing.T) {
	p := repeated("client", ofManagement)
	for i, c := range []struct {
		frame *fabric.Frame
		want  bool
	}{
		{managementOf(t, &roce.CMReq{}, 7, 1), false},
		{managementOf(t, &roce.CMReq{}, 8, 2), false},
		{managementOf(t, &roce.CMRtu{}, 7, 3), false},
		{managementOf(t, &roce.CMReq{}, 7, 4), true},
		{frame(t, "client", roce.BTH{OpCode: roce.UDSendOnly, DestQP: roce.GSIQPN}, make([]byte, 4)), false},
		{frame(t, "client", roce.BTH{OpCode: roce.RCWriteOnly, DestQP: 17}, make([]byte, roce.RETHLen)), false},
		{frame(t, "client", roce.BTH{OpCode: roce.RCWriteOnly, DestQP: 17}, make([]byte, roce.RETHLen)), false},
	} {
		if got := p.Match(c.frame); got != c.want {
			t.Errorf("frame %d: %v, want %v", i, got, c.want)
		}
	}
}
