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

// sample builds a frame: a WRITE Only with Immediate of five bytes.
func sample(tb testing.TB, change func(p *roce.Packet)) []byte {
	tb.Helper()
	p := roce.Packet{
		Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("10.0.0.1"),
		HopLimit: 64, IPID: 0x1234, IPFragment: roce.DontFragment, SrcPort: 0xC001, DstPort: roce.UDPPort,
		BTH:     roce.BTH{OpCode: roce.RCWriteOnlyImm, PKey: roce.DefaultPKey, DestQP: 0x11, PSN: 7, AckReq: true},
		RETH:    roce.RETH{VA: 0x1000, RKey: 0x200, DMALen: 5},
		ImmDt:   roce.ImmDt{Value: 0xCAFE},
		Payload: []byte("hello"),
	}
	if change != nil {
		change(&p)
	}
	frame, err := p.AppendFrame(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return frame
}

// The offset of the BTH in a sample frame over IPv4 without tag.
const sampleBTH = 14 + 20 + 8

func TestPacketEncapsulations(t *testing.T) {
	v6 := func(p *roce.Packet) {
		p.Src, p.Dst = netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1")
		p.FlowLabel, p.TrafficClass, p.IPID, p.IPFragment = 0xABCDE, 0x5A, 0, 0
	}
	tag := func(p *roce.Packet) { p.Tagged, p.VLAN = true, 0x6064 }
	for _, c := range []struct {
		name   string
		change func(p *roce.Packet)
		bth    int
	}{
		{"IPv4", nil, 42},
		{"IPv4 tagged", tag, 46},
		{"IPv6", v6, 62},
		{"IPv6 tagged", func(p *roce.Packet) { v6(p); tag(p) }, 66},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame := append(sample(t, c.change), 0xEE, 0xEE, 0xEE) // Ethernet padding
			var p roce.Packet
			if err := p.Decode(frame); err != nil {
				t.Fatal(err)
			}
			if p.BTHOffset != c.bth || p.PayloadOffset != c.bth+32 || string(p.Payload) != "hello" ||
				p.RETH.DMALen != 5 || p.ImmDt.Value != 0xCAFE || p.Truncated {
				t.Errorf("decoded wrongly: %+v", p)
			}
			if got := p.CheckICRC(); got != roce.ICRCGood {
				t.Errorf("ICRC is %v", got)
			}
			again, err := p.AppendFrame(nil)
			if err != nil || !bytes.Equal(again, frame[:len(frame)-3]) {
				t.Errorf("built again: %v\n%x\nwant\n%x", err, again, frame)
			}
			parser := layer.NewParser()
			if err := parser.Decode(frame); err != nil {
				t.Fatal(err)
			}
			if string(parser.Payload) != "hello" || parser.CheckICRC() != roce.ICRCGood {
				t.Errorf("parser: payload %q, ICRC %v", parser.Payload, parser.CheckICRC())
			}
		})
	}
}

// What a router may change keeps the ICRC good, anything else does not.
func TestICRCCoverage(t *testing.T) {
	frame := sample(t, nil)
	masked := map[int]bool{
		15: true, 22: true, 24: true, 25: true, // TOS, TTL, IPv4 checksum
		40: true, 41: true, sampleBTH + 4: true, // UDP checksum, FECN to reserved
	}
	structure := map[int]bool{
		14: true, 16: true, 17: true, 20: true, 21: true, 23: true, // version, lengths, fragment, protocol
		36: true, 37: true, 38: true, 39: true, // UDP destination port and length
	}
	for at := 14; at < len(frame); at++ {
		if structure[at] {
			continue // no longer the same packet to a decoder
		}
		frame[at] ^= 0x01
		var p roce.Packet
		if err := p.Decode(frame); err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		want := roce.ICRCBad
		if masked[at] {
			want = roce.ICRCGood
		}
		if got := p.CheckICRC(); got != want {
			t.Errorf("byte %d changed: ICRC is %v, want %v", at, got, want)
		}
		frame[at] ^= 0x01
	}
}

func TestICRCWrongOnPurpose(t *testing.T) {
	frame := sample(t, func(p *roce.Packet) { p.BTH.ICRCXor = 1 })
	var p roce.Packet
	if err := p.Decode(frame); err != nil {
		t.Fatal(err)
	}
	if got := p.CheckICRC(); got != roce.ICRCBad {
		t.Errorf("ICRC is %v, want bad", got)
	}
	if err := p.Reseal(); err != nil {
		t.Fatal(err)
	}
	if got := p.CheckICRC(); got != roce.ICRCGood {
		t.Errorf("after Reseal the ICRC is %v, want good", got)
	}
	if !bytes.Equal(frame, sample(t, nil)) {
		t.Error("Reseal changed more than the ICRC, or not in place")
	}
}

