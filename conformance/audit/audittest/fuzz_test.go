// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// FuzzCapture takes any bytes as a capture file.
func FuzzCapture(f *testing.F) {
	data, err := os.ReadFile(Mainline("rnbd-mainline-rail0.pcap")[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:8000])
	few := load(f, audit.Files{Names: []string{baseCase}})[:6]
	for _, e := range encodings {
		if files := e.files(few); len(files[0]) < 1<<14 {
			f.Add(files[0])
		}
	}
	f.Add(asPcapng(f, load(f, srpCapture)[:20], "rail0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		source, err := audit.NewSource(bytes.NewReader(data), "fuzz")
		if err != nil {
			if !errors.Is(err, audit.ErrFormat) {
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
				if !errors.Is(err, audit.ErrFormat) && !errors.Is(err, audit.ErrCutOff) {
					t.Errorf("error of another kind: %v", err)
				}
				return
			}
			if len(frame.Data) > audit.MaxFrame {
				t.Errorf("frame of %d bytes", len(frame.Data))
			}
		}
	})
}

// asPcapng writes frames as a pcapng file with one interface of a name.
func asPcapng(tb testing.TB, frames Capture, names ...string) []byte {
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
