// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// TestHookWithoutNumber: an initiator that is dead fails, although its hook names no error number.
func TestHookWithoutNumber(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(file, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := loopback.StartInitiator(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	on := l.Setup()
	on.Initiator = &hookInitiator{foreign.Hook{file}, func(err error) { t.Error(err) }}
	c := provocations.All()[0]
	claims := finding.Claims{Clauses: append([]string{provocations.Survival}, c.Clauses...), Survival: provocations.Survival}
	for _, r := range finding.Judge(provocations.Execute(t.Context(), on, c), claims, false) {
		want := verdict.Inconclusive
		if r.Clause == provocations.Survival {
			want = verdict.Fail
		}
		if r.Verdict != want {
			t.Errorf("%s: %s %s, must be %s: %s", r.Clause, r.Verdict, r.Reason, want, r.Message)
		}
	}
}
