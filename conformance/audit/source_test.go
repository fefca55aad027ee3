// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// drain reads a source to its end.
func drain(source Source) (frames capture, err error) {
	for {
		frame, err := source.Next()
		if err == io.EOF {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frame.Data = bytes.Clone(frame.Data)
		frames = append(frames, frame)
	}
}

func TestFormatsGiveTheSameFrames(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(capturesDir, srpCapture[0]))
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(data)
	w.Close()
	want := load(t, srpCapture...)
	for name, data := range map[string][]byte{"pcap": data, "gzip": zipped.Bytes(), "pcapng": asPcapng(t, want, "srp-login-io-logout")} {
		source, err := NewSource(bytes.NewReader(data), "srp-login-io-logout")
		if err != nil {
			t.Fatal(err)
		}
		got, err := drain(source)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d frames, want %d: %v", name, len(got), len(want), err)
		}
		for i := range got {
			if got[i].FrameID != want[i].FrameID || !bytes.Equal(got[i].Data, want[i].Data) || got[i].At.Sub(want[i].At).Abs() > time.Microsecond {
				t.Fatalf("%s: frame %d is %v at %v, want %v at %v", name, i, got[i].FrameID, got[i].At, want[i].FrameID, want[i].At)
			}
		}
	}
}

// TestLostFrames: what a rail has recorded as dropped arrived nowhere, and is no frame to the tracker.
func TestLostFrames(t *testing.T) {
	frames := load(t, srpCapture...)[:10]
	source, err := NewSource(bytes.NewReader(asPcapng(t, frames, "rail0", "rail0-dropped")), "file")
	if err != nil {
		t.Fatal(err)
	}
	got, err := drain(source)
	if err != nil || len(got) != 10 {
		t.Fatalf("%d frames, want 10: %v", len(got), err)
	}
	tracker := NewTracker(Options{})
	for i, f := range got {
		if f.FrameID != (FrameID{"rail0", uint64(i + 1)}) || f.Lost != (i%2 == 1) {
			t.Errorf("frame %d is %v, lost: %t", i, f.FrameID, f.Lost)
		}
		tracker.Add(f)
	}
	if c := tracker.Counters(); c.Frames != 5 || c.Lost != 5 {
		t.Errorf("counted %d frames, and %d lost", c.Frames, c.Lost)
	}
}

func TestBadCaptures(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(capturesDir, srpCapture[0]))
	if err != nil {
		t.Fatal(err)
	}
	ng := asPcapng(t, load(t, srpCapture...)[:4], "rail0")
	changed := func(data []byte, offset int, value uint32) []byte {
		copied := bytes.Clone(data)
		binary.LittleEndian.PutUint32(copied[offset:], value)
		return copied
	}
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, ErrFormat},
		{"two bytes", data[:2], ErrFormat},
		{"half a header", data[:20], ErrFormat},
		{"half a record", data[:24+16+10], ErrCutOff},
		{"record longer than the snap length", changed(data, 24+8, 1<<30), ErrFormat},
		{"unknown link type", changed(data, 20, 147), ErrFormat},
		{"half a pcapng block", ng[:len(ng)-10], ErrCutOff},
		{"pcapng block of 4 GiB", changed(ng, 4, 0xFFFFFFFC), ErrFormat},
		{"no gzip", []byte{0x1f, 0x8b, 0, 0, 0, 0}, ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, err := NewSource(bytes.NewReader(test.data), "bad")
			if err == nil {
				_, err = drain(source)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

// TestSnapLength: frames cut behind their headers are tracked, and what they do not show is not invented.
func TestSnapLength(t *testing.T) {
	c := load(t, rnbdCapture...).clone()
	for i := range c {
		c[i].Data = c[i].Data[:min(len(c[i].Data), 80)]
	}
	report := judged(t, c, Configuration{})
	if report.Counters.Cut == 0 {
		t.Errorf("counters %+v", report.Counters)
	}
	if broken := failures(report); len(broken) > 0 {
		t.Errorf("broken: %v", broken)
	}
}

// TestForeignTraffic: other datagrams on the port are counted and nothing else.
func TestForeignTraffic(t *testing.T) {
	c := load(t, srpCapture...)
	frame := bytes.Clone(c[30].Data[:60])
	binary.BigEndian.PutUint16(frame[16:], 46)
	binary.BigEndian.PutUint16(frame[38:], 12)
	tracker := NewTracker(Options{})
	tracker.Frame("rail0", time.Now(), frame, len(frame))
	if n := tracker.Counters(); n.Foreign != 1 || n.RoCE != 0 {
		t.Errorf("counters %+v", n)
	}
}

// TestHalfOpenFlood: a million connections that are never finished take no more memory than a few thousand, and drive no
// established one out.
func TestHalfOpenFlood(t *testing.T) {
	e := search(t, rnbdCapture...)
	tracker := NewTracker(Options{SkipICRC: true, MaxHalfOpen: 64, MaxSessions: 64})
	request := e.frames[e.cm(0, 0x10)]
	answered := 0
	tracker.Observe(func(e *Event) {
		if e.Kind == RequestAnswered && e.Request != nil {
			answered++
		}
	})
	half := len(e.frames) / 2
	for _, f := range e.frames[:half] {
		tracker.Add(f)
	}
	p, _ := e.packet(e.cm(0, 0x10))
	data, mad := request.Data, p.PayloadOffset
	flood := uint32(1_000_000)
	if raceDetector {
		flood /= 10
	}
	for i := range flood {
		binary.BigEndian.PutUint32(data[mad+24:], 1<<31+i)
		binary.BigEndian.PutUint32(data[mad+24+32:], i<<8)
		binary.BigEndian.PutUint32(data[mad+reqPrivate+12:], i)
		binary.BigEndian.PutUint32(data[mad+reqPrivate+28:], i)
		tracker.Add(request)
	}
	if n := tracker.halfOpen.Len(); n > 64 {
		t.Errorf("%d half-open connections are kept", n)
	}
	if len(tracker.sessions) > 64 || len(tracker.flows) > 300 || len(tracker.byComm) > 300 || len(tracker.groups) > 300 {
		t.Errorf("%d sessions, %d flows, %d ids and %d paths are kept", len(tracker.sessions), len(tracker.flows), len(tracker.byComm), len(tracker.groups))
	}
	before := answered
	for _, f := range e.frames[half:] {
		tracker.Add(f)
	}
	if answered-before < 20 || tracker.Counters().ForgottenHalf < uint64(flood)-1000 {
		t.Errorf("%d answers after the flood, counters %+v", answered-before, tracker.Counters())
	}
}
