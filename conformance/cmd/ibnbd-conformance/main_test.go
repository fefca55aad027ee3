// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

// binary is the built command. The tests look at it from outside, as its users do.
var binary string

func TestMain(m *testing.M) {
	if kind := os.Getenv("IBNBD_TEST_VENDOR"); kind != "" {
		fmt.Fprintln(os.Stderr, beVendor(kind, os.Args[1]))
		os.Exit(1)
	}
	if socket := os.Getenv(acmeSocket); socket != "" {
		os.Exit(beHook(socket, os.Args[1:]))
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ibnbd-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "ibnbd-conformance")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the command:", err)
		return 1
	}
	// Runs against somebody else's target or initiator are processes that wait most of the time.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// ended is how the command ended.
type ended struct {
	code           int
	stdout, stderr string
}

func command(t *testing.T, args ...string) ended {
	t.Helper()
	return commandIn(t, t.TempDir(), args...)
}

func commandIn(t *testing.T, dir string, args ...string) ended {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = dir
	return run(t, cmd)
}

func run(t *testing.T, cmd *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func TestWrongUsage(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.jsonl")
	if err := os.WriteFile(broken, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no command", nil, "no command given; commands are"},
		{"unknown command", []string{"lits"}, `unknown command "lits"; commands are`},
		{"unknown flag", []string{"--frob"}, "unknown flag: --frob, see 'ibnbd-conformance --help'"},
		{"unknown flag of a command", []string{"list", "--frob"}, "unknown flag: --frob, see 'ibnbd-conformance list --help'"},
		{"flag without value", []string{"list", "--area"}, "flag needs an argument: --area"},
		{"argument too many", []string{"list", "IBTRS-HB"}, "takes no arguments, got 1"},
		{"unknown area", []string{"list", "--area", "IBTRS-XX"}, `--area "IBTRS-XX" is not one of IBTRS-CONN, `},
		{"unknown level", []string{"list", "--level", "SHALL"}, `--level "SHALL" is not one of MUST, SHOULD, MAY`},
		{"unknown method", []string{"list", "--decided-by", "luck"}, `--decided-by "luck" is not one of active, wire, none`},
		{"no clause", []string{"explain"}, "no clause given"},
		{"unknown clause", []string{"explain", "IBTRS-CONN-999"}, "area IBTRS-CONN has IBTRS-CONN-001 to IBTRS-CONN-0"},
		{"unknown clause and area", []string{"explain", "FOO-1"}, `clause "FOO-1" is not in the catalogue; 'ibnbd-conformance list' shows all`},
		{"two wrong times", []string{"audit", "--timeline", "--from", "noon", "--to", "midnight", "x.pcap"}, `--from "noon" is neither`},
		{"no journal", []string{"report", "--from", "none.jsonl"}, "open none.jsonl: no such file"},
		{"broken journal", []string{"report", "--from", broken}, "broken.jsonl: line 1: invalid character"},
		{"unknown format", []string{"report", "--from", journal(t, verdict.Pass), "--format", "pdf"}, `--format "pdf" is not one of terminal, json, junit, ktap, html`},
		{"no baseline", []string{"report", "--from", journal(t, verdict.Pass), "--baseline", "none.yaml"}, "open none.yaml: no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := command(t, test.args...)
			if got.code != int(verdict.ExitUsage) {
				t.Errorf("exit code %d, want 2", got.code)
			}
			if !strings.Contains(got.stderr, test.want) {
				t.Errorf("stderr %q, want %q", got.stderr, test.want)
			}
			if lines := strings.Count(got.stderr, "\n"); lines != 1 || got.stdout != "" {
				t.Errorf("want one line on stderr alone: stdout %q, stderr %q", got.stdout, got.stderr)
			}
		})
	}
}

const must = "IBTRS-CONN-021"

