// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func spec(name string, takes time.Duration, labels ...string) Spec {
	return Spec{Name: name, Takes: takes, Labels: labels, Clauses: claim.IDs(labels)}
}

var some = []Spec{
	spec("map_device shows its usage", time.Second, "clause:IBNBD-SYSFS-001", kit.SmokeLabel),
	spec("access modes give EPERM", 2*time.Second, "clause:IBNBD-OPEN-007"),
	spec("failover on carrier loss", 90*time.Second, "clause:IBNBD-FAIL-005", "slow"),
	spec("resize changes the size", time.Second, "clause:IBNBD-SYSFS-032"),
}

func names(specs []Spec) []string {
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return names
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		name      string
		selection Selection
		want      []int
	}{
		{"everything", Selection{}, []int{0, 1, 2, 3}},
		{"smoke", Selection{Smoke: true}, []int{0}},
		{"by clause", Selection{Clauses: []string{"IBNBD-OPEN-007"}}, []int{1}},
		{"by area", Selection{Areas: []string{"IBNBD-SYSFS"}}, []int{0, 3}},
		{"by level", Selection{Level: "should"}, []int{3}},
		{"by label", Selection{Labels: "slow"}, []int{2}},
		{"by name", Selection{Focus: "^(access|resize)"}, []int{1, 3}},
		{"by exact names", Selection{Names: []string{"access modes give EPERM"}}, []int{1}},
		{"all that is set must match", Selection{Smoke: true, Areas: []string{"IBNBD-OPEN"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			picked, err := c.selection.pick(some, clausestest.Catalogue())
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for _, i := range c.want {
				want = append(want, some[i].Name)
			}
			if diff := cmp.Diff(want, names(picked)); diff != "" {
				t.Errorf("picked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPickNamesWhatIsWrong(t *testing.T) {
	for flag, selection := range map[string]Selection{
		"--clause": {Clauses: []string{"IBNBD-SYSFS-999"}},
		"--area":   {Areas: []string{"IBNBD-NOPE"}},
		"--label":  {Labels: "a &&"},
		"--focus":  {Focus: "("},
	} {
		if _, err := selection.pick(some, clausestest.Catalogue()); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%+v: error %v does not name %s", selection, err, flag)
		}
	}
}

func TestWithoutExtended(t *testing.T) {
	long := spec("a long outage", 200, "clause:IBNBD-OPEN-007", kit.ExtendedLabel)
	all := append(slices.Clone(some), long)
	for _, c := range []struct {
		name      string
		selection Selection
		leftOut   int
	}{
		{"by default", Selection{}, 1},
		{"asked for", Selection{Extended: true}, 0},
		{"named", Selection{Names: []string{long.Name}}, 0},
	} {
		rest, leftOut := c.selection.withoutExtended(all)
		if len(leftOut) != c.leftOut || len(rest)+len(leftOut) != len(all) {
			t.Errorf("%s: %v stay and %v are left out", c.name, names(rest), names(leftOut))
		}
	}
}

// TestLeftOutIsOnRecord: once, with a reason, in a result that the catalogue takes.
func TestLeftOutIsOnRecord(t *testing.T) {
	plan := Plan{LeftOut: []Spec{{Name: "a long outage", Clauses: []string{"IBNBD-FAIL-005", "IBTRS-PATH-006"}, Takes: 200 * time.Second}}}
	results := plan.leftOut(nil)
	if len(results) != 2 {
		t.Fatalf("results %v", results)
	}
	for _, r := range results {
		if err := r.Validate(clausestest.Catalogue()); err != nil || r.Verdict != verdict.Skip || r.Reason != verdict.NotSelected {
			t.Errorf("result %+v, %v", r, err)
		}
	}
	if got := plan.leftOut(&verdict.Shard{Index: 2, Count: 3}); got != nil {
		t.Errorf("the second shard says it once more: %v", got)
	}
}

func TestRailsFor(t *testing.T) {
	four := Spec{Name: "four", Rails: kit.RailsOf(kit.Rails(4))}
	if got := railsFor(append(slices.Clone(some), four)); got != 4 {
		t.Errorf("%d rails, want 4", got)
	}
	if got := railsFor(some); got != 0 {
		t.Errorf("%d rails for specs that do not care", got)
	}
}

func TestDivide(t *testing.T) {
	shares := divide(some, 2)
	want := [][]string{{some[2].Name}, {some[1].Name, some[0].Name, some[3].Name}}
	var got [][]string
	for _, share := range shares {
		got = append(got, names(share))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	if got := estimate(shares); got != 90*time.Second {
		t.Errorf("estimate = %s, want 90s", got)
	}
	if got := len(divide(some, 9)); got != len(some) {
		t.Errorf("%d shares for %d specs and 9 workers", got, len(some))
	}
}

func TestApplicable(t *testing.T) {
	rnbd := []clauses.Subject{{Role: clauses.Initiator, Dialect: "rnbd"}}
	specs := []Spec{spec("io mode", 0, "clause:IBNBD-SYSFS-007"), spec("usage", 0, "clause:IBNBD-SYSFS-001")}
	if diff := cmp.Diff([]string{"usage"}, names(applicable(specs, clausestest.Catalogue(), rnbd))); diff != "" {
		t.Errorf("applicable (-want +got):\n%s", diff)
	}
}

// TestShards: every spec is in one shard, in the order that it has in the whole.
func TestShards(t *testing.T) {
	var specs []Spec
	for i := range 10 {
		specs = append(specs, Spec{Name: fmt.Sprint(i), Takes: time.Duration(i) * time.Second})
	}
	const count = 3
	seen := make(map[string]int)
	for index := 1; index <= count; index++ {
		mine := Selection{Shard: &verdict.Shard{Index: index, Count: count}}.ofShard(specs)
		if !slices.IsSortedFunc(mine, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) }) || len(mine) < 2 {
			t.Errorf("shard %d is %v", index, mine)
		}
		for _, s := range mine {
			seen[s.Name]++
		}
	}
	for _, s := range specs {
		if seen[s.Name] != 1 {
			t.Errorf("spec %s is in %d shards", s.Name, seen[s.Name])
		}
	}
	if got := (Selection{Shard: &verdict.Shard{Index: 11, Count: 11}}).ofShard(specs); len(got) > 0 {
		t.Errorf("the eleventh shard of ten specs has %v", got)
	}
	if got := (Selection{}).ofShard(specs); len(got) != len(specs) {
		t.Errorf("without a shard there are %d specs", len(got))
	}
}
