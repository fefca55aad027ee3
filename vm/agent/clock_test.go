// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"testing"
	"time"
)

func TestClockPutsGuestTimesOnTheHostsTimeline(t *testing.T) {
	boot := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := Clock{Realtime: -3 * time.Second, Boot: boot, LogBehind: 40 * time.Millisecond}
	for name, test := range map[string]struct{ got, want time.Time }{
		"a guest that is 3 s slow": {clock.FromRealtime(boot.Add(7 * time.Second)), boot.Add(10 * time.Second)},
		"monotonic":                {clock.FromMonotonic(2 * time.Second), boot.Add(2 * time.Second)},
		"kernel log":               {clock.FromLog(2 * time.Second), boot.Add(2040 * time.Millisecond)},
	} {
		if !test.got.Equal(test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
}
