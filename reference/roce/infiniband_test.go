// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// rocev1Frames are packets of Linux 6.12 rxe with the headers of RoCEv1 in front. Their ICRC is still that of RoCEv2.
var rocev1Frames = []struct {
	name, bytes string
	op          roce.OpCode
	psn         roce.PSN
	payload     int
}{
	{"RC Acknowledge", `52540000000252540000000189156000 000000141b4000000000000000000000ffff0a000001
		00000000000000000000ffff0a000002 1100ffff0000001100676c2f 1f000001 cf1ee920`, roce.RCAcknowledge, 0x676C2F, 0},
	{"RC SEND Only", `52540000000252540000000189156000 000000281b4000000000000000000000ffff0a000001
		00000000000000000000ffff0a000002 0400ffff000000118064c120
		01000100000000000000b2058088ffff6d03000000000004 c121b427`, roce.RCSendOnly, 0x64C120, 24},
	{"RC RDMA WRITE Only with Immediate of length 0", `52540000000252540000000189156000 000000241b4000000000000000000000ffff0a000001
		00000000000000000000ffff0a000002 0b00ffff000000118064c123
		00000000000000000000000000000000 20000000 e848ebb8`, roce.RCWriteOnlyImm, 0x64C123, 0},
}

func TestRoCEv1(t *testing.T) {
	for _, v := range rocev1Frames {
		t.Run(v.name, func(t *testing.T) {
			frame := unhex(t, v.bytes)
			var p roce.Packet
			if err := p.Decode(frame); !errors.Is(err, roce.ErrNotRoCE) {
				t.Errorf("as RoCEv2: error %v, want %v", err, roce.ErrNotRoCE)
			}
			if err := p.DecodeGRH(frame[14:]); err != nil {
				t.Fatal(err)
			}
			if p.Src != netip.MustParseAddr("10.0.0.1") || p.Dst != netip.MustParseAddr("10.0.0.2") {
				t.Errorf("from %v to %v", p.Src, p.Dst)
			}
			if p.BTH.OpCode != v.op || p.BTH.PSN != v.psn || len(p.Payload) != v.payload || p.HopLimit != 0x40 {
				t.Errorf("decoded %v, PSN %#x, %d bytes of payload, hop limit %d", p.BTH.OpCode, p.BTH.PSN, len(p.Payload), p.HopLimit)
			}
			if got := p.CheckICRC(); got != roce.ICRCBad {
				t.Errorf("ICRC of another kind of packet is %v", got)
			}
			built, err := p.AppendGRH(nil)
			if end := len(built) - roce.ICRCLen; err != nil || !bytes.Equal(built[:end], frame[14:14+end]) {
				t.Errorf("built again:\n%x\nwant\n%x: %v", built, frame[14:], err)
			}
			if err := p.DecodeGRH(built); err != nil || p.CheckICRC() != roce.ICRCGood {
				t.Errorf("ICRC of the packet built again is %v: %v", p.CheckICRC(), err)
			}
			if err := p.Reseal(); err == nil {
				t.Error("the ICRC is computed in place, as if there were a UDP header")
			}
		})
	}
}

// TestInfiniBandVector decodes the example of the specification, a packet of which the ICRC is given (IBTA 7.8.1, table 29).
func TestInfiniBandVector(t *testing.T) {
	packet := unhex(t, `7012375c000e17d2 0a2024870087b1b3000dec2a 01710a1c015d400238f27a050000000e
		bb884d85fd5cfba4728bc0690ed4 0000 9625b75a 0000`)
	var p roce.Packet
	if err := p.DecodeLRH(packet); err != nil {
		t.Fatal(err)
	}
	if p.Src != roce.LIDAddr(0x17D2) || p.Dst != roce.LIDAddr(0x375C) || p.Src.String() != "fe80::17d2%lid" {
		t.Errorf("from %v to %v", p.Src, p.Dst)
	}
	if p.BTH.OpCode != roce.RCWriteOnly || p.BTH.PSN != 0x0DEC2A || p.RETH.DMALen != 14 || len(p.Payload) != 14 {
		t.Errorf("decoded %v, PSN %#x, length %d, %d bytes of payload", p.BTH.OpCode, p.BTH.PSN, p.RETH.DMALen, len(p.Payload))
	}
	if got := p.CheckICRC(); got != roce.ICRCGood {
		t.Errorf("ICRC is %v", got)
	}
	packet[0] ^= 0x30 // the virtual lane may change in flight
	if err := p.DecodeLRH(packet); err != nil || p.CheckICRC() != roce.ICRCGood {
		t.Errorf("ICRC on another virtual lane is %v: %v", p.CheckICRC(), err)
	}
	packet[3]++
	if err := p.DecodeLRH(packet); err != nil || p.CheckICRC() != roce.ICRCBad {
		t.Errorf("ICRC of another destination is %v: %v", p.CheckICRC(), err)
	}
}

