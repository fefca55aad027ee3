// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// written is a file of some name in a directory of its own.
func written(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigurationFile(t *testing.T) {
	file := written(t, "acme.yaml", `# of a target
target: ip:10.0.0.66
export: [ram0, ram1]
allow-data-loss: [ram0, ram1]
allow-outage: true
patience: 4s
control: ./hook with words
configure:
  - depth=1
  - depth=2,keys=static
name: acme-1
spec: ["attack by CLOSE of devices that nobody opened"]
`)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "hook"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := command(t, "run", "--config", file, "--dry-run") // from another directory
	if got.code != 0 || !strings.HasPrefix(got.stdout, "1 spec on acme-1") || strings.Contains(got.stdout, "will be skipped") {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	got = command(t, "run", "--config", file, "--dry-run", "--name", "acme-2", "--export", "ram0", "--allow-data-loss", "ram0")
	if !strings.HasPrefix(got.stdout, "1 spec on acme-2") {
		t.Errorf("flags of the command line come first: %s%s", got.stdout, got.stderr)
	}
}

func TestWrongConfigurationFile(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a wrong key":            {"target: ip:10.0.0.66\nexports: [a]\n", `line 2: "exports" is not a flag that can stand in a file; did you mean export?`},
		"a key of nothing":       {"frobnicate: 1", `line 1: "frobnicate" is not a flag that can stand in a file; 'ibnbd-conformance run --help' lists them`},
		"another file":           {"config: b.yaml", `line 1: "config" is not a flag`},
		"a key twice":            {"seed: 1\nmtu: 1500\nseed: 2\n", "line 3: .*already"},
		"a list for one":         {"target: [a, b]", "line 1: target takes one value, and has a list"},
		"a mapping":              {"target: {a: b}", "line 1: target has no value that is a word"},
		"nothing for one":        {"target:\n", "line 1: target has no value"},
		"a value that is none":   {"\npatience: long\n", `line 2: patience: "long" is not of the kind duration`},
		"a switch that is none":  {"allow-outage: maybe", `line 1: allow-outage: "maybe" is not of the kind bool`},
		"no mapping":             {"- a\n", "line 1: it is no list of flags"},
		"nothing":                {"", "it has no flag"},
		"two documents":          {"seed: 1\n---\nseed: 2\n", "more than one document"},
		"no YAML":                {"a: b: c\n", "mapping values are not allowed"},
		"a flag of another kind": {"target: ip:10.0.0.66\nexport: [a]\nworkers: 3\n", "--workers speaks of the lab"},
	} {
		t.Run(name, func(t *testing.T) {
			expectSentence(t, command(t, "run", "--dry-run", "--config", written(t, "c.yaml", c.text)), verdict.ExitUsage, c.want)
		})
	}
	expectSentence(t, command(t, "run", "--config", "none.yaml"), verdict.ExitUsage, regexp.QuoteMeta("--config: open none.yaml"))
}

func TestBadge(t *testing.T) {
	profile := written(t, "p.yaml", "name: acme\nhold: ["+must+"]\n")
	got := command(t, "badge", filepath.Dir(journal(t, verdict.Pass)), "--profile", profile)
	if got.code != 0 || !strings.HasPrefix(got.stdout, "<svg ") || !strings.Contains(got.stdout, "1 clauses hold") || got.stderr != "" {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	for name, c := range map[string]struct {
		args []string
		code verdict.ExitCode
		want string
	}{
		"a clause was skipped": {[]string{"badge", journal(t, verdict.Pass), "--profile", written(t, "p.yaml", "name: acme\nhold: ["+must+", IBTRS-CONN-022]\n")},
			verdict.ExitFails, `no badge: the run does not hold: 1 of the 2 clauses of profile "acme" not seen to hold`},
		"a clause is broken": {[]string{"badge", journal(t, verdict.Fail), "--profile", profile}, verdict.ExitFails, "no badge: the run does not hold: 1 MUST clause broken"},
		"no profile":         {[]string{"badge", journal(t, verdict.Pass)}, verdict.ExitFails, "no badge: the run has no profile"},
		"no report":          {[]string{"badge", t.TempDir()}, verdict.ExitUsage, "results.jsonl: no such file"},
		"no such profile":    {[]string{"run", "--profile", "none.yaml", "--dry-run"}, verdict.ExitUsage, "open none.yaml"},
		"a wrong profile":    {[]string{"badge", journal(t, verdict.Pass), "--profile", written(t, "p.yaml", "name: a\nhold: [X]\n")}, verdict.ExitUsage, `hold: "X" is neither`},
	} {
		t.Run(name, func(t *testing.T) { expectSentence(t, command(t, c.args...), c.code, c.want) })
	}
	if got := command(t, "report", "--from", journal(t, verdict.Skip), "--profile", profile); !strings.Contains(got.stdout, must+" SKIP no-hook") {
		t.Errorf("%s", got.stdout)
	}
}
