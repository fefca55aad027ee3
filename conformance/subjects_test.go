// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// TestSettingsOfALab: they reach the implementations and the report, and nothing is started with one that makes no sense.
func TestSettingsOfALab(t *testing.T) {
	run := LabRun{Target: "reference", Initiator: "reference", Settings: Settings{ReportDir: "x"}}
	run.TargetSettings, run.InitiatorSettings = []string{"queue-depth=2"}, []string{"reconnect-delay=1s"}
	o, err := run.Options()
	if err != nil {
		t.Fatal(err)
	}
	want := map[clauses.Role][]string{clauses.Target: {"queue-depth=2"}, clauses.Initiator: {"reconnect-delay=1s"}}
	if diff := cmp.Diff(want, o.Kit.Settings); diff != "" || o.Subjects[0].Configuration != "queue-depth=2" {
		t.Errorf("subjects %v, settings (-want +got):\n%s", o.Subjects, diff)
	}
	for _, c := range []struct {
		target   string
		settings []string
		want     string
	}{
		{"reference", []string{"queue-depth"}, "NAME=VALUE"},
		{"reference", []string{"queue-depth=2", "queue-depth=3"}, "twice"},
		{"reference", []string{"queue-depth=0"}, "outside 1 to 65535"},
		{"mainline", []string{"queue-depth=2"}, "mainline has nothing that a run can set"},
	} {
		run.Target, run.TargetSettings = c.target, c.settings
		if _, err := run.Options(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "TargetSettings") {
			t.Errorf("%s with %s: %v, want %q", c.target, c.settings, err, c.want)
		}
	}
}

// TestWorkersFindTheirProtocol: by the name that is in their orders.
func TestWorkersFindTheirProtocol(t *testing.T) {
	o, err := LabRun{Settings: Settings{ReportDir: "x"}}.Options()
	if err != nil || labOf(o.Kit.Protocol) == nil {
		t.Errorf("no lab for %q, %v", o.Kit.Protocol, err)
	}
	if labOf("srp") == nil {
		t.Error("no lab for srp")
	}
	for _, name := range []string{"", "nvme"} {
		if labOf(name) != nil {
			t.Errorf("a lab for %q", name)
		}
	}
}