// journal records a run on one clause with one verdict, and returns its name.
func journal(t *testing.T, v verdict.Verdict) string {
	t.Helper()
	w, name := begin(t, verdict.Header{})
	record(t, w, v)
	if err := w.Finish(time.Unix(60, 0)); err != nil {
		t.Fatal(err)
	}
	return name
}

func begin(t *testing.T, header verdict.Header) (*verdict.Writer, string) {
	t.Helper()
	header.Start = time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)
	header.Subjects = []verdict.Subject{{
		Name: "mainline-6.12", Subject: clauses.Subject{Role: clauses.Target, Dialect: conformance.RNBD},
	}}
	name := filepath.Join(t.TempDir(), report.JournalFile)
	w, err := verdict.Create(name, conformance.Catalogue(), header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, name
}

func record(t *testing.T, w *verdict.Writer, v verdict.Verdict) {
	t.Helper()
	reason := map[verdict.Verdict]verdict.Reason{
		verdict.Fail: verdict.AssertionFailed, verdict.Skip: verdict.NoHook, verdict.NotApplicable: verdict.LacksAbility,
		verdict.Inconclusive: verdict.TransportFailed, verdict.SuiteError: verdict.Panicked,
	}[v]
	err := w.Append(verdict.Result{Clause: must, Spec: "refuses a wrong magic", Verdict: v, Reason: reason, Message: "so it was"})
	if err != nil {
		t.Fatal(err)
	}
}

func expected(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "known.yaml")
	text := "expected:\n- {clause: " + must + ", subject: mainline-*, owner: us, reason: known, expires: 2030-06-30}\n"
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestExitCodeOfEveryVerdict(t *testing.T) {
	tests := []struct {
		name     string
		verdict  verdict.Verdict
		baseline bool
		want     verdict.ExitCode
	}{
		{"PASS", verdict.Pass, false, verdict.ExitHolds},
		{"FAIL", verdict.Fail, false, verdict.ExitFails},
		{"SKIP", verdict.Skip, false, verdict.ExitNothingRan},
		{"NOT-APPLICABLE", verdict.NotApplicable, false, verdict.ExitNothingRan},
		{"INCONCLUSIVE", verdict.Inconclusive, false, verdict.ExitInconclusive},
		{"ERROR", verdict.SuiteError, false, verdict.ExitEnvironment},
		{"XFAIL", verdict.Fail, true, verdict.ExitHolds},
		{"XPASS", verdict.Pass, true, verdict.ExitFails},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"report", "--from", journal(t, test.verdict)}
			if test.baseline {
				args = append(args, "--baseline", expected(t))
			}
			got := command(t, args...)
			if got.code != int(test.want) || got.stderr != "" {
				t.Errorf("exit code %d, stderr %q; want %d", got.code, got.stderr, test.want)
			}
			if want := fmt.Sprintf("(exit code %d)", test.want); !strings.Contains(got.stdout, want) {
				t.Errorf("the report does not say %q:\n%s", want, got.stdout)
			}
		})
	}
}

func TestReportOfAnInterruptedRun(t *testing.T) {
	w, name := begin(t, verdict.Header{})
	record(t, w, verdict.Pass)
	got := command(t, "report", "--from", name)
	if got.code != int(verdict.ExitEnvironment) || !strings.Contains(got.stdout, "interrupted") {
		t.Errorf("exit code %d:\n%s", got.code, got.stdout)
	}
}

func TestReportForms(t *testing.T) {
	name := journal(t, verdict.Pass)
	for form, begins := range map[string]string{
		"terminal": "target ", "json": "{\n", "junit": "<?xml", "ktap": "KTAP version 1\n", "html": "<!DOCTYPE html>",
	} {
		got := command(t, "report", "--from", name, "--format", form)
		if got.code != 0 || !strings.HasPrefix(got.stdout, begins) {
			t.Errorf("%s: exit code %d, begins %.40q, want %q", form, got.code, got.stdout, begins)
		}
	}
}

func TestReportDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if got := command(t, "report", "--from", journal(t, verdict.Fail), "--dir", dir); got.code != int(verdict.ExitFails) {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	for _, format := range report.Formats() {
		if info, err := os.Stat(filepath.Join(dir, format.File)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", format.File, err)
		}
	}
}

func TestReportThatCannotBeWritten(t *testing.T) {
	got := command(t, "report", "--from", journal(t, verdict.Pass), "--dir", "/proc/none")
	if got.code != int(verdict.ExitEnvironment) || !strings.Contains(got.stderr, "/proc/none") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestList(t *testing.T) {
	got := command(t, "list", "--area", "ibtrs-hb", "--level", "should")
	if got.code != 0 || !strings.Contains(got.stdout, "IBTRS-HB-010") || strings.Contains(got.stdout, "IBTRS-HB-001") ||
		!strings.Contains(got.stdout, "\nclauses: 2\n") {
		t.Errorf("exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
	}
}

func TestListJSON(t *testing.T) {
	got := command(t, "list", "--json", "--all", "--role", "initiator", "--dialect", "rnbd")
	var listed []clauses.Clause
	if err := json.Unmarshal([]byte(got.stdout), &listed); err != nil {
		t.Fatal(err)
	}
	want := conformance.Catalogue().Select(clauses.Filter{
		Roles: []clauses.Role{clauses.Initiator}, Dialects: []clauses.Dialect{conformance.RNBD},
	})
	if len(listed) != len(want) || listed[0].Text != want[0].Text {
		t.Errorf("%d clauses listed, want %d", len(listed), len(want))
	}
}

func TestExplain(t *testing.T) {
	got := command(t, "explain", "ibnbd-sysfs-018")
	for _, part := range []string{
		"IBNBD-SYSFS-018 (Administration of the block layer)", "MUST       The initiator MUST have a link", "judges     the initiator (client)",
		"source     seed: the document", `IBNBD, "`, "unclear    ", "accepted: dialect rnbd: the same followed by @<session name>",
		"measured   Linux 6.12 rnbd: The link is called dev!ram0@<session>.", "decided    active: by specs that act on the subject",
	} {
		if !strings.Contains(got.stdout, part) {
			t.Errorf("%q is not in:\n%s", part, got.stdout)
		}
	}
}

func TestExplainUndecidable(t *testing.T) {
	if got := command(t, "explain", "IBTRS-IO-016"); !strings.Contains(got.stdout, "decided    by nobody: A local invalidation") {
		t.Errorf("%s", got.stdout)
	}
}

func TestHelpTeaches(t *testing.T) {
	help := command(t, "--help")
	for _, code := range verdict.ExitCodes() {
		if want := fmt.Sprintf("%d  %s", code, code.Meaning()); !strings.Contains(help.stdout, want) {
			t.Errorf("--help lacks %q", want)
		}
	}
	for _, name := range []string{"run", "list", "explain", "report"} {
		if got := command(t, name, "--help"); got.code != 0 || !strings.Contains(got.stdout, "Examples:") {
			t.Errorf("%s --help: exit code %d:\n%s", name, got.code, got.stdout)
		}
	}
}

func TestCompletion(t *testing.T) {
	if got := command(t, "__complete", "explain", "ibtrs-hb-0"); !strings.Contains(got.stdout, "IBTRS-HB-001\t") {
		t.Errorf("clauses: %s", got.stdout)
	}
	if got := command(t, "__complete", "list", "--level", ""); !strings.Contains(got.stdout, "SHOULD") {
		t.Errorf("levels: %s", got.stdout)
	}
	if got := command(t, "completion", "bash"); got.code != 0 || !strings.Contains(got.stdout, "ibnbd-conformance") {
		t.Errorf("bash: exit code %d", got.code)
	}
}

func TestVersion(t *testing.T) {
	if got := command(t, "--version"); got.code != 0 || !strings.HasPrefix(got.stdout, "ibnbd-conformance version ") {
		t.Errorf("exit code %d, %q", got.code, got.stdout)
	}
}
