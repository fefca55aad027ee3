// SPDX-License-Identifier: Apache-2.0

package implementation

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

var (
	kernel = Facts{Name: "kernel", Dialect: "rnbd", Modules: []string{"a", "b"}}
	own    = Facts{
		Name: "own", Dialect: "ibnbd", Own: true, Modules: []string{"b", "c"},
		Abilities:   map[clauses.Ability]bool{clauses.Sysfs: true, clauses.IOMode: false},
		AsTarget:    map[clauses.Ability]bool{clauses.IOMode: true},
		AsInitiator: map[clauses.Ability]bool{clauses.Sysfs: false},
	}
)

func TestSubject(t *testing.T) {
	for role, want := range map[clauses.Role]map[clauses.Ability]bool{
		clauses.Target:    {clauses.Sysfs: true, clauses.IOMode: true, clauses.KeyRefresh: true},
		clauses.Initiator: {clauses.Sysfs: false, clauses.IOMode: false, clauses.KeyRefresh: true},
	} {
		got := own.Subject(role, map[clauses.Ability]bool{clauses.KeyRefresh: true})
		if diff := cmp.Diff(clauses.Subject{Role: role, Dialect: "ibnbd", Own: true, Abilities: want}, got); diff != "" {
			t.Errorf("Subject() as %s (-want +got):\n%s", role, diff)
		}
		if own.Has(clauses.KeyRefresh, role) || own.Has(clauses.IOMode, role) != want[clauses.IOMode] {
			t.Errorf("what a run has chosen, or another role, has become a fact of the %s", role)
		}
	}
}

func TestFullName(t *testing.T) {
	for _, c := range []struct {
		facts Facts
		want  string
	}{{kernel, "kernel-6.12"}, {own, "own-v1"}} {
		if got := c.facts.FullName("v1", "6.12"); got != c.want {
			t.Errorf("FullName() = %s, want %s", got, c.want)
		}
	}
}

func TestLocalName(t *testing.T) {
	if got := kernel.LocalName("v1", "6.12.9", "0123abc"); got != "local-kernel-6.12.9-0123abc" {
		t.Errorf("of the kernel's: %s", got)
	}
	if got := own.LocalName("v1", "6.12.9", "0123abc"); got != "own-v1" {
		t.Errorf("of the project's own, which comes with no kernel: %s", got)
	}
}

func TestTables(t *testing.T) {
	all := []Facts{kernel, own}
	if diff := cmp.Diff([]string{"kernel", "own"}, Names(all)); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, Modules(all)); diff != "" {
		t.Errorf("Modules (-want +got):\n%s", diff)
	}
	if found, ok := Named(all, "own"); !ok || found.Dialect != "ibnbd" {
		t.Errorf("Named(own) = %v, %v", found, ok)
	}
	if _, ok := Named(all, "other"); ok {
		t.Error("Named finds what is not there")
	}
	more := []struct{ Facts }{{Facts{Name: "first"}}, {Facts{Name: "second", Dialect: "srp"}}}
	if found, ok := Named(more, "second"); !ok || found.Dialect != "srp" {
		t.Errorf("of a protocol's own descriptions, Named(second) = %v, %v", found, ok)
	}
	if names := Names(FactsOf(more)); !slices.Equal(names, []string{"first", "second"}) {
		t.Errorf("names of the facts: %v", names)
	}
}

func TestSources(t *testing.T) {
	files := fstest.MapFS{"Kbuild": {}}
	withSources := own
	withSources.Sources = files
	got := Sources([]Facts{kernel, withSources})
	if len(got) != 1 || got["own"] == nil {
		t.Errorf("Sources() = %v, want those of own alone", got)
	}
}
