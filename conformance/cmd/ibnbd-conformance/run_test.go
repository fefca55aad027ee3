// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

func TestWrongUsageOfRun(t *testing.T) {
	baseline := func(entry string) string {
		name := filepath.Join(t.TempDir(), "baseline.yaml")
		if err := os.WriteFile(name, []byte(entry), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown flag", []string{"--frob"}, "unknown flag: --frob, see 'ibnbd-conformance run --help'"},
		{"an argument", []string{"IBTRS-HB"}, "takes no arguments, got 1"},
		{"unknown clause", []string{"--clause", "IBNBD-SYSFS-999"}, `--clause "IBNBD-SYSFS-999": the catalogue has no such clause`},
		{"unknown area", []string{"--area", "NOPE"}, `--area "NOPE": the catalogue has no such area`},
		{"unknown level", []string{"--level", "SHALL"}, `--level "SHALL" is not one of MUST, SHOULD, MAY`},
		{"unknown spec", []string{"--spec", "no such"}, `--spec "no such": there is no spec of that name`},
		{"broken expression", []string{"--focus", "("}, `--focus "(": error parsing regexp`},
		{"broken label filter", []string{"--label", "a &&"}, `--label "a &&" is not a Ginkgo label filter: Unexpected EOF`},
		{"no workers", []string{"--workers", "0"}, "--workers 0 is outside 1 to 64"},
		{"words for a number", []string{"--workers", "few"}, `invalid argument "few" for "--workers" flag`},
		{"small MTU", []string{"--mtu", "5"}, "--mtu 5 is outside 1280 to 9000"},
		{"unknown kernel", []string{"--kernel", "2.4"}, `--kernel "2.4" is not one of `},
		{"an address without a prefix", []string{"--target", "127.0.0.10"}, `--target 127.0.0.10 is an address: write --target ip:127.0.0.10`},
		{"unknown target", []string{"--target", "mine"}, `--target "mine" is not one of `},
		{"unknown initiator", []string{"--initiator", "mine"}, `--initiator "mine" is not one of `},
		{"no report", []string{"--report", ""}, "--report is empty"},
		{"no baseline file", []string{"--baseline", "none.yaml"}, "read baseline: open none.yaml: no such file"},
		{"baseline that is none", []string{"--baseline", baseline("hello")}, "cannot unmarshal"},
		{"baseline with an unknown field", []string{"--baseline", baseline("expected:\n- {clause: IBNBD-SYSFS-001, because: known}")}, "field because not found"},
		{"baseline with an unknown clause", []string{"--baseline", baseline("expected:\n- {clause: X-1}")}, `entry 1 (X-1): clause "X-1" is not in the catalogue`},
	} {
		t.Run(test.name, func(t *testing.T) {
			expectSentence(t, command(t, append([]string{"run"}, test.args...)...), verdict.ExitUsage, regexp.QuoteMeta(test.want))
		})
	}
}

// expectSentence expects that a command ended with a code and one line on stderr that a regular expression matches.
func expectSentence(t *testing.T, got ended, code verdict.ExitCode, want string) {
	t.Helper()
	if got.code != int(code) {
		t.Errorf("exit code %d, want %d", got.code, code)
	}
	if !regexp.MustCompile(want).MatchString(got.stderr) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("stderr %q, want one line that matches %q", got.stderr, want)
	}
}

// TestKernelsThatCannotBeUsed: what a user has brought and no guest can boot ends the run before anything is built, in one sentence.
func TestKernelsThatCannotBeUsed(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		name, says string
		args       []string
	}{
		{"no such kernel", "no such file or directory", []string{"--kernel", "/no/such/kernel"}},
		{"no kernel there", "not a kernel: it has neither .config nor lib/modules", []string{"--kernel", empty}},
		{"no modules there", "there is no .ko file", []string{"--modules", empty}},
		{"no such source", "not a directory", []string{"--module-source", "/no/such/source"}},
		{"no source there", "it has neither Makefile nor Kbuild", []string{"--module-source", empty}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := command(t, append([]string{"run", "--dry-run", "--smoke"}, c.args...)...)
			expectSentence(t, got, verdict.ExitEnvironment, c.says)
		})
	}
}

