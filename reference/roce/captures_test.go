// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// rocePackets is the number of RoCEv2 packets in each capture, as counted by
// "tshark -Y udp.dstport==4791".
var rocePackets = map[string]int{
	"rnbd-mainline-rail0.pcap":        1501,
	"rnbd-mainline-rail1.pcap":        543,
	"rxe-mtu1024.pcap":                1274,
	"rxe-mtu4096.pcap":                528,
	"srp-four-targets-reconnect.pcap": 437,
	"srp-login-io-logout.pcap":        694,
	"srp-two-channels-indirect.pcap":  706,
}

// Every RoCEv2 frame decodes, its ICRC is good, its IPv4 identification follows
// from the ICRC, and it is built again byte for byte.
func TestCapturesThroughPacket(t *testing.T) {
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			var p roce.Packet
			var built []byte
			count := 0
			for i, frame := range c.frames {
				err := p.Decode(frame)
				if errors.Is(err, roce.ErrNotRoCE) {
					continue
				}
				if err != nil {
					t.Fatalf("frame %d: %v", i+1, err)
				}
				count++
				if got := p.CheckICRC(); got != roce.ICRCGood {
					t.Fatalf("frame %d: ICRC is %v", i+1, got)
				}
				if id, ok := p.RecoverIPID(); p.Src.Is4() && (!ok || id != p.IPID) {
					t.Fatalf("frame %d: recovered identification %#04x, %v; want %#04x", i+1, id, ok, p.IPID)
				}
				built, err = p.AppendFrame(built[:0])
				if err != nil {
					t.Fatalf("frame %d: %v", i+1, err)
				}
				if !bytes.Equal(built, frame) {
					t.Fatalf("frame %d built again:\n%x\nwant\n%x", i+1, built, frame)
				}
			}
			if want := rocePackets[c.name]; count != want {
				t.Errorf("%d RoCEv2 packets, want %d", count, want)
			}
		})
	}
}

// The same through gopacket's layers, with what is in the structs and with
// everything computed.
func TestCapturesThroughLayers(t *testing.T) {
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			count := 0
			for i, frame := range c.frames {
				p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
				bth, ok := p.Layer(layer.TypeBTH).(*layer.BTH)
				if !ok {
					continue
				}
				count++
				if fail := p.ErrorLayer(); fail != nil {
					t.Fatalf("frame %d: %v", i+1, fail.Error())
				}
				if got := layer.CheckPacketICRC(p); got != roce.ICRCGood {
					t.Fatalf("frame %d: ICRC is %v", i+1, got)
				}
				if got := serialize(t, p, gopacket.SerializeOptions{}); !bytes.Equal(got, frame) {
					t.Fatalf("frame %d as it is:\n%x\nwant\n%x", i+1, got, frame)
				}
				checkComputed(t, i+1, p, bth, frame)
			}
			if want := rocePackets[c.name]; count != want {
				t.Errorf("%d RoCEv2 packets, want %d", count, want)
			}
		})
	}
}

// checkComputed spoils all that is computed and has it computed again. gopacket
// also computes the UDP checksum, which RoCEv2 leaves zero and its ICRC ignores.
func checkComputed(t *testing.T, number int, p gopacket.Packet, bth *layer.BTH, frame []byte) {
	t.Helper()
	bth.ICRC, bth.PadCnt, bth.Pad = 0, 3, []byte{1, 2, 3, 4}
	got := serialize(t, p, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true})
	at := bytes.Index(frame, p.TransportLayer().LayerContents()) + 6
	copy(got[at:at+2], frame[at:at+2])
	if !bytes.Equal(got, frame) {
		t.Fatalf("frame %d computed:\n%x\nwant\n%x", number, got, frame)
	}
}

// The parser sees the same layers as gopacket.NewPacket does.
func TestParserAgreesWithNewPacket(t *testing.T) {
	parser := layer.NewParser()
	for _, c := range captures(t) {
		for i, frame := range c.frames {
			err := parser.Decode(frame)
			p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
			if isRoCE := p.Layer(layer.TypeBTH) != nil; isRoCE == errors.Is(err, roce.ErrNotRoCE) {
				t.Fatalf("%s: frame %d: parser says %v", c.name, i+1, err)
			} else if !isRoCE {
				continue
			}
			if len(parser.Decoded) != len(p.Layers()) {
				t.Fatalf("%s: frame %d: parser has %v, gopacket %v", c.name, i+1, parser.Decoded, p.Layers())
			}
			for j, l := range p.Layers() {
				if parser.Decoded[j] != l.LayerType() {
					t.Fatalf("%s: frame %d: layer %d is %v, want %v", c.name, i+1, j, parser.Decoded[j], l.LayerType())
				}
			}
			if got := parser.CheckICRC(); got != roce.ICRCGood {
				t.Fatalf("%s: frame %d: ICRC is %v", c.name, i+1, got)
			}
		}
	}
}

// The flow label that we find in a REQ is the one that Linux computes from the
// RDMA CM ports, and it gives the UDP source port of what the passive side sends
// on the new connection.
func TestFlowLabelsRuleSourcePorts(t *testing.T) {
	type queuePair struct {
		addr netip.Addr
		qpn  uint32
	}
	for _, c := range captures(t) {
		ports := map[queuePair]uint16{}
		checked := 0
		for i, frame := range c.frames {
			s := look(frame)
			if s == nil {
				continue
			}
			if req, ok := s.msg.(*roce.CMReq); ok {
				_, dst, _ := req.ServiceID.IP()
				if want := roce.CMFlowLabel(s.ip.SrcPort, dst); req.Primary.FlowLabel != want {
					t.Errorf("%s: frame %d: flow label %#x, want %#x", c.name, i+1, req.Primary.FlowLabel, want)
				}
				ports[queuePair{s.Src, req.LocalQPN}] = roce.SourcePort(req.Primary.FlowLabel, 0, 0)
			}
			if want, ok := ports[queuePair{s.Dst, s.BTH.DestQP}]; ok && s.BTH.OpCode.Class() == roce.ClassRC {
				checked++
				if s.SrcPort != want {
					t.Errorf("%s: frame %d: source port %d, want %d", c.name, i+1, s.SrcPort, want)
				}
			}
		}
		if checked == 0 {
			t.Errorf("%s: no packet of a connection that a REQ began", c.name)
		}
	}
}
