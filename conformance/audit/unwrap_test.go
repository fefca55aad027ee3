// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"testing"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// FuzzUnwrap takes any bytes as a frame of any link type: whatever is in it, a packet comes out of it or a name for what it is.
func FuzzUnwrap(f *testing.F) {
	frame := loadCase(f, "base.pcap.gz")[20]
	for _, e := range encodings {
		source, err := NewSource(bytes.NewReader(e.files(capture{frame})[0]), "seed")
		if err != nil {
			continue
		}
		if seed, err := source.Next(); err == nil {
			f.Add(uint32(seed.Link), seed.Data)
		}
	}
	var p roce.Packet
	u := unwrapper{packet: &p}
	f.Fuzz(func(t *testing.T, link uint32, data []byte) {
		if err := u.unwrap(Frame{Link: Link(link), Data: data, OrigLen: len(data)}); err != nil && u.found.String() == "" {
			t.Errorf("no name for %+v: %v", u.found, err)
		}
	})
}
