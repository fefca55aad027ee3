// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"maps"
	"slices"
	"testing"
)

// TestKnownAreThere: what is known is known of a provocation that there is.
func TestKnownAreThere(t *testing.T) {
	there := map[string]bool{}
	for _, c := range All() {
		there[c.Name] = true
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(hard)), slices.Collect(maps.Keys(costly))) {
		if !there[name] {
			t.Errorf("there is no provocation %q", name)
		}
	}
}
