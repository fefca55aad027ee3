// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// vectors are whole packets whose ICRC was made or accepted by others. Of the two
// NIC packets the publications leave out the IPv4 header checksum, which the
// ICRC does not cover; it was computed.
var vectors = []struct {
	name  string
	bytes string // of an Ethernet frame, or of an IP packet if ip is set
	ip    bool
	icrc  uint32
	op    roce.OpCode
	want  func(p *roce.Packet) bool
}{
	{
		name: "V1 IPv4 RC Acknowledge, sent by Linux 6.12 rxe",
		bytes: `52540000000252540000000108004500 0030619e40004011c51c0a0000010a00
			0002caa512b7001c00001100ffff0000 001200a7d70f1f000001a1cab777`,
		icrc: 0x77B7CAA1, op: roce.RCAcknowledge,
		want: func(p *roce.Packet) bool {
			return p.IPID == 0x619E && p.IPFragment == roce.DontFragment && p.SrcPort == 51877 &&
				p.BTH.DestQP == 0x12 && p.BTH.PSN == 0xA7D70F && p.AETH.Syndrome == 0x1F && p.AETH.MSN == 1
		},
	},
	{
		name: "V2 IPv4 RC SEND Only with Immediate, sent by Linux 6.12 rxe",
		bytes: `52540000000152540000000208004500 003c351840004011f1960a0000020a00
			0001e89e12b7002800000520ffff0000 00118018520811223344000102030405
			060708090000098f0d14`,
		icrc: 0x140D8F09, op: roce.RCSendOnlyImm,
		want: func(p *roce.Packet) bool {
			return p.BTH.PadCnt == 2 && bytes.Equal(p.Payload, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) &&
				bytes.Equal(p.BTH.Pad, []byte{0, 0}) && p.ImmDt.Value == 0x11223344 &&
				p.SrcPort == roce.SourcePort(0xA28B6, 0, 0) && p.BTH.AckReq
		},
	},
	{
		name: "V3 IPv6 RC Acknowledge, sent by Linux 6.12 rxe",
		bytes: `52540000000252540000000186dd6000 0000001c1140fd000000000000000000
			000000000001fd000000000000000000 000000000002d47412b7001c00001100
			ffff000000140074dcae1f0000016156 027f`,
		icrc: 0x7F025661, op: roce.RCAcknowledge,
		want: func(p *roce.Packet) bool { return p.Src.String() == "fd00::1" && p.BTH.DestQP == 0x14 },
	},
	{
		name: "V4 IPv4 RC RDMA WRITE Only of length 0, accepted by Linux 6.12 rxe",
		bytes: `5254000000011ac2d8c0e951080045b9 003c0000400007115dfa0a0000fe0a00
			000112b712b70028652c0a00ffff0000 001a80fd961300000000000000000000
			000000000000cd9e713b`,
		icrc: 0x3B719ECD, op: roce.RCWriteOnly,
		want: func(p *roce.Packet) bool {
			return p.HopLimit == 7 && p.TrafficClass == 0xB9 && p.UDPChecksum == 0x652C && len(p.Payload) == 0
		},
	},
	{
		name: "V5 IPv4 CNP, sent by a ConnectX-4 Lx",
		bytes: `45c2003c718c40004011 9161 0a0011010a001201 000012b700280000
			8100ffff4000011800000000 00000000000000000000000000000000 82fd002a`,
		ip: true, icrc: 0x2A00FD82, op: roce.CNP,
		want: func(p *roce.Packet) bool {
			return p.BTH.BECN && !p.BTH.FECN && p.BTH.PSN == 0 && p.BTH.DestQP == 0x118 && p.SrcPort == 0 &&
				p.CNPReserved.Reserved == [16]byte{}
		},
	},
	{
		name: "V6 IPv4 UC SEND Only, sent by an RDMA NIC",
		bytes: `4501004004784000 4011 b4d5 c0a80007c0a80007 c00012b7002c0000
			2460ffff000000d300cf1710 4630818be28935d90e9a95505401be885e500000 78f353f3`,
		ip: true, icrc: 0xF353F378, op: roce.UCSendOnly,
		want: func(p *roce.Packet) bool {
			return p.BTH.MigReq && p.BTH.PadCnt == 2 && len(p.Payload) == 18 && p.BTH.DestQP == 0xD3
		},
	},
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestVectorsDecodeAndBuild(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			data := unhex(t, v.bytes)
			var p roce.Packet
			decode, build := p.Decode, p.AppendFrame
			if v.ip {
				decode, build = p.DecodeIP, p.AppendIP
			}
			if err := decode(data); err != nil {
				t.Fatal(err)
			}
			if p.BTH.OpCode != v.op || p.BTH.ICRC != v.icrc || !v.want(&p) {
				t.Errorf("decoded wrongly: %+v", p)
			}
			if got := p.CheckICRC(); got != roce.ICRCGood {
				t.Errorf("ICRC is %v, want good", got)
			}
			got, err := build(nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, data) {
				t.Errorf("built again:\n%x\nwant\n%x", got, data)
			}
		})
	}
}

