// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// seedsPerTarget bounds the corpus that a fuzz target takes from the captures.
const seedsPerTarget = 64

// seedFrames gives frames of the captures and the vectors: for every opcode and
// every management attribute a few of different length.
func seedFrames(tb testing.TB) (frames [][]byte) {
	tb.Helper()
	type kind struct {
		op     roce.OpCode
		attr   roce.AttributeID
		length int
	}
	seen := map[kind]bool{}
	perOp := map[roce.OpCode]int{}
	for _, frame := range allFrames(tb) {
		s := look(frame)
		k := kind{op: s.BTH.OpCode, length: len(frame)}
		if s.mad != nil {
			k.attr = s.mad.AttributeID
		}
		if seen[k] || perOp[k.op] >= 16 {
			continue
		}
		seen[k] = true
		perOp[k.op]++
		frames = append(frames, frame)
	}
	for _, v := range vectors {
		if !v.ip {
			frames = append(frames, unhex(tb, v.bytes))
		}
	}
	return frames
}

// layerUnderTest is what every layer is.
type layerUnderTest interface {
	gopacket.DecodingLayer
	gopacket.SerializableLayer
}

// fuzzLayer fuzzes one decoder: it must not panic, and what it decodes it must
// write again byte for byte.
func fuzzLayer(f *testing.F, t gopacket.LayerType, make func() layerUnderTest) {
	f.Helper()
	seeds := 0
	for _, frame := range seedFrames(f) {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		if l := p.Layer(t); l != nil && seeds < seedsPerTarget {
			f.Add(append(append([]byte{}, l.LayerContents()...), l.LayerPayload()...))
			seeds++
		}
	}
	f.Add(bytes.Repeat([]byte{0xFF}, 300))
	f.Add(bytes.Repeat([]byte{0xFF}, roce.MADDataLen))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := make()
		if err := l.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err != nil {
			checkError(t, err)
			return
		}
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, l, gopacket.Payload(l.LayerPayload())); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(buf.Bytes(), data) {
			t.Fatalf("written again:\n%x\nwant\n%x", buf.Bytes(), data)
		}
		l.NextLayerType()
	})
}

// checkError demands that an error of a decoder is one that callers can test.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *roce.Error
	if !errors.As(err, &e) || e.Header == "" || e.Field == "" {
		t.Fatalf("error %v does not name header and field", err)
	}
}

func FuzzBTH(f *testing.F) {
	fuzzLayer(f, layer.TypeBTH, func() layerUnderTest { return &layer.BTH{} })
}

func FuzzXRCETH(f *testing.F) {
	fuzzLayer(f, layer.TypeXRCETH, func() layerUnderTest { return &layer.XRCETH{} })
}

func FuzzDETH(f *testing.F) {
	fuzzLayer(f, layer.TypeDETH, func() layerUnderTest { return &layer.DETH{} })
}

func FuzzFETH(f *testing.F) {
	fuzzLayer(f, layer.TypeFETH, func() layerUnderTest { return &layer.FETH{} })
}

func FuzzRETH(f *testing.F) {
	fuzzLayer(f, layer.TypeRETH, func() layerUnderTest { return &layer.RETH{} })
}

func FuzzAtomicETH(f *testing.F) {
	fuzzLayer(f, layer.TypeAtomicETH, func() layerUnderTest { return &layer.AtomicETH{} })
}

func FuzzAETH(f *testing.F) {
	fuzzLayer(f, layer.TypeAETH, func() layerUnderTest { return &layer.AETH{} })
}

func FuzzAtomicAckETH(f *testing.F) {
	fuzzLayer(f, layer.TypeAtomicAckETH, func() layerUnderTest { return &layer.AtomicAckETH{} })
}

func FuzzImmDt(f *testing.F) {
	fuzzLayer(f, layer.TypeImmDt, func() layerUnderTest { return &layer.ImmDt{} })
}

func FuzzIETH(f *testing.F) {
	fuzzLayer(f, layer.TypeIETH, func() layerUnderTest { return &layer.IETH{} })
}

func FuzzCNPReserved(f *testing.F) {
	fuzzLayer(f, layer.TypeCNPReserved, func() layerUnderTest { return &layer.CNPReserved{} })
}

func FuzzMAD(f *testing.F) {
	fuzzLayer(f, layer.TypeMAD, func() layerUnderTest { return &layer.MAD{} })
}

func FuzzCMReq(f *testing.F) {
	fuzzLayer(f, layer.TypeCMReq, func() layerUnderTest { return &layer.CMReq{} })
}

func FuzzCMMra(f *testing.F) {
	fuzzLayer(f, layer.TypeCMMra, func() layerUnderTest { return &layer.CMMra{} })
}

func FuzzCMRej(f *testing.F) {
	fuzzLayer(f, layer.TypeCMRej, func() layerUnderTest { return &layer.CMRej{} })
}

func FuzzCMRep(f *testing.F) {
	fuzzLayer(f, layer.TypeCMRep, func() layerUnderTest { return &layer.CMRep{} })
}

func FuzzCMRtu(f *testing.F) {
	fuzzLayer(f, layer.TypeCMRtu, func() layerUnderTest { return &layer.CMRtu{} })
}

func FuzzCMDreq(f *testing.F) {
	fuzzLayer(f, layer.TypeCMDreq, func() layerUnderTest { return &layer.CMDreq{} })
}

func FuzzCMDrep(f *testing.F) {
	fuzzLayer(f, layer.TypeCMDrep, func() layerUnderTest { return &layer.CMDrep{} })
}

