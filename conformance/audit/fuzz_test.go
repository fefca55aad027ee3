// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// FuzzTracker takes any frames in any order: two bytes of length, then the frame. The ICRC is not looked at, or nothing
// would ever come through.
func FuzzTracker(f *testing.F) {
	for _, names := range [][]string{rnbdCapture, srpCapture, srpChannels} {
		var all []byte
		for i, frame := range load(f, names...) {
			if len(frame.Data) > 400 {
				continue
			}
			if i > 40 || len(all) > 2500 {
				break
			}
			all = binary.BigEndian.AppendUint16(all, uint16(len(frame.Data)))
			all = append(all, frame.Data...)
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		judge, err := NewJudge(catalogue(), Configuration{ReconnectDelay: time.Second, Policy: MinInflight})
		if err != nil {
			t.Fatal(err)
		}
		statistics := NewStatistics()
		tracker := NewTracker(Options{SkipICRC: true, MaxConnections: 8, MaxHalfOpen: 4, MaxSessions: 4, MaxHeld: 8})
		tracker.Observe(judge.Observe)
		tracker.Observe(statistics.Observe)
		tracker.Observe(func(e *Event) { _ = e.String() })
		at := time.Unix(1, 0)
		for len(data) > 2 {
			n := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			tracker.Frame("rail", at, data[2:2+n], n)
			data, at = data[2+n:], at.Add(time.Millisecond)
		}
		tracker.End()
		judge.Findings()
		statistics.Paths()
		if tracker.open.Len() > 8 || tracker.halfOpen.Len() > 4 || len(tracker.sessions) > 4 {
			t.Errorf("limits are not kept: %d, %d, %d", tracker.open.Len(), tracker.halfOpen.Len(), len(tracker.sessions))
		}
	})
}

// FuzzCapture takes any bytes as a capture file.
func FuzzCapture(f *testing.F) {
	data, err := os.ReadFile(filepath.Join(capturesDir, rnbdCapture[0]))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:8000])
	few := loadCase(f, "base.pcap.gz")[:6]
	for _, e := range encodings {
		if files := e.files(few); len(files[0]) < 1<<14 {
			f.Add(files[0])
		}
	}
	f.Add(asPcapng(f, load(f, srpCapture...)[:20], "rail0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		source, err := NewSource(bytes.NewReader(data), "fuzz")
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		for {
			frame, err := source.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrCutOff) {
					t.Errorf("error of another kind: %v", err)
				}
				return
			}
			if len(frame.Data) > MaxFrame {
				t.Errorf("frame of %d bytes", len(frame.Data))
			}
		}
	})
}

// asPcapng writes frames as a pcapng file with one interface of a name.
func asPcapng(tb testing.TB, frames capture, names ...string) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&out, pcapgo.NgInterface{Name: names[0], LinkType: layers.LinkTypeEthernet}, pcapgo.NgWriterOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range names[1:] {
		if _, err := w.AddInterface(pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet}); err != nil {
			tb.Fatal(err)
		}
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: f.At, CaptureLength: len(f.Data), Length: f.OrigLen, InterfaceIndex: i % len(names)}
		if err := w.WritePacket(info, f.Data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}
