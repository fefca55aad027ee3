// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func frameBytes(t *testing.T, f Frame) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := WriteFrame(&buf, f); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestFramesArriveAsSent(t *testing.T) {
	sent := []Frame{
		{Hello, 7, []byte{}},
		{Welcome, 7, []byte{}},
		{Data, 7, []byte("IBAG inside a payload is no frame")},
		{Data, 1 << 63, bytes.Repeat([]byte{0xff}, MaxPayload)},
	}
	var port bytes.Buffer
	for _, f := range sent {
		port.Write(frameBytes(t, f))
	}
	frames := NewFrameReader(&port)
	for i, want := range sent {
		got, err := frames.Next()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("frame %d (-sent +received):\n%s", i, diff)
		}
	}
	if _, err := frames.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

func TestFrameIsFoundBehindWhatAPredecessorLeft(t *testing.T) {
	hello := Frame{Hello, 42, []byte{}}
	unfinished := frameBytes(t, Frame{Data, 41, bytes.Repeat([]byte("x"), MaxPayload)})
	for cut := 0; cut < len(unfinished); cut += 97 {
		port := append(bytes.Clone(unfinished[:cut]), Flush()...)
		port = append(port, frameBytes(t, hello)...)
		frames := NewFrameReader(bytes.NewReader(port))
		for {
			got, err := frames.Next()
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if got.Kind == hello.Kind && got.Session == hello.Session {
				break
			}
			if got.Session != 41 {
				t.Fatalf("cut at %d: frame of session %d out of nothing", cut, got.Session)
			}
		}
	}
}

func TestFrameIsFoundBehindNoise(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		noise := make([]byte, random.IntN(64))
		for i := range noise {
			noise[i] = "IBAG\x00\x01\x03"[random.IntN(7)]
		}
		// A noise that looks like a header swallows what follows, which is what Flush is for.
		port := append(append(noise, Flush()...), frameBytes(t, Frame{Welcome, 9, []byte{}})...)
		frames := NewFrameReader(bytes.NewReader(port))
		for {
			got, err := frames.Next()
			if err != nil {
				t.Fatalf("seed %d, noise %q: %v", seed, noise, err)
			}
			if got.Kind == Welcome && got.Session == 9 {
				break
			}
		}
	}
}

func TestFrameTooLargeIsRefused(t *testing.T) {
	err := WriteFrame(io.Discard, Frame{Data, 1, make([]byte, MaxPayload+1)})
	if err == nil || !strings.Contains(err.Error(), "32769") || !strings.Contains(err.Error(), "32768") {
		t.Errorf("error %v does not name size and limit", err)
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte("IBAG\x03\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01hi"))
	f.Add([]byte("IIBAIBAG\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frames := NewFrameReader(bytes.NewReader(data))
		for {
			frame, err := frames.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Contains(data, frame.Payload) {
				t.Fatalf("payload %q is not in %q", frame.Payload, data)
			}
		}
	})
}