func FuzzIPCM(f *testing.F) {
	fuzzLayer(f, layer.TypeIPCM, func() layerUnderTest { return &layer.IPCM{} })
}

// FuzzPacket decodes a frame in all three ways. They must agree on what is a
// RoCEv2 packet and on its ICRC; what Packet decodes and finds good it must
// build again.
func FuzzPacket(f *testing.F) {
	for _, frame := range seedFrames(f) {
		f.Add(frame)
		f.Add(frame[:len(frame)-6])
	}
	parser := layer.NewParser()
	var p roce.Packet
	f.Fuzz(func(t *testing.T, frame []byte) {
		err := p.Decode(frame)
		if err != nil && !errors.Is(err, roce.ErrNotRoCE) {
			checkError(t, err)
		}
		parserErr := parser.Decode(frame)
		if parserErr != nil && strings.Contains(parserErr.Error(), "panic") {
			t.Fatal(parserErr) // gopacket recovers from it, but it must not happen
		}
		if err != nil {
			return
		}
		if p.CheckICRC() == roce.ICRCGood {
			checkGood(t, &p, frame)
		}
		if !parser.Has(layer.TypeBTH) {
			t.Fatalf("Packet sees %v, Parser %v: %v", p.BTH.OpCode, parser.Decoded, parserErr)
		}
		if got, want := parser.CheckICRC(), p.CheckICRC(); got != want {
			t.Fatalf("ICRC is %v to Parser and %v to Packet", got, want)
		}
		np := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{SkipDecodeRecovery: true})
		if got, want := layer.CheckPacketICRC(np), p.CheckICRC(); got != want {
			t.Fatalf("ICRC is %v to NewPacket and %v to Packet", got, want)
		}
	})
}

// checkGood builds a packet with a good ICRC again. Whatever the ICRC covers must
// be the same; pad that is not what the length demands cannot be built.
func checkGood(t *testing.T, p *roce.Packet, frame []byte) {
	t.Helper()
	id, ok := p.RecoverIPID()
	if p.Src.Is4() && (!ok || id != p.IPID) {
		t.Fatalf("recovered identification %#04x, %v; want %#04x", id, ok, p.IPID)
	}
	if p.BTH.PadCnt != byte(-len(p.Payload)&3) || !bytes.Equal(p.BTH.Pad, make([]byte, p.BTH.PadCnt)) {
		return
	}
	end := p.BTHOffset + int(p.UDPLength) - 8
	want := frame[p.BTHOffset:end]
	got, err := p.AppendUDPPayload(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("built again:\n%x\nwant\n%x", got, want)
	}
}

// FuzzDecodeUDP decodes what a socket may receive.
func FuzzDecodeUDP(f *testing.F) {
	var p roce.Packet
	for _, frame := range seedFrames(f) {
		if p.Decode(frame) == nil {
			f.Add(p.Src.Is4(), frame[p.BTHOffset:])
		}
	}
	four := netip.MustParseAddrPort("10.0.0.1:4791")
	six := netip.MustParseAddrPort("[fd00::1]:4791")
	f.Fuzz(func(t *testing.T, v4 bool, payload []byte) {
		addr := six
		if v4 {
			addr = four
		}
		if err := p.DecodeUDP(addr, addr, payload); err != nil {
			checkError(t, err)
			return
		}
		verdict := p.CheckICRC()
		if v4 && verdict != roce.ICRCUnverifiable || !v4 && verdict != roce.ICRCGood && verdict != roce.ICRCBad {
			t.Fatalf("ICRC is %v", verdict)
		}
		p.RecoverIPID()
	})
}

// FuzzDecodeCM decodes management datagrams and builds them again.
func FuzzDecodeCM(f *testing.F) {
	for _, frame := range seedFrames(f) {
		if s := look(frame); s.mad != nil {
			f.Add(s.Payload)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, msg, err := roce.DecodeCM(data)
		if errors.Is(err, roce.ErrNotCM) {
			return
		}
		if err != nil {
			checkError(t, err)
			return
		}
		got, err := roce.AppendCM(nil, &m, msg, msg.PrivateData())
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("built again: %v\n%x\nwant\n%x", err, got, data)
		}
		if req, ok := msg.(*roce.CMReq); ok {
			if c, _, err := req.IPCM(); err == nil {
				c.SrcAddr()
			}
		}
	})
}

// FuzzICRC gives the ICRC functions slices of any length.
func FuzzICRC(f *testing.F) {
	var p roce.Packet
	for _, frame := range seedFrames(f) {
		if p.Decode(frame) == nil {
			f.Add(frame[p.IPOffset:p.UDPOffset], frame[p.UDPOffset:p.BTHOffset], frame[p.BTHOffset:])
		}
	}
	f.Fuzz(func(t *testing.T, ip, udp, payload []byte) {
		verdict := roce.CheckICRC(ip, udp, payload)
		id, ok := roce.RecoverIPv4ID(ip, udp, payload)
		if verdict == roce.ICRCGood && len(ip) == 20 && (!ok || id != uint16(ip[4])<<8|uint16(ip[5])) {
			t.Fatalf("good packet with identification %x recovered to %#04x, %v", ip[4:6], id, ok)
		}
		payload = bytes.Clone(payload) // a fuzz target must leave its arguments alone
		if err := roce.Reseal(ip, udp, payload); err != nil {
			checkError(t, err)
			return
		}
		if len(udp) == 8 && int(udp[4])<<8|int(udp[5]) == 8+len(payload) && roce.CheckICRC(ip, udp, payload) != roce.ICRCGood {
			t.Fatal("ICRC is not good after Reseal")
		}
	})
}
