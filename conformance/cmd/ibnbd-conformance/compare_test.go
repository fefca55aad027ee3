// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/compare"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

func TestCompare(t *testing.T) {
	pass, fail := journal(t, verdict.Pass), journal(t, verdict.Fail)
	asReport := t.TempDir()
	if got := command(t, "report", "--from", pass, "--dir", asReport); got.code != 0 {
		t.Fatal(got.stderr)
	}
	for _, c := range []struct {
		name, before, after string
		want                verdict.ExitCode
		says                string
	}{
		{"the same", pass, pass, verdict.ExitHolds, "0 better, 0 worse"},
		{"a journal and the report of it", pass, filepath.Join(asReport, "report.json"), verdict.ExitHolds, "0 better, 0 worse"},
		{"directories", filepath.Dir(pass), asReport, verdict.ExitHolds, "0 better, 0 worse"},
		{"worse", pass, fail, verdict.ExitFails, must + " in refuses a"},
		{"better", fail, pass, verdict.ExitHolds, "1 better, 0 worse"},
	} {
		got := command(t, "compare", c.before, c.after)
		if got.code != int(c.want) || !strings.Contains(got.stdout, c.says) || got.stderr != "" {
			t.Errorf("%s: exit code %d, want %d; %q is to be in:\n%s%s", c.name, got.code, c.want, c.says, got.stdout, got.stderr)
		}
	}
	var read compare.Comparison
	if err := json.Unmarshal([]byte(command(t, "compare", "--json", pass, fail).stdout), &read); err != nil || len(read.Clauses) != 1 {
		t.Errorf("%v: %+v", err, read)
	}
}

