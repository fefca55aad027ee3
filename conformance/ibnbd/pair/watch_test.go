// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
)

func TestWholeSince(t *testing.T) {
	begin := time.Now()
	at := func(second int, connected bool) change {
		return change{begin.Add(time.Duration(second) * time.Second), connected}
	}
	for _, c := range []struct {
		name   string
		first  []change
		second []change
		want   time.Time
	}{
		{"never lost", []change{at(1, true)}, []change{at(2, true)}, begin.Add(2 * time.Second)},
		{"one is lost", []change{at(1, true), at(5, false)}, []change{at(2, true)}, time.Time{}},
		{"one is back", []change{at(1, true), at(5, false), at(9, true)}, []change{at(2, true)}, begin.Add(9 * time.Second)},
		{"both were lost", []change{at(1, true), at(5, false), at(9, true)}, []change{at(6, false), at(8, true)}, begin.Add(9 * time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &Watch{paths: map[subject.PathAddr][]change{{}: c.first, {Source: netip.IPv6Unspecified()}: c.second}}
			if got := w.WholeSince(); !got.Equal(c.want) {
				t.Errorf("whole since %v, want %v", got, c.want)
			}
		})
	}
	if got := (&Watch{}).WholeSince(); !got.IsZero() {
		t.Errorf("a session without paths is whole since %v", got)
	}
}
