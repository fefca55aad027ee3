// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"strings"
	"testing"
)

// TestNothingIsUncovered: every clause of the block protocol and its transport is decided by a spec or by the passive judge, or its
// record says why it cannot be.
func TestNothingIsUncovered(t *testing.T) {
	got := command(t, "list", "--uncovered", "--dialect", "ibnbd,rnbd")
	if got.code != 0 || !strings.HasSuffix(strings.TrimSpace(got.stdout), "clauses: 0") {
		t.Errorf("exit code %d, %s\n%s", got.code, got.stderr, got.stdout)
	}
	if got := command(t, "list", "--uncovered", "--dialect", "srp"); !strings.Contains(got.stdout, "SRP-LOGIN") {
		t.Errorf("clauses of SRP, of which there is no implementation: %s", got.stdout)
	}
}
