// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReferenceTimersAreMainlines: but for the packets of a lost path, for which mainline does not wait.
func TestReferenceTimersAreMainlines(t *testing.T) {
	want := DefaultTimers.Timers
	want.PacketLifetime = ReferenceTimers.PacketLifetime
	if diff := cmp.Diff(want, ReferenceTimers.Timers); diff != "" {
		t.Errorf("the reference's timers (-mainline's +its):\n%s", diff)
	}
	if stall, detection := ReferenceTimers.StallWithPath().Limit, ReferenceTimers.Detection().Limit; stall <= detection {
		t.Errorf("StallWithPath() = %s, want more than detection, %s", stall, detection)
	}
}
