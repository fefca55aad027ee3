// SPDX-License-Identifier: Apache-2.0

//go:build !race

package roce_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/roce/layer"
)

// Trackers and endpoints may decode, check and build without allocating. The
// race detector allocates by itself, so the test is left out under it.
func TestNoAllocations(t *testing.T) {
	frames := allFrames(t)
	var p roce.Packet
	out := make([]byte, 0, 8192)
	parser := layer.NewParser()
	for _, c := range []struct {
		name string
		do   func(frame []byte)
	}{
		{"Packet", func(f []byte) { _ = p.Decode(f) }},
		{"Packet and ICRC", func(f []byte) { _ = p.Decode(f); p.CheckICRC() }},
		{"Packet and AppendFrame", func(f []byte) { _ = p.Decode(f); out, _ = p.AppendFrame(out[:0]) }},
		{"Parser and ICRC", func(f []byte) { _ = parser.Decode(f); parser.CheckICRC() }},
	} {
		i := 0
		if n := testing.AllocsPerRun(len(frames), func() { c.do(frames[i%len(frames)]); i++ }); n != 0 {
			t.Errorf("%s: %v allocations a frame", c.name, n)
		}
	}
}
