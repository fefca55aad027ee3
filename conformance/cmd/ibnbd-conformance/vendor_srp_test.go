// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// srpVendor is somebody's target of SRP at a loopback address, as a process of its own.
type srpVendor struct{ address, own string }

// srpTarget builds the program, once.
var srpTarget = sync.OnceValues(func() (string, error) {
	program := filepath.Join(filepath.Dir(binary), "srp-target")
	if out, err := exec.Command("go", "build", "-o", program, "../../../reference/cmd/srp-target").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
})

func newSRPVendor(t *testing.T, args ...string) srpVendor {
	t.Helper()
	program, err := srpTarget()
	if err != nil {
		t.Fatal(err)
	}
	subnet := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
	v := srpVendor{subnet + "2", subnet + "1"}
	control := filepath.Join(t.TempDir(), "socket")
	target := exec.Command(program, append([]string{
		"--listen", v.address, "--lun", "disk0=mem:16M", "--lun", "disk1=mem:16M", "--id-ext", "a", "--ioc-guid", "b", "--control", control,
	}, args...)...)
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = target.Process.Signal(syscall.SIGTERM)
		if err := target.Wait(); err != nil {
			t.Errorf("the target ends: %v", err)
		}
	})
	v.await(t, control)
	return v
}

// await waits until the target tells its status, which it does when it listens.
func (v srpVendor) await(t *testing.T, control string) {
	t.Helper()
	const limit = 20 * time.Second
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for began := time.Now(); time.Since(began) < limit; <-again.C {
		if c, err := net.Dial("unix", control); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("the target does not listen after %s", limit)
}

func (v srpVendor) judge(t *testing.T, args ...string) (ended, verdict.Outcome) {
	t.Helper()
	dir := t.TempDir()
	got := command(t, append([]string{
		"run", "--protocol", "srp", "--target", "ip:" + v.address, "--source", v.own, "--id-ext", "0xa", "--ioc-guid", "b", "--name", "acme-1", "--report", dir,
	}, args...)...)
	return got, readReport(t, dir, got)
}

// TestSRPVendor judges a target of which the command knows nothing but address, port and identifiers.
func TestSRPVendor(t *testing.T) {
	v := newSRPVendor(t)
	got, outcome := v.judge(t, "--lun", "0,1", "--allow-data-loss", "0,1", "--focus", "attack by (logins|commands|the abort|immediate|an event)")
	if got.code != int(verdict.ExitHolds) {
		t.Errorf("exit code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	if got := verdictsOf(outcome, "attack by the abort of a command that waits for its data"); !slices.Contains(got, "SRP-TM-002 PASS") || !slices.Contains(got, "SRP-TGT-001 PASS") {
		t.Errorf("an attack has the verdicts %v", got)
	}
	if outcome.Counts[verdict.Pass] < 30 || reasons(outcome)[verdict.NoHook] == 0 {
		t.Errorf("counts %v, reasons %v", outcome.Counts, reasons(outcome))
	}
}

// TestSRPVendorWithoutConsent is only read.
func TestSRPVendorWithoutConsent(t *testing.T) {
	v := newSRPVendor(t)
	_, outcome := v.judge(t, "--focus", "writes and reads of all sizes|commands with any tag")
	if got := verdictsOf(outcome, "attack by writes and reads of all sizes and formats"); !slices.Contains(got, "SRP-TGT-004 SKIP no-consent") {
		t.Errorf("a spec that writes has the verdicts %v", got)
	}
	if got := verdictsOf(outcome, "attack by commands with any tag"); !slices.Contains(got, "SRP-CMD-015 PASS") {
		t.Errorf("a spec that reads has the verdicts %v", got)
	}
}

// TestSRPVendorBehindOtherIdentifiers cannot be reached, and the sentence says what to look at.
func TestSRPVendorBehindOtherIdentifiers(t *testing.T) {
	v := newSRPVendor(t)
	got := command(t, "run", "--protocol", "srp", "--target", "ip:"+v.address, "--source", v.own, "--id-ext", "a", "--ioc-guid", "c", "--report", t.TempDir())
	expectSentence(t, got, verdict.ExitEnvironment, `0x00010003\): --id-ext and --ioc-guid are not those of the target port`)
}
