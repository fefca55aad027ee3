// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// TestContentsAreBounded: a flood of kinds takes no more room than a thousand.
func TestContentsAreBounded(t *testing.T) {
	tracker := NewTracker(Options{})
	for i := range 1 << 16 {
		frame := make([]byte, 60)
		binary.BigEndian.PutUint16(frame[12:], uint16(i))
		tracker.Frame("rail0", time.Unix(1, 0), frame, len(frame))
	}
	if n := len(tracker.tallies.others); n > mostTallied+1 {
		t.Errorf("%d kinds are told apart", n)
	}
	contents := tracker.Contents()
	total := uint64(0)
	for _, c := range contents.Others {
		total += c.Count
	}
	if c := tracker.Counters(); total != c.Other || total < 65000 {
		t.Errorf("%d frames are named, of %d", total, c.Other)
	}
	if n := strings.Count(contents.Sentence(), ","); n > 12 {
		t.Errorf("the sentence has %d parts: %s", n, contents.Sentence())
	}
}
