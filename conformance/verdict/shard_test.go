// SPDX-License-Identifier: Apache-2.0

package verdict_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestParseShard(t *testing.T) {
	if s, err := verdict.ParseShard("2/5"); err != nil || s != (verdict.Shard{Index: 2, Count: 5}) || s.String() != "2/5" {
		t.Errorf("%v, %v", s, err)
	}
	for _, text := range []string{"", "1", "/", "0/2", "3/2", "-1/2", "a/b", "1/1001", "1/2/3"} {
		if s, err := verdict.ParseShard(text); err == nil {
			t.Errorf("%q is %s", text, s)
		}
	}
}

// shardOf is a finished shard with one result.
func shardOf(index, count int, clause string, v verdict.Verdict) verdict.Run {
	h := mainline()
	h.Shard = &verdict.Shard{Index: index, Count: count}
	h.Start = noon.Add(-time.Duration(index) * time.Second)
	h.Specs = map[string][]string{must: {"some spec"}, mustToo: {"some spec"}}
	run := finished(h, result(clause, v))
	run.End = noon.Add(time.Duration(index) * time.Minute)
	return run
}

func TestMerge(t *testing.T) {
	run, missing, err := verdict.Merge([]verdict.Run{shardOf(2, 2, must, verdict.Pass), shardOf(1, 2, mustToo, verdict.Fail)})
	if err != nil || len(missing) > 0 {
		t.Fatalf("missing %v, error %v", missing, err)
	}
	if run.Header.Shard != nil || run.Interrupted() || !run.End.Equal(noon.Add(2*time.Minute)) || !run.Header.Start.Equal(noon.Add(-2*time.Second)) {
		t.Errorf("the whole is shard %v from %s to %s", run.Header.Shard, run.Header.Start, run.End)
	}
	outcome := judge(t, run)
	if got := outcomeOf(t, outcome, must).Verdict; got != verdict.Pass || outcome.Exit.Code != verdict.ExitFails {
		t.Errorf("%s is %s, exit code %d", must, got, outcome.Exit.Code)
	}
}

// TestOneShardIsNotTheWhole: what another shard decides was not selected here, and is no error of the suite.
func TestOneShardIsNotTheWhole(t *testing.T) {
	outcome := judge(t, shardOf(1, 2, must, verdict.Pass))
	if got := outcomeOf(t, outcome, mustToo); got.Verdict != verdict.Skip || got.Reason != verdict.NotSelected {
		t.Errorf("%s is %s %s", mustToo, got.Verdict, got.Reason)
	}
	if outcome.Exit.Code != verdict.ExitHolds {
		t.Errorf("exit code %d", outcome.Exit.Code)
	}
}

func TestMergeWithoutAShard(t *testing.T) {
	run, missing, err := verdict.Merge([]verdict.Run{shardOf(1, 3, must, verdict.Pass)})
	if err != nil || !cmp.Equal(missing, []string{"shard 2/3", "shard 3/3"}) || !run.Interrupted() {
		t.Errorf("missing %v, interrupted %t, error %v", missing, run.Interrupted(), err)
	}
	broken := shardOf(2, 2, mustToo, verdict.Pass)
	broken.End = time.Time{}
	if run, _, err = verdict.Merge([]verdict.Run{shardOf(1, 2, must, verdict.Pass), broken}); err != nil || !run.Interrupted() {
		t.Errorf("a shard was interrupted, the whole not: %v", err)
	}
}

func TestMergeRefusesOtherRuns(t *testing.T) {
	first := shardOf(1, 2, must, verdict.Pass)
	for want, change := range map[string]func(*verdict.Header){
		"one of them is a shard (1/2), and ": func(h *verdict.Header) { h.Shard = nil },
		"it is a shard of 3, not of 2":       func(h *verdict.Header) { h.Shard = &verdict.Shard{Index: 2, Count: 3} },
		"shard 1/2 is there twice":           func(h *verdict.Header) { h.Shard = &verdict.Shard{Index: 1, Count: 2} },
		`its selection is "smoke", not ""`:   func(h *verdict.Header) { h.Selection = "smoke" },
		"made by version 2 of the program":   func(h *verdict.Header) { h.Tool = "2" },
		"its subjects are others":            func(h *verdict.Header) { h.Subjects = slices.Clone(h.Subjects); h.Subjects[0].Name = "other" },
		"its profile is another":             func(h *verdict.Header) { h.Profile = &verdict.Profile{Name: "acme"} },
		"its baseline is another":            func(h *verdict.Header) { h.Baseline = []verdict.ExpectedFailure{{Clause: must}} },
	} {
		other := shardOf(2, 2, mustToo, verdict.Pass)
		change(&other.Header)
		if _, _, err := verdict.Merge([]verdict.Run{first, other}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, _, err := verdict.Merge(nil); err == nil {
		t.Error("nothing was merged")
	}
	if _, _, err := verdict.Merge([]verdict.Run{finished(mainline())}); err == nil {
		t.Error("a whole run was merged")
	}
}
