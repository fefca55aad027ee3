// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// TestImplementationsAreTold: apart, by name, and with what package pair acts on.
func TestImplementationsAreTold(t *testing.T) {
	seen := make(map[string]bool)
	for _, known := range Implementations {
		if known.Name == "" || seen[known.Name] {
			t.Errorf("an implementation is named %q, and another is, too", known.Name)
		}
		seen[known.Name] = true
		if NamesOf(known.Dialect) == (Names{}) {
			t.Errorf("%s: the dialect %q has no names in sysfs", known.Name, known.Dialect)
		}
		if known.NewTarget == nil && known.NewInitiator == nil {
			t.Errorf("%s can be neither target nor initiator", known.Name)
		}
		for _, role := range []clauses.Role{clauses.Target, clauses.Initiator} {
			for _, ability := range []clauses.Ability{clauses.Sysfs, clauses.KernelModule} {
				if _, told := known.Subject(role, nil).Abilities[ability]; !told {
					t.Errorf("%s: whether the %s has %s is not told, and package pair acts on it", known.Name, role, ability)
				}
			}
		}
	}
}
