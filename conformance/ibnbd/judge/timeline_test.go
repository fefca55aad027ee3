// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit/audittest"
)

// TestWriteTimeline: however many lines are kept, they are the first and the last of the whole timeline.
func TestWriteTimeline(t *testing.T) {
	files := audittest.Mainline(rnbdCapture...)
	whole := written(t, 1<<20, files)
	for _, most := range []int{1, 7, len(whole) / 2, len(whole)/2 + 1} {
		got := written(t, most, files)
		want := whole
		if left := len(whole) - 2*most; left > 0 {
			want = append(append(append([]string(nil), whole[:most]...), fmt.Sprintf("... %d lines are left out ...", left)), whole[len(whole)-most:]...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d lines at each end (-want +got):\n%s", most, diff)
		}
	}
	if !strings.HasSuffix(whole[0], "connection 0: connection request, 0 of 2, incarnation 1  [rnbd-mainline-rail0#17]") {
		t.Errorf("first line is %q", whole[0])
	}
}

func written(t *testing.T, most int, files []string) []string {
	t.Helper()
	var b strings.Builder
	if err := Protocol.WriteTimeline(t.Context(), &b, most, files...); err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}
