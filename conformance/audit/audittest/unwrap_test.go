// SPDX-License-Identifier: Apache-2.0

package audittest

import (
	"bytes"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// FuzzUnwrap takes any bytes as a frame of any link type: whatever is in it, a packet comes out of it or a name for what it is.
func FuzzUnwrap(f *testing.F) {
	frame := load(f, audit.Files{Names: []string{baseCase}})[20]
	for _, e := range encodings {
		source, err := audit.NewSource(bytes.NewReader(e.files(Capture{frame})[0]), "seed")
		if err != nil {
			continue
		}
		if seed, err := source.Next(); err == nil {
			f.Add(uint32(seed.Link), seed.Data)
		}
	}
	f.Fuzz(func(t *testing.T, link uint32, data []byte) {
		tracker := audit.NewTracker(audit.Options{})
		tracker.Add(audit.Frame{Link: audit.Link(link), Data: data, OrigLen: len(data)})
		c := tracker.Counters()
		if names := tracker.Contents().Others; c.Other != uint64(len(names)) || c.Other > 0 && names[0].What == "" {
			t.Errorf("no name for what is in the frame: %+v, %v", c, names)
		}
	})
}
