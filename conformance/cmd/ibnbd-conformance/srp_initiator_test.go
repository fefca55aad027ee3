// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

const srpInitiatorHook = "../../../ci/hooks/srp-initiator"

// TestSRPInitiatorOfSomebody has the initiator of this project steered by the hook of ci/hooks, over loopback addresses.
func TestSRPInitiatorOfSomebody(t *testing.T) {
	t.Parallel()
	program := filepath.Join(filepath.Dir(binary), "srp-initiator")
	if out, err := exec.Command("go", "build", "-o", program, "../../../reference/cmd/srp-initiator").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	subnet := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
	report, dir := t.TempDir(), filepath.Join(t.TempDir(), "hook")
	const reject, credits, space = "a login is rejected, reason 0x10003", "all credits are used", "sense data stands behind response data"
	spec := func(name string) string { return "provocation where " + name }
	cmd := exec.CommandContext(t.Context(), binary, "run", "--protocol", "srp", "--role", "initiator", "--source", subnet+"1", "--control", absolute(t, srpInitiatorHook),
		"--patience", "20s", "--report", report, "--name", "acme-initiator", "--spec", spec(reject), "--spec", spec(credits), "--spec", spec(space))
	cmd.Env = append(os.Environ(), "INITIATOR="+program, "DIR="+dir, "SOURCE="+subnet+"9")
	got := run(t, cmd)
	outcome := readReport(t, report, got)
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	for name, want := range map[string][]string{
		reject:  {"SRP-LOGIN-023 PASS", "SRP-ROB-001 PASS"},
		credits: {"SRP-CRED-003 PASS", "SRP-ROB-001 PASS"},
		space:   {"SRP-RSP-003 PASS", "SRP-ROB-001 PASS"},
	} {
		if is := verdictsOf(outcome, spec(name)); !slices.Equal(is, want) {
			t.Errorf("%q: %q, want %q\n%s", name, is, want, got.stdout)
		}
	}
	if s := outcome.Header.Subjects[0]; s.Name != "acme-initiator" || s.Role != "initiator" || s.Dialect != "srp" {
		t.Errorf("the subject is %+v", s)
	}
}