func TestSelectionThatChoosesNothing(t *testing.T) {
	got := command(t, "run", "--smoke", "--label", "!smoke")
	expectSentence(t, got, verdict.ExitNothingRan, `no spec is selected by smoke label=!smoke`)
}

func TestDryRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "report")
	got := command(t, "run", "--area", "ibnbd-sysfs", "--clause", "ibnbd-sysfs-001", "--dry-run", "--report", dir)
	if got.code != 0 || !regexp.MustCompile(`^1 spec in 1 lab, about `).MatchString(got.stdout) {
		t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run made the directory of the report")
	}
}

func TestWorkerByHand(t *testing.T) {
	expectSentence(t, command(t, "worker"), verdict.ExitEnvironment, `a worker is started by 'ibnbd-conformance run', not by hand`)
}

// The rest is about machines that lack something. None of it gets as far as a virtual machine.

func TestReportThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "report"), "in /proc": "/proc/report"} {
		t.Run(name, func(t *testing.T) {
			got := command(t, "run", "--smoke", "--report", dir)
			expectSentence(t, got, verdict.ExitEnvironment, `cannot write the report to .*: .*; choose another directory with --report`)
		})
	}
}

func TestNoQEMU(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	got := command(t, "run", "--smoke")
	expectSentence(t, got, verdict.ExitEnvironment, `start the lab: QEMU is not installed: .*; run ci/setup, or install qemu-system-x86`)
}

// TestNoPackages has an empty cache and an apt-get as on a machine without a network.
func TestNoPackages(t *testing.T) {
	t.Setenv("PATH", pathWith(t, "apt-get", `echo "E: Unable to locate package $*" >&2; exit 100`))
	t.Setenv("IBNBD_CACHE", t.TempDir())
	got := commandIn(t, ".", "run", "--smoke", "--report", t.TempDir())
	expectSentence(t, got, verdict.ExitEnvironment, `find the packages linux-image-\S+: .*E: Unable to locate package.*; check the network and run .apt-get update. as root, or run ci/setup`)
}

// pathWith is a PATH on which a shell script comes before the programs of the machine, and QEMU is something that is there.
func pathWith(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{name: script, "qemu-system-x86_64": "exit 1"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir + ":" + os.Getenv("PATH")
}

func TestCacheThatCannotBeUsed(t *testing.T) {
	t.Setenv("PATH", pathWith(t, "apt-get", "exit 1"))
	for dir, want := range map[string]string{
		"/proc/cache":                         `make the cache directory: .*; choose another with IBNBD_CACHE`,
		filepath.Join(t.TempDir(), "a blank"): `kernel modules cannot be built below a path with a space.*; choose another with IBNBD_CACHE`,
	} {
		t.Setenv("IBNBD_CACHE", dir)
		expectSentence(t, command(t, "run", "--smoke"), verdict.ExitEnvironment, want)
	}
}

func TestFullDisk(t *testing.T) {
	t.Setenv("PATH", pathWith(t, "apt-get", "exit 1"))
	got := inMounts(t, `mount -t tmpfs -o size=64k tmpfs /mnt && export IBNBD_CACHE=/mnt`)
	expectSentence(t, got, verdict.ExitEnvironment, `[Nn]o space left on device.*; free some space there, or choose another cache directory`)
}

func TestLittleMemory(t *testing.T) {
	t.Setenv("PATH", pathWith(t, "apt-get", "exit 1"))
	got := inMounts(t, `echo "MemAvailable: 2000000 kB" >/mnt/meminfo && mount --bind /mnt/meminfo /proc/meminfo`)
	expectSentence(t, got, verdict.ExitEnvironment, `start 5 labs: 10 hosts of \d+ MiB need \d+ MiB of memory, and 1953 MiB are available; end other programs, or start fewer labs`)
}

// inMounts runs a smoke run where mounts differ from this machine's, as a shell script makes them; /mnt is empty.
func inMounts(t *testing.T, script string) ended {
	t.Helper()
	probe := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("mounts cannot be made here: %v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-ec",
		`mount -t tmpfs tmpfs /mnt; `+script+`; exec "$0" run --smoke --report "$1"`, binary, t.TempDir())
	return run(t, cmd)
}