// A capture cut at any length gives an error or a packet that says so, in both
// decoders, and never a verdict on the ICRC.
func TestCutFrames(t *testing.T) {
	frame := sample(t, nil)
	parser := layer.NewParser()
	for n := range frame {
		var p roce.Packet
		err := p.Decode(frame[:n])
		if (err == nil) != (n >= sampleBTH+32) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
		if err != nil && !errors.Is(err, roce.ErrTruncated) {
			t.Errorf("cut to %d bytes: %v, want ErrTruncated", n, err)
		}
		if err == nil && (!p.Truncated || p.CheckICRC() != roce.ICRCAbsent || !bytes.HasPrefix([]byte("hello"), p.Payload)) {
			t.Errorf("cut to %d bytes: truncated %v, ICRC %v, payload %q", n, p.Truncated, p.CheckICRC(), p.Payload)
		}
		if err := parser.Decode(frame[:n]); n >= sampleBTH+32 && (err != nil || !parser.Truncated ||
			parser.CheckICRC() != roce.ICRCAbsent || !parser.BTH.NoICRC || !bytes.HasPrefix([]byte("hello"), parser.BTH.Payload[20:])) {
			t.Errorf("cut to %d bytes: parser says %v, truncated %v, ICRC %v", n, err, parser.Truncated, parser.CheckICRC())
		}
		np := gopacket.NewPacket(frame[:n], layers.LayerTypeEthernet, gopacket.Default)
		if n >= sampleBTH+12 && layer.CheckPacketICRC(np) != roce.ICRCAbsent {
			t.Errorf("cut to %d bytes: NewPacket's ICRC is %v", n, layer.CheckPacketICRC(np))
		}
	}
}

func TestForeignFrames(t *testing.T) {
	change := func(at int, v ...byte) []byte {
		frame := sample(t, nil)
		copy(frame[at:], v)
		return frame
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  error
	}{
		{"ARP", change(12, 0x08, 0x06), roce.ErrNotRoCE},
		{"RoCE version 1", change(12, 0x89, 0x15), roce.ErrNotRoCE},
		{"two tags", change(12, 0x81, 0x00, 0, 1, 0x81, 0x00), roce.ErrNotRoCE},
		{"TCP", change(23, 6), roce.ErrNotRoCE},
		{"first fragment", change(20, 0x20, 0x00), roce.ErrNotRoCE},
		{"later fragment", change(20, 0x20, 0x01), roce.ErrNotRoCE},
		{"other port", change(36, 0x12, 0xB8), roce.ErrNotRoCE},
		{"from port 4791", change(34, 0x12, 0xB7, 0x30, 0x39), roce.ErrNotRoCE},
		{"IPv4 header of 16 bytes", change(14, 0x44), roce.ErrMalformed},
		{"IPv4 total length 27", change(16, 0, 27), roce.ErrMalformed},
		{"UDP length beyond the IP packet", change(38, 0, 53), roce.ErrMalformed},
		{"UDP length 7", change(38, 0, 7), roce.ErrMalformed},
		{"UDP length 0", change(38, 0, 0), roce.ErrMalformed},
		{"UDP length 23", change(38, 0, 23), roce.ErrMalformed},
		{"UDP length without room for the headers", change(38, 0, 8+12+20+3+3), roce.ErrMalformed},
		{"empty", nil, roce.ErrTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p roce.Packet
			if err := p.Decode(c.frame); !errors.Is(err, c.want) {
				t.Errorf("Packet: %v, want %v", err, c.want)
			}
			parser := layer.NewParser()
			if err := parser.Decode(c.frame); err == nil && !parser.Truncated {
				t.Error("Parser: no error")
			}
			np := gopacket.NewPacket(c.frame, layers.LayerTypeEthernet, gopacket.Default)
			if errors.Is(c.want, roce.ErrNotRoCE) && np.Layer(layer.TypeBTH) != nil {
				t.Error("NewPacket: has a BTH")
			}
		})
	}
}

func TestErrorsNameFieldValueAndLimit(t *testing.T) {
	version := sample(t, nil)
	version[14] = 0x65
	length := sample(t, nil)
	length[38], length[39] = 0, 23
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{version, "IPv4: version is 6, must be exactly 4: malformed"},
		{length, "BTH: UDP payload length of RC RDMA WRITE Only with Immediate is 15, must be at least 39: malformed"},
		{sample(t, nil)[:50], "BTH: length is 8, must be at least 12: truncated"},
		{sample(t, nil)[:60], "RETH: length is 6, must be at least 16: truncated"},
	} {
		var p roce.Packet
		if err := p.Decode(c.frame); err == nil || err.Error() != c.want {
			t.Errorf("error is %v, want %s", err, c.want)
		}
	}
	err := roce.RCSendFirst.CheckPayload(1000, 1024)
	if want := "RC SEND First: payload length is 1000, must be at least 1024: malformed"; err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

