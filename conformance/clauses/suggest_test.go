// SPDX-License-Identifier: Apache-2.0

package clauses_test

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

func TestClosest(t *testing.T) {
	list := []string{"IBTRS-CONN-001", "IBTRS-CONN-021", "IBNBD-SYSFS-021", "IBTRS-HB-009"}
	for word, want := range map[string]string{
		"IBTRS-CONN-21": "IBTRS-CONN-021", "ibtrs-con-01": "IBTRS-CONN-001", "IBTRS-CONN021": "IBTRS-CONN-021", "IBNBD-SYFS-021": "IBNBD-SYSFS-021",
		"IBTRS-HB-009": "IBTRS-HB-009", "RTRS-HB-9": "", "x": "", "": "", "something else": "",
	} {
		if got := clauses.Closest(word, list); got != want {
			t.Errorf("closest to %q is %q, must be %q", word, got, want)
		}
	}
}
