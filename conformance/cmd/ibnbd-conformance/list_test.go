// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TestNothingIsUncovered: every clause is decided by a spec or by the passive judge, or its record says why it cannot be. Of SRP one is
// left, whose demand of a log entry no hook tells of.
func TestNothingIsUncovered(t *testing.T) {
	got := command(t, "list", "--uncovered", "--dialect", "ibnbd,rnbd")
	if got.code != 0 || !strings.HasSuffix(strings.TrimSpace(got.stdout), "clauses: 0") {
		t.Errorf("exit code %d, %s\n%s", got.code, got.stderr, got.stdout)
	}
	got = command(t, "list", "--uncovered", "--dialect", "srp")
	if !strings.Contains(got.stdout, "SRP-LOGOUT-010") || !strings.HasSuffix(strings.TrimSpace(got.stdout), "clauses: 1") {
		t.Errorf("exit code %d, %s\n%s", got.code, got.stderr, got.stdout)
	}
}

// TestListImplementations: what it lists is what run takes, and what it completes.
func TestListImplementations(t *testing.T) {
	got := command(t, "list", "--implementations")
	names := strings.Fields(got.stdout)
	if got.code != 0 || !slices.Contains(names, "mainline") || !slices.Contains(names, "reference") {
		t.Fatalf("exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
	for _, name := range names {
		run := command(t, "run", "--target", name, "--initiator", name, "--dry-run")
		if run.code != 0 {
			t.Errorf("run --target %s: exit code %d, %s", name, run.code, run.stderr)
		}
	}
	for _, flag := range []string{"--target", "--initiator"} {
		completed := command(t, "__complete", "run", flag, "")
		if !strings.HasPrefix(completed.stdout, got.stdout) {
			t.Errorf("%s is completed to %q, want %q", flag, completed.stdout, got.stdout)
		}
	}
	expectSentence(t, command(t, "list", "--implementations", "--json"), verdict.ExitUsage, "--implementations goes with no other flag")
}

// TestListLeavesOut what nothing at hand can be judged by, unless it is asked for.
func TestListLeavesOut(t *testing.T) {
	const nobodys = "IBTRS-IO-016" // which nobody can decide
	some, all := command(t, "list", "--area", "IBTRS-IO"), command(t, "list", "--area", "IBTRS-IO", "--all")
	if strings.Contains(some.stdout, nobodys) || !strings.Contains(some.stdout, "\nleft out: ") {
		t.Errorf("%s", some.stdout)
	}
	if !strings.Contains(all.stdout, nobodys) || strings.Contains(all.stdout, "left out: ") {
		t.Errorf("--all: %s", all.stdout)
	}
	if got := command(t, "list", "--area", "IBTRS-IO", "--decided-by", "none"); !strings.Contains(got.stdout, nobodys) {
		t.Errorf("--decided-by none: %s", got.stdout)
	}
}

// TestExplainNamesEverySpec: of the lab and of foreign runs, and says where the source can be looked up.
func TestExplainNamesEverySpec(t *testing.T) {
	for id, parts := range map[string][]string{
		"IBTRS-HB-006": {"provocation where servers say nothing", "a client that falls silent is given up, beside one that only acknowledges heartbeats", "'ibnbd-conformance run --clause IBTRS-HB-006'"},
		"IBTRS-HB-001": {"packets    the passive judge has a rule for it"},
	} {
		got := strings.Join(strings.Fields(command(t, "explain", id).stdout), " ")
		for _, part := range parts {
			if !strings.Contains(got, strings.Join(strings.Fields(part), " ")) {
				t.Errorf("%s: %q is not in:\n%s", id, part, got)
			}
		}
	}
}