// A datagram that comes from port 4791 goes to the decoder of its destination.
func TestSourcePortDecidesNothing(t *testing.T) {
	dns := sample(t, func(p *roce.Packet) { p.SrcPort, p.DstPort = roce.UDPPort, 53 })
	p := gopacket.NewPacket(dns, layers.LayerTypeEthernet, gopacket.Default)
	if p.Layer(layer.TypeBTH) != nil {
		t.Error("4791 to 53 is decoded as RoCEv2")
	}
	other := sample(t, func(p *roce.Packet) { p.SrcPort, p.DstPort = roce.UDPPort, 60000 })
	p = gopacket.NewPacket(other, layers.LayerTypeEthernet, gopacket.Default)
	if p.Layer(layer.TypeBTH) != nil || p.ErrorLayer() != nil || p.ApplicationLayer() == nil {
		t.Errorf("4791 to 60000: layers %v", p.Layers())
	}
	parser := layer.NewParser()
	if err := parser.Decode(other); !errors.Is(err, roce.ErrNotRoCE) || !parser.Has(gopacket.LayerTypePayload) {
		t.Errorf("4791 to 60000: parser says %v, layers %v", err, parser.Decoded)
	}
}

func TestUnknownOpcode(t *testing.T) {
	frame := sample(t, func(p *roce.Packet) { p.BTH.OpCode = 0x1F })
	var p roce.Packet
	if err := p.Decode(frame); err != nil {
		t.Fatal(err)
	}
	if p.BTH.OpCode.Known() || string(p.Payload) != "hello" || p.CheckICRC() != roce.ICRCGood {
		t.Errorf("opcode %v, payload %q, ICRC %v", p.BTH.OpCode, p.Payload, p.CheckICRC())
	}
	np := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	if np.ErrorLayer() != nil || np.Layer(layer.TypeBTH) == nil {
		t.Errorf("layers %v", np.Layers())
	}
}

func TestIPv4OptionsMakeICRCUnverifiable(t *testing.T) {
	frame := sample(t, nil)
	frame[14] = 0x46
	frame = append(frame[:34:34], append([]byte{1, 1, 1, 0}, frame[34:]...)...)
	frame[17] += 4
	var p roce.Packet
	if err := p.Decode(frame); err != nil {
		t.Fatal(err)
	}
	if got := p.CheckICRC(); got != roce.ICRCUnverifiable {
		t.Errorf("ICRC is %v, want unverifiable", got)
	}
}

func TestDecodeUDPIPv6IsVerifiable(t *testing.T) {
	frame := sample(t, func(p *roce.Packet) {
		p.Src, p.Dst = netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::1")
	})
	var whole, part roce.Packet
	if err := whole.Decode(frame); err != nil {
		t.Fatal(err)
	}
	payload := frame[whole.BTHOffset:]
	src, dst := netip.AddrPortFrom(whole.Src, whole.SrcPort), netip.AddrPortFrom(whole.Dst, whole.DstPort)
	if err := part.DecodeUDP(src, dst, payload); err != nil {
		t.Fatal(err)
	}
	if got := part.CheckICRC(); got != roce.ICRCGood {
		t.Errorf("ICRC is %v", got)
	}
	payload[14] ^= 4
	if got := part.CheckICRC(); got != roce.ICRCBad {
		t.Errorf("after a change the ICRC is %v", got)
	}
}

func TestBuildRefuses(t *testing.T) {
	p := roce.Packet{Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("fd00::1")}
	if _, err := p.AppendIP(nil); err == nil {
		t.Error("addresses of two families: no error")
	}
	p.Src, p.Dst = netip.Addr{}, netip.Addr{}
	if _, err := p.AppendIP(nil); err == nil {
		t.Error("no addresses: no error")
	}
	p.Src, p.Dst = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")
	p.Payload = make([]byte, 1<<16)
	if _, err := p.AppendIP(nil); !errors.Is(err, roce.ErrTooLong) {
		t.Errorf("payload of 65536 bytes: %v, want ErrTooLong", err)
	}
}

// With FixLengths and ComputeChecksums off every illegal packet can be made.
func TestIllegalPacketsGoOutAsTheyAre(t *testing.T) {
	buf := gopacket.NewSerializeBuffer()
	bth := layer.BTHOf(roce.BTH{
		OpCode: 0xFF, Solicited: true, MigReq: true, PadCnt: 3, TVer: 0xF, PKey: 0x1234, FECN: true, Reserved6: 0x3F,
		DestQP: 0xABCDEF, Reserved7: 0x7F, PSN: 0xFEDCBA, Pad: []byte{1, 2, 3, 4, 5}, ICRC: 0x04030201,
	})
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, bth, layer.Of(roce.XRCETH{Reserved: 9, SRQ: 8}), gopacket.Payload("x"))
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, "ff ff 1234 bf abcdef 7f fedcba 09 000008 78 0102030405 01020304")
	if !bytes.Equal(buf.Bytes(), want) {
		t.Errorf("got %x, want %x", buf.Bytes(), want)
	}
}

func TestComputedICRCNeedsHeaders(t *testing.T) {
	bth := &layer.BTH{}
	err := bth.SerializeTo(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{ComputeChecksums: true})
	if err == nil {
		t.Fatal("no error without IP and UDP layers")
	}
	bth.SetHeadersForICRC(&layers.IPv4{SrcIP: []byte{1}, DstIP: []byte{2}}, &layers.UDP{})
	if err := bth.SerializeTo(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{ComputeChecksums: true}); err == nil {
		t.Fatal("no error with addresses of one byte")
	}
}
