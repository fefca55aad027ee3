// SPDX-License-Identifier: Apache-2.0

package roce_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket/pcapgo"
)

// capture is one capture file: its name and its frames.
type capture struct {
	name   string
	path   string
	frames [][]byte
}

// captures reads every capture file of the package.
func captures(tb testing.TB) []capture {
	tb.Helper()
	paths, err := filepath.Glob("testdata/captures/*.pcap")
	if err != nil {
		tb.Fatal(err)
	}
	if len(paths) == 0 {
		tb.Fatal("no capture files in testdata/captures")
	}
	var all []capture
	for _, path := range paths {
		all = append(all, capture{filepath.Base(path), path, readPcap(tb, path)})
	}
	return all
}

func readPcap(tb testing.TB, path string) (frames [][]byte) {
	tb.Helper()
	file, err := os.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	for {
		frame, _, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			tb.Fatalf("%s: frame %d: %v", path, len(frames)+1, err)
		}
		frames = append(frames, frame)
	}
}
