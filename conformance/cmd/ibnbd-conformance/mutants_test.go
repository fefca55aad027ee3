// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// TestMutants tries those of one clause, and shows the matrix in the page of a run.
func TestMutants(t *testing.T) {
	dir := t.TempDir()
	kills := filepath.Join(dir, "mutants")
	got := command(t, "mutants", "--clause", "IBTRS-CONN-021", "--report", kills)
	if got.code != int(verdict.ExitHolds) || !strings.Contains(got.stdout, "killed  any-magic") ||
		!strings.Contains(got.stdout, "2 of 2 mutants are dead") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	file, err := os.Open(filepath.Join(kills, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := matrix.ReadJSON(file)
	if err != nil || len(r.Matrix.Rows) != 2 || r.Matrix.Rows[0].Status != matrix.Killed || r.Coverage != nil {
		t.Errorf("report.json has %+v, %v", r, err)
	}
	run := filepath.Join(dir, "run")
	got = command(t, "report", "--from", journal(t, verdict.Pass), "--dir", run, "--matrix", filepath.Join(kills, "report.json"))
	page, err := os.ReadFile(filepath.Join(run, "report.html"))
	if got.code != int(verdict.ExitHolds) || err != nil || !strings.Contains(string(page), "any-magic") {
		t.Errorf("exit code %d, %v: the page does not show the matrix\n%s", got.code, err, got.stderr)
	}
}

// TestMutantsUsage asks for what is not there.
func TestMutantsUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code verdict.ExitCode
		says string
	}{
		"no mutant of the clause": {[]string{"mutants", "--clause", "IBTRS-CONN-001", "--report", t.TempDir()}, verdict.ExitNothingRan, "no mutant was tried"},
		"an unknown clause":       {[]string{"mutants", "--clause", "IBTRS-CONN-999"}, verdict.ExitUsage, "IBTRS-CONN-999"},
		"no labs":                 {[]string{"mutants", "--lab", "--labs", "0"}, verdict.ExitUsage, "--labs 0 is outside 1 to 64"},
		"negative workers":        {[]string{"mutants", "--workers", "-1"}, verdict.ExitUsage, "--workers -1 is outside 0 to 1024"},
		"no room for the report":  {[]string{"mutants", "--clause", "IBTRS-CONN-021", "--report", "/proc/none"}, verdict.ExitEnvironment, "/proc/none"},
		"no matrix":               {[]string{"report", "--from", journal(t, verdict.Pass), "--matrix", "none"}, verdict.ExitUsage, "--matrix: open none"},
		"a matrix that is none":   {[]string{"report", "--from", journal(t, verdict.Pass), "--matrix", "/dev/null"}, verdict.ExitUsage, "read kill matrix"},
	} {
		got := command(t, test.args...)
		if got.code != int(test.code) || !strings.Contains(got.stdout+got.stderr, test.says) {
			t.Errorf("%s: exit code %d, %q; want %d, %q", name, got.code, got.stdout+got.stderr, test.code, test.says)
		}
	}
}

// TestExplainMutants asks for the mutants of a clause that has one, and of one that has a reason instead.
func TestExplainMutants(t *testing.T) {
	for clause, want := range map[string]string{
		"IBTRS-CONN-021": "mutants    any-magic", "SRP-MP-001": "mutants    none: what specs see of an initiator",
	} {
		if got := command(t, "explain", clause); !strings.Contains(got.stdout, want) {
			t.Errorf("%s: no %q in\n%s", clause, want, got.stdout)
		}
	}
}
