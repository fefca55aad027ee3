// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"strings"
	"testing"
)

// Specs whose names differ at their ends alone have folders of their own.
func TestEvidenceOfLongNames(t *testing.T) {
	begin := strings.Repeat("a provocation ", 20)
	one, other := EvidenceOf(begin+"where it begins"), EvidenceOf(begin+"where it ends")
	if one == other {
		t.Errorf("both have %s", one)
	}
	for _, dir := range []string{one, other} {
		if name := strings.TrimPrefix(dir, EvidenceDir+"/"); len(name) != 120 || !strings.HasPrefix(name, "a-provocation-a-provocation-") {
			t.Errorf("the folder is %q", name)
		}
	}
	if got := EvidenceOf("failover: 2 paths"); got != EvidenceDir+"/failover--2-paths" {
		t.Errorf("a short name gets %q", got)
	}
}
