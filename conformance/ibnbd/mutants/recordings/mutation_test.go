// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

// TestMutations checks that each mutation is found, and nothing else beside what the capture has anyway.
func TestMutations(t *testing.T) {
	for _, m := range All() {
		t.Run(m.Capture+"/"+m.What, func(t *testing.T) {
			t.Parallel()
			found, err := m.Broken(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			control, err := m.Control(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(found, func(key, _ string) bool { _, anyway := control[key]; return anyway })
			got := slices.Sorted(maps.Keys(found))
			if diff := cmp.Diff(slices.Sorted(slices.Values(m.Breaks)), got); diff != "" {
				t.Errorf("broken clauses (-want +got):\n%s", diff)
				for _, key := range got {
					t.Logf("%s: %s", key, found[key])
				}
			}
		})
	}
}

// TestReconnectInTime: an initiator that waits as long as it is configured to breaks nothing.
func TestReconnectInTime(t *testing.T) {
	frames, err := rnbd.load()
	if err != nil {
		t.Fatal(err)
	}
	if frames, err = edit(frames, reconnect(32*time.Second)); err != nil {
		t.Fatal(err)
	}
	found, err := broken(t.Context(), configured(audit.Configuration{ReconnectDelay: 30 * time.Second}), frames)
	if err != nil || len(found) > 0 {
		t.Errorf("%v, broken: %v", err, found)
	}
}

// TestEditThatDoesNotFit: what cannot be done to a capture is an error.
func TestEditThatDoesNotFit(t *testing.T) {
	frames, err := staticKeys.load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edit(frames, func(e *editor) { e.find(0, srpUnit(0x02)) }); err == nil {
		t.Error("a unit of SRP is found in a capture of RNBD")
	}
}