func TestVectorsThroughLayers(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			data := unhex(t, v.bytes)
			first := gopacket.LayerType(layers.LayerTypeEthernet)
			if v.ip {
				first = layers.LayerTypeIPv4
			}
			p := gopacket.NewPacket(data, first, gopacket.Default)
			if fail := p.ErrorLayer(); fail != nil {
				t.Fatal(fail.Error())
			}
			if got := layer.CheckPacketICRC(p); got != roce.ICRCGood {
				t.Errorf("ICRC is %v, want good", got)
			}
			if got := serialize(t, p, gopacket.SerializeOptions{}); !bytes.Equal(got, data) {
				t.Errorf("as it is:\n%x\nwant\n%x", got, data)
			}
			bth := p.Layer(layer.TypeBTH).(*layer.BTH)
			bth.ICRC, bth.PadCnt, bth.Pad = 0, 0, nil
			got := serialize(t, p, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true})
			tail := data[len(data)-4:]
			if !bytes.HasSuffix(got, tail) || len(got) != len(data) {
				t.Errorf("computed:\n%x\nwant it to end in %x", got, tail)
			}
		})
	}
}

// serialize writes all layers of a packet again.
func serialize(tb testing.TB, p gopacket.Packet, opts gopacket.SerializeOptions) []byte {
	tb.Helper()
	var all []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		s, ok := l.(gopacket.SerializableLayer)
		if !ok {
			tb.Fatalf("layer %v cannot be serialized", l.LayerType())
		}
		all = append(all, s)
	}
	if opts.ComputeChecksums {
		udp := p.TransportLayer().(*layers.UDP)
		if err := udp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			tb.Fatal(err)
		}
		p.Layer(layer.TypeBTH).(*layer.BTH).SetHeadersForICRC(p.NetworkLayer(), udp)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, opts, all...); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestRecoverIPID(t *testing.T) {
	for _, v := range vectors {
		if v.ip || v.op == roce.RCAcknowledge && strings.Contains(v.name, "IPv6") {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			var whole, part roce.Packet
			data := unhex(t, v.bytes)
			if err := whole.Decode(data); err != nil {
				t.Fatal(err)
			}
			if err := part.DecodeUDP(netip.AddrPortFrom(whole.Src, whole.SrcPort), netip.AddrPortFrom(whole.Dst, whole.DstPort), data[whole.BTHOffset:]); err != nil {
				t.Fatal(err)
			}
			if got := part.CheckICRC(); got != roce.ICRCUnverifiable {
				t.Errorf("without identification the ICRC is %v, want unverifiable", got)
			}
			if id, ok := part.RecoverIPID(); !ok || id != whole.IPID {
				t.Errorf("recovered %#04x, %v; want %#04x", id, ok, whole.IPID)
			}
			data[len(data)-5] ^= 1
			if id, ok := part.RecoverIPID(); ok {
				t.Errorf("corrupt packet recovered to %#04x", id)
			}
		})
	}
}

func TestICRCRefusesWrongLengths(t *testing.T) {
	for _, n := range []struct{ ip, udp, rest int }{{19, 8, 12}, {24, 8, 12}, {20, 7, 12}, {40, 8, 11}} {
		_, err := roce.ICRC(make([]byte, n.ip), make([]byte, n.udp), make([]byte, n.rest))
		if !errors.Is(err, roce.ErrMalformed) {
			t.Errorf("lengths %v: error %v, want ErrMalformed", n, err)
		}
	}
}
