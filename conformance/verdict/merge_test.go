// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// inConfiguration is a whole run of one subject that was started with something.
func inConfiguration(name string, abilities map[clauses.Ability]bool, results ...verdict.Result) verdict.Run {
	h := mainline()
	h.Subjects = h.Subjects[:1:1]
	h.Subjects[0].Configuration, h.Subjects[0].Abilities = name, abilities
	h.Specs = map[string][]string{must: {"some spec"}, mustToo: {"some spec"}}
	for i := range results {
		results[i].Configuration = name
	}
	return finished(h, results...)
}

// skippedFor is a result of a spec that wants another configuration.
func skippedFor(clause string) verdict.Result {
	r := result(clause, verdict.Skip)
	r.Reason, r.Message = verdict.OtherConfiguration, "it needs a queue depth of 1"
	return r
}

func TestMergeOfConfigurations(t *testing.T) {
	deep := inConfiguration("depth=128", nil, result(must, verdict.Pass), skippedFor(mustToo))
	flat := inConfiguration("depth=1", nil, result(must, verdict.Pass), result(mustToo, verdict.Fail))
	run, missing, err := verdict.Merge([]verdict.Run{deep, flat})
	if err != nil || len(missing) > 0 || run.Interrupted() {
		t.Fatalf("missing %v, interrupted %t, error %v", missing, run.Interrupted(), err)
	}
	outcome := judge(t, run)
	if got := outcomeOf(t, outcome, must); got.Verdict != verdict.Pass || got.Counts[verdict.Pass] != 2 {
		t.Errorf("%s is %s of %v", must, got.Verdict, got.Counts)
	}
	if got := outcomeOf(t, outcome, mustToo); got.Verdict != verdict.Fail {
		t.Errorf("%s is %s, which one of the configurations breaks", mustToo, got.Verdict)
	}
	var configurations []string
	for _, s := range outcome.Header.Subjects {
		configurations = append(configurations, s.Configuration)
	}
	if !cmp.Equal(configurations, []string{"depth=128", "depth=1"}) {
		t.Errorf("configurations %v", configurations)
	}
}

func TestMergeOfShardsOfConfigurations(t *testing.T) {
	part := func(name string, index int) verdict.Run {
		run := inConfiguration(name, nil, result(must, verdict.Pass))
		run.Header.Shard = &verdict.Shard{Index: index, Count: 2}
		return run
	}
	run, missing, err := verdict.Merge([]verdict.Run{part("depth=1", 1), part("depth=2", 1), part("depth=2", 2)})
	if err != nil || !cmp.Equal(missing, []string{"shard 2/2 of depth=1"}) || !run.Interrupted() {
		t.Errorf("missing %v, interrupted %t, error %v", missing, run.Interrupted(), err)
	}
}

// TestClauseOfOneConfiguration: a clause that one configuration has nothing to do with is none of that one's faults.
func TestClauseOfOneConfiguration(t *testing.T) {
	with, without := map[clauses.Ability]bool{clauses.KeyRefresh: true}, map[clauses.Ability]bool{clauses.KeyRefresh: false}
	run, _, err := verdict.Merge([]verdict.Run{
		inConfiguration("keys=refreshed", with, result(refresh, verdict.Pass)),
		inConfiguration("keys=static", without, result(refresh, verdict.Fail)),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := outcomeOf(t, judge(t, run), refresh)
	if got.Verdict != verdict.Pass || got.Counts[verdict.NotApplicable] != 1 {
		t.Errorf("%s is %s of %v", refresh, got.Verdict, got.Counts)
	}
}

func TestMergeRefusesConfigurations(t *testing.T) {
	one := inConfiguration("depth=1", nil, result(must, verdict.Pass))
	plain := inConfiguration("", nil, result(must, verdict.Pass))
	shard := inConfiguration("depth=2", nil, result(must, verdict.Pass))
	shard.Header.Shard = &verdict.Shard{Index: 1, Count: 2}
	for want, parts := range map[string][]verdict.Run{
		"the configuration depth=1 is there twice":      {one, one},
		"one of them has a configuration":               {one, plain},
		"run 1 is no shard of a run, and its subject":   {plain, one},
		"one of them is a shard (1/2), and the other i": {one, shard},
	} {
		if _, _, err := verdict.Merge(parts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