// TestInfiniBandCaptures: every captured packet goes over a link of InfiniBand and by RoCEv1 and comes back the same.
func TestInfiniBandCaptures(t *testing.T) {
	for _, frame := range allFrames(t) {
		var p, grh, lrh roce.Packet
		if p.Decode(frame) != nil {
			continue
		}
		v1, err := p.AppendGRH(nil)
		if err != nil {
			t.Fatal(err)
		}
		link, err := p.AppendLRH(nil, 0x12, 0x34)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(grh.DecodeGRH(v1), lrh.DecodeLRH(link)); err != nil {
			t.Fatal(err)
		}
		for _, q := range []*roce.Packet{&grh, &lrh} {
			if q.BTH.PSN != p.BTH.PSN || q.Src != p.Src || q.Dst != p.Dst || !bytes.Equal(q.Payload, p.Payload) || q.CheckICRC() != roce.ICRCGood {
				t.Fatalf("%v PSN %#x from %v to %v became %v PSN %#x from %v to %v, ICRC %v", p.BTH.OpCode, p.BTH.PSN, p.Src, p.Dst,
					q.BTH.OpCode, q.BTH.PSN, q.Src, q.Dst, q.CheckICRC())
			}
		}
	}
}

func TestBadInfiniBand(t *testing.T) {
	frame := unhex(t, rocev1Frames[1].bytes)[14:]
	changed := func(data []byte, at int, value byte) []byte {
		data = bytes.Clone(data)
		data[at] = value
		return data
	}
	var p roce.Packet
	p.DecodeGRH(frame)
	link, err := p.AppendLRH(nil, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"GRH of 39 bytes", p.DecodeGRH(frame[:39]), roce.ErrTruncated},
		{"GRH of version 4", p.DecodeGRH(changed(frame, 0, 0x40)), roce.ErrMalformed},
		{"other next header", p.DecodeGRH(changed(frame, 6, 17)), roce.ErrNotRoCE},
		{"length without room for a BTH", p.DecodeGRH(changed(frame, 5, 12)), roce.ErrMalformed},
		{"BTH cut off", p.DecodeGRH(frame[:50]), roce.ErrTruncated},
		{"LRH of 7 bytes", p.DecodeLRH(link[:7]), roce.ErrTruncated},
		{"raw packet", p.DecodeLRH(changed(link, 1, 0)), roce.ErrNotRoCE},
		{"packet length of 5 words", p.DecodeLRH(changed(link, 5, 5)), roce.ErrMalformed},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, test.err, test.want)
		}
	}
	if err := p.DecodeGRH(frame[:60]); err != nil || !p.Truncated || p.CheckICRC() != roce.ICRCAbsent {
		t.Errorf("packet cut in its payload: truncated %v, ICRC %v: %v", p.Truncated, p.CheckICRC(), err)
	}
	p.DecodeGRH(frame)
	p.Payload = make([]byte, 1<<16)
	if _, err := p.AppendGRH(nil); !errors.Is(err, roce.ErrTooLong) {
		t.Errorf("64 KiB of payload: error %v, want %v", err, roce.ErrTooLong)
	}
	p.Payload, p.Src = nil, netip.Addr{}
	if _, err := p.AppendLRH(nil, 1, 2); err == nil {
		t.Error("a packet without sender is built")
	}
}

// FuzzInfiniBand takes any bytes as a packet from its local or from its global route header on.
func FuzzInfiniBand(f *testing.F) {
	for _, v := range rocev1Frames {
		frame := unhex(f, v.bytes)
		f.Add(frame[14:])
		f.Add(append([]byte{0, 0x03, 0, 1, 0, byte(len(frame)-6) / 4, 0, 2}, frame[14:]...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p roce.Packet
		for _, decode := range []func([]byte) error{p.DecodeGRH, p.DecodeLRH} {
			if err := decode(data); err != nil {
				if !errors.Is(err, roce.ErrNotRoCE) {
					checkError(t, err)
				}
				continue
			}
			if p.CheckICRC() == roce.ICRCUnverifiable {
				t.Error("a decoded packet cannot be verified")
			}
		}
	})
}
