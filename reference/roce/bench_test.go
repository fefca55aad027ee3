// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// allFrames gives the frames of every capture that are RoCEv2.
func allFrames(tb testing.TB) (frames [][]byte) {
	tb.Helper()
	var p roce.Packet
	for _, c := range captures(tb) {
		for _, frame := range c.frames {
			if p.Decode(frame) == nil {
				frames = append(frames, frame)
			}
		}
	}
	return frames
}

// overFrames runs a benchmark whose unit is one frame, going round the captures.
func overFrames(b *testing.B, do func(frame []byte) error) {
	b.Helper()
	frames := allFrames(b)
	b.ReportAllocs()
	i, size := 0, 0
	for b.Loop() {
		if err := do(frames[i]); err != nil {
			b.Fatal(err)
		}
		size += len(frames[i])
		if i++; i == len(frames) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64(size)/b.Elapsed().Seconds()/1e6, "MB/s")
}

var errBadICRC = errors.New("ICRC is not good")

func BenchmarkParser(b *testing.B) {
	parser := layer.NewParser()
	overFrames(b, parser.Decode)
}

func BenchmarkParserICRC(b *testing.B) {
	parser := layer.NewParser()
	overFrames(b, func(frame []byte) error {
		if err := parser.Decode(frame); err != nil {
			return err
		}
		if parser.CheckICRC() != roce.ICRCGood {
			return errBadICRC
		}
		return nil
	})
}

func BenchmarkPacketDecode(b *testing.B) {
	var p roce.Packet
	overFrames(b, p.Decode)
}

func BenchmarkPacketDecodeICRC(b *testing.B) {
	var p roce.Packet
	overFrames(b, func(frame []byte) error {
		if err := p.Decode(frame); err != nil {
			return err
		}
		if p.CheckICRC() != roce.ICRCGood {
			return errBadICRC
		}
		return nil
	})
}

func BenchmarkPacketRebuild(b *testing.B) {
	var p roce.Packet
	var out []byte
	overFrames(b, func(frame []byte) (err error) {
		if err := p.Decode(frame); err != nil {
			return err
		}
		out, err = p.AppendFrame(out[:0])
		return err
	})
}

func BenchmarkNewPacket(b *testing.B) {
	overFrames(b, func(frame []byte) error {
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
		if p.Layer(layer.TypeBTH) == nil {
			return roce.ErrNotRoCE
		}
		return nil
	})
}

func BenchmarkRecoverIPID(b *testing.B) {
	var p roce.Packet
	overFrames(b, func(frame []byte) error {
		if err := p.Decode(frame); err != nil {
			return err
		}
		if _, ok := p.RecoverIPID(); !ok && p.Src.Is4() {
			return errBadICRC
		}
		return nil
	})
}

func BenchmarkICRC(b *testing.B) {
	for _, size := range []int{4, 16, 64, 128, 256, 1024, 4096} {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			ip, udp, rest := make([]byte, 20), make([]byte, 8), make([]byte, roce.BTHLen+size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := roce.ICRC(ip, udp, rest); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