func TestWrongUsageOfCompareAndMerge(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, []byte(`{"format": "another"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Dir(journal(t, verdict.Pass))
	shard := shardJournal(t, 1, verdict.Pass)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"one report":         {[]string{"compare", whole}, "takes two reports, got 1"},
		"no report":          {[]string{"compare", whole, "none"}, "read report: stat none"},
		"an empty directory": {[]string{"compare", whole, t.TempDir()}, "report.json: no such file"},
		"another JSON":       {[]string{"compare", whole, other}, `format "another", version 0; this program reads "ibnbd-conformance-report", version 1`},
		"nothing to merge":   {[]string{"report", "merge"}, "takes the directories of the parts"},
		"no shard":           {[]string{"report", "merge", whole}, "run 1 is no shard of a run"},
		"one shard twice":    {[]string{"report", "merge", shard, shard}, "shard 1/2 is there twice"},
		"a journal is there": {[]string{"report", "merge", "--dir", whole, shard}, "results.jsonl is there already"},
		"no shard of that":   {[]string{"run", "--shard", "3/2"}, `--shard "3/2" is not of the form INDEX/COUNT`},
		"no run to rerun":    {[]string{"run", "--rerun-failed", "--report", t.TempDir()}, "--rerun-failed: read journal"},
	} {
		t.Run(name, func(t *testing.T) { expectSentence(t, command(t, c.args...), verdict.ExitUsage, c.want) })
	}
}

// shardJournal records one of two shards, with evidence, and returns its directory.
func shardJournal(t *testing.T, index int, v verdict.Verdict) string {
	t.Helper()
	w, name := begin(t, verdict.Header{
		Shard: &verdict.Shard{Index: index, Count: 2}, Specs: map[string][]string{must: {"refuses a wrong magic"}},
	})
	record(t, w, v)
	if err := w.Finish(time.Date(2030, 1, 2, 0, 1, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(name)
	evidence := filepath.Join(dir, "evidence", "spec-"+string(v))
	if err := os.MkdirAll(evidence, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(evidence, "log"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMergeShards(t *testing.T) {
	one, two := shardJournal(t, 1, verdict.Pass), shardJournal(t, 2, verdict.Fail)
	dir := filepath.Join(t.TempDir(), "whole")
	got := command(t, "report", "merge", "--dir", dir, one, filepath.Join(two, "results.jsonl"))
	if got.code != int(verdict.ExitFails) || got.stderr != "" {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	for _, file := range []string{"evidence/spec-PASS/log", "evidence/spec-FAIL/log", "report.html", report.JournalFile} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
	if again := command(t, "report", "--from", filepath.Join(dir, report.JournalFile)); again.code != got.code {
		t.Errorf("the journal of the whole gives exit code %d, the merge %d", again.code, got.code)
	}
	got = command(t, "report", "merge", "--dir", t.TempDir(), one)
	if got.code != int(verdict.ExitEnvironment) || !strings.HasPrefix(got.stdout, "shard 2/2 is missing\n") {
		t.Errorf("without a shard: exit code %d:\n%s", got.code, got.stdout)
	}
}

// TestRerunFailed looks at what would be run, with two journals of the same specs.
func TestRerunFailed(t *testing.T) {
	const failed, passed = "attack by connection request with another magic", "attack by connection request of major version 1"
	w, name := begin(t, verdict.Header{Specs: map[string][]string{"IBTRS-CONN-021": {failed}, "IBTRS-CONN-022": {passed}}})
	for _, r := range []verdict.Result{
		{Clause: "IBTRS-CONN-021", Spec: failed, Verdict: verdict.Fail, Reason: verdict.AssertionFailed},
		{Clause: "IBTRS-HB-001", Spec: "packets in: " + failed, Verdict: verdict.Fail, Reason: verdict.ProtocolViolation},
		{Clause: "IBTRS-CONN-022", Spec: passed, Verdict: verdict.Pass},
		{Clause: "IBNBD-FAIL-011", Spec: "the target unloads after all specs", Verdict: verdict.Fail, Reason: verdict.LeftBehind},
	} {
		if err := w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"run", "--target", "ip:10.0.0.66", "--export", "a", "--dry-run", "--rerun-failed", "--report", filepath.Dir(name)}
	if got := command(t, args...); got.code != 0 || !strings.HasPrefix(got.stdout, "1 spec on 10.0.0.66") || !strings.Contains(got.stdout, failed) {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	args[len(args)-1] = filepath.Dir(journal(t, verdict.Pass))
	expectSentence(t, command(t, args...), verdict.ExitNothingRan, "--rerun-failed: no spec has failed in")
}

func TestShardsOfADryRun(t *testing.T) {
	args := []string{"run", "--target", "ip:10.0.0.66", "--export", "a", "--dry-run", "--focus", "session name"}
	specs := func(args ...string) (n int) {
		got := command(t, args...)
		if _, err := fmt.Sscanf(got.stdout, "%d spec", &n); err != nil || got.code != 0 {
			t.Errorf("%v: exit code %d: %s%s", args, got.code, got.stdout, got.stderr)
		}
		return n
	}
	args = append(args[:len(args):len(args)], "--shard")
	all, one, two := specs(args[:len(args)-1]...), specs(append(args, "1/2")...), specs(append(args, "2/2")...)
	if one == 0 || two == 0 || one+two != all {
		t.Errorf("of %d specs, one shard has %d and the other %d", all, one, two)
	}
	expectSentence(t, command(t, append(args, "9/9")...), verdict.ExitNothingRan, `no spec is selected by focus=session name shard=9/9`)
}

func TestManualPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	if got := command(t, "man", dir); got.code != 0 {
		t.Fatal(got.stderr)
	}
	for _, page := range []string{"ibnbd-conformance", "ibnbd-conformance-run", "ibnbd-conformance-report-merge", "ibnbd-conformance-compare"} {
		text, err := os.ReadFile(filepath.Join(dir, page+".1"))
		if err != nil || !strings.Contains(string(text), `.TH "IBNBD-CONFORMANCE" "1"`) || !strings.Contains(string(text), "Exit codes:") {
			t.Errorf("%s: %v: %.200s", page, err, text)
		}
	}
	// A table is set as it stands.
	page, err := os.ReadFile(filepath.Join(dir, "ibnbd-conformance-run.1"))
	if err != nil {
		t.Fatal(err)
	}
	tables := regexp.MustCompile(`(?s)\n\.EX\n(.*?)\n\.EE\n`).FindAllStringSubmatch(string(page), -1)
	for _, want := range []string{"  4  nothing was judged", "  restart   starts the target again", "  unmap NODE  ", "  allow-outage: true"} {
		if !slices.ContainsFunc(tables, func(table []string) bool { return strings.Contains(strings.ReplaceAll(table[1], `\-`, "-"), want) }) {
			t.Errorf("%q stands in no table of the %d of the page", want, len(tables))
		}
	}
}
