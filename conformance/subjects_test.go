// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
)

func TestSubjects(t *testing.T) {
	both := []clauses.Dialect{clauses.IBNBD, clauses.RNBD}
	project := clauses.Clause{Dialects: both, Level: clauses.Must, Role: clauses.Target, Scope: clauses.ProjectScope}
	sysfs := clauses.Clause{Dialects: both, Level: clauses.Must, Role: clauses.Target, Scope: clauses.ProtocolScope, Requires: []clauses.Ability{clauses.Sysfs}}
	for _, c := range []struct {
		name           string
		project, sysfs clauses.Force
	}{
		{kit.Mainline, clauses.Advisory, clauses.Binding},
		{kit.Reference, clauses.Binding, clauses.NotApplicable},
	} {
		for _, keys := range []subject.KeyMode{subject.KeysKept, subject.KeysRefreshed} {
			subjects := subjects(Lab{Target: c.name, Initiator: c.name, Kernel: "6.12"}, keys)
			target := subjects[0]
			if got, why := project.Force(target.Subject); got != c.project {
				t.Errorf("a rule of the project is %s for %s: %s", got, c.name, why)
			}
			if got, why := sysfs.Force(target.Subject); got != c.sysfs {
				t.Errorf("a rule of sysfs is %s for %s: %s", got, c.name, why)
			}
			if target.Abilities[clauses.KeyRefresh] != bool(keys) || target.Abilities[clauses.StaticKeys] == bool(keys) {
				t.Errorf("%s with key mode %v has the abilities %v", c.name, keys, target.Abilities)
			}
			for i, role := range []clauses.Role{clauses.Target, clauses.Initiator} {
				if subjects[i].Role != role || !strings.HasPrefix(subjects[i].Name, c.name+"-") {
					t.Errorf("subject %d is %s %q", i, subjects[i].Role, subjects[i].Name)
				}
			}
		}
	}
}

func TestEveryImplementationIsDescribed(t *testing.T) {
	for _, name := range kit.Implementations {
		if _, known := implementations[name]; !known {
			t.Errorf("nothing is known of %q", name)
		}
	}
}
