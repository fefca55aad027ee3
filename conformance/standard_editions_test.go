// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Editions are numbered without gaps, the last first, and cite clauses that there are.
func TestEditions(t *testing.T) {
	document, err := conformance.Standard()
	if err != nil {
		t.Fatal(err)
	}
	type number struct{ first, second int }
	var later number
	for i, e := range document.Editions {
		var n number
		if _, err := fmt.Sscanf(e.Number, "%d.%d", &n.first, &n.second); err != nil || fmt.Sprintf("%d.%d", n.first, n.second) != e.Number {
			t.Fatalf("edition %q is not of the form FIRST.SECOND", e.Number)
		}
		if i > 0 && later != (number{n.first + 1, 0}) && later != (number{n.first, n.second + 1}) {
			t.Errorf("edition %d.%d follows %s", later.first, later.second, e.Number)
		}
		later = n
		for _, id := range regexp.MustCompile(`\b(IBTRS|IBNBD|SRP)-[A-Z]+-[0-9]{3}\b`).FindAllString(e.What, -1) {
			if _, known := conformance.Catalogue().Get(id); !known {
				t.Errorf("edition %s: %s is no clause", e.Number, id)
			}
		}
	}
	if later != (number{1, 0}) {
		t.Errorf("the first edition is %d.%d", later.first, later.second)
	}
	if last := document.Editions[0].Number; last != clauses.Edition {
		t.Errorf("the last edition is %s, and clauses.Edition %s", last, clauses.Edition)
	}
}
