// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// An endpoint builds a SEND; a wire spoils a field of it and seals it again; a
// tracker decodes it.
func ExamplePacket() {
	send := roce.Packet{
		Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("10.0.0.1"),
		HopLimit: 64, IPFragment: roce.DontFragment,
		SrcPort: roce.SourcePort(0, 0x11, 0x12), DstPort: roce.UDPPort,
		BTH:     roce.BTH{OpCode: roce.RCSendOnlyImm, PKey: roce.DefaultPKey, DestQP: 0x12, PSN: 7, AckReq: true},
		ImmDt:   roce.ImmDt{Value: 42},
		Payload: []byte("hello"),
	}
	frame, err := send.AppendFrame(nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	var p roce.Packet
	if err := p.Decode(frame); err != nil {
		fmt.Println(err)
		return
	}
	frame[p.BTHOffset+11] = 9 // PSN
	fmt.Println(p.CheckICRC())
	if err := p.Reseal(); err != nil {
		fmt.Println(err)
		return
	}

	if err := p.Decode(frame); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.BTH.OpCode, p.BTH.PSN, p.ImmDt.Value, string(p.Payload), p.BTH.PadCnt, p.CheckICRC())
	// Output:
	// bad
	// RC SEND Only with Immediate 9 42 hello 3 good
}

// A test makes a packet that no endpoint would send: an acknowledgement with a
// payload, a reserved syndrome and reserved bits set. All lengths and checksums
// are right.
func Example_layers() {
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP,
		SrcIP: net.IP{10, 0, 0, 2}, DstIP: net.IP{10, 0, 0, 1},
	}
	udp := &layers.UDP{SrcPort: 0xC000, DstPort: roce.UDPPort}
	bth := layer.BTHOf(roce.BTH{OpCode: roce.RCAcknowledge, PKey: roce.DefaultPKey, DestQP: 0x11, Reserved7: 0x55})
	bth.SetHeadersForICRC(ip, udp)
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		fmt.Println(err)
		return
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ip, udp, bth, layer.Of(roce.AETH{Syndrome: 0x47, MSN: 1}), gopacket.Payload("abc"))
	if err != nil {
		fmt.Println(err)
		return
	}

	p := gopacket.NewPacket(buf.Bytes(), layers.LayerTypeIPv4, gopacket.Default)
	fmt.Println(p.Layer(layer.TypeAETH).(*layer.AETH).Header.Syndrome, layer.CheckPacketICRC(p))
	// Output:
	// reserved syndrome 0x47 good
}
