// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

func TestSubjects(t *testing.T) {
	both := []clauses.Dialect{IBNBD, RNBD}
	project := clauses.Clause{Dialects: both, Level: clauses.Must, Role: clauses.Target, Scope: clauses.ProjectScope}
	sysfs := clauses.Clause{Dialects: both, Level: clauses.Must, Role: clauses.Target, Scope: clauses.ProtocolScope, Requires: []clauses.Ability{clauses.Sysfs}}
	for _, c := range []struct {
		name           string
		project, sysfs clauses.Force
	}{
		{"mainline", clauses.Advisory, clauses.Binding},
		{"reference", clauses.Binding, clauses.NotApplicable},
	} {
		for _, static := range []bool{true, false} {
			o, err := LabRun{Target: c.name, Initiator: c.name, StaticKeys: static, Settings: Settings{ReportDir: "x"}}.Options()
			if err != nil {
				t.Fatal(err)
			}
			target := o.Subjects[0]
			if got, why := project.Force(target.Subject); got != c.project {
				t.Errorf("a rule of the project is %s for %s: %s", got, c.name, why)
			}
			if got, why := sysfs.Force(target.Subject); got != c.sysfs {
				t.Errorf("a rule of sysfs is %s for %s: %s", got, c.name, why)
			}
			if target.Abilities[clauses.KeyRefresh] == static || target.Abilities[clauses.StaticKeys] != static {
				t.Errorf("%s with static keys %v has the abilities %v", c.name, static, target.Abilities)
			}
			for i, role := range []clauses.Role{clauses.Target, clauses.Initiator} {
				if o.Subjects[i].Role != role || !strings.HasPrefix(o.Subjects[i].Name, c.name+"-") {
					t.Errorf("subject %d is %s %q", i, o.Subjects[i].Role, o.Subjects[i].Name)
				}
			}
		}
	}
}

// TestWorkersFindTheirProtocol: by the name that is in their orders.
func TestWorkersFindTheirProtocol(t *testing.T) {
	o, err := LabRun{Settings: Settings{ReportDir: "x"}}.Options()
	if err != nil || labOf(o.Kit.Protocol) == nil {
		t.Errorf("no lab for %q, %v", o.Kit.Protocol, err)
	}
	for _, name := range []string{"", "srp", "nvme"} {
		if labOf(name) != nil {
			t.Errorf("a lab for %q", name)
		}
	}
}
