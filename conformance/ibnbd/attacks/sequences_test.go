// SPDX-License-Identifier: Apache-2.0

package attacks_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// sequence runs random sequences, or a saved one, against a server of its own.
func sequence(t *testing.T, seed uint64, saved []byte, change func(*ibnbd.ServerConfig)) error {
	t.Helper()
	all := attacks.All()
	a := all[slices.IndexFunc(all, func(a attacks.Attack) bool { return a.Name == attacks.RandomSequences })]
	l, err := loopback.StartFor(a, change)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // what a broken server leaves behind is not asked for
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	target := l.Target()
	target.Seed, target.Sequence = seed, saved
	return attacks.Execute(ctx, target, a)
}

// TestSavedSequence: what has found a fault is saved, finds it again, and does not find it where it is not.
func TestSavedSequence(t *testing.T) {
	breaks := func(cfg *ibnbd.ServerConfig) { cfg.Rules.ReaderFreesWriter = true }
	err := sequence(t, 8, nil, breaks) // the first sequence finds it: how many follow depends on the machine
	var first, again *tester.Violation
	var file *finding.Attached
	if !errors.As(err, &first) || !errors.As(err, &file) {
		t.Fatalf("the fault is not found, or not saved: %v", err)
	}
	if !strings.Contains(string(file.Content), `"seed": `) || !strings.Contains(err.Error(), "sequence of seed ") {
		t.Errorf("%v does not say its seed; saved:\n%s", err, file.Content)
	}
	if err := sequence(t, 0, file.Content, breaks); !errors.As(err, &again) || again.Clause != first.Clause {
		t.Errorf("run again: %v, want %v; saved:\n%s", err, first, file.Content)
	}
	var undecided *finding.Undecided
	err = sequence(t, 0, file.Content, nil)
	if !errors.As(err, &undecided) || len(undecided.Only) == 0 || slices.Contains(undecided.Only, first.Clause) {
		t.Errorf("on a server without the fault: %v, want %s alone to be decided", err, first.Clause)
	}
}

func TestWrongSequence(t *testing.T) {
	const right = `{"format": "ibnbd-conformance sequence", "version": 1, "seed": 3, "broken": "IBNBD-OPEN-007", "steps": [
		{"does": "connects", "client": 0, "path": 1, "device": 1, "access": "ro", "block": 4}]}`
	if err := attacks.CheckSequence([]byte(right)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, is, want string }{
		{right, "{", `it is no saved sequence: its format must be "ibnbd-conformance sequence"`},
		{"ibnbd-conformance sequence", "other", `it is no saved sequence: its format must be "ibnbd-conformance sequence"`},
		{`"version": 1`, `"version": 7`, `its version is 7, and this program runs sequences of version 1`},
		{`{"does": "connects", "client": 0, "path": 1, "device": 1, "access": "ro", "block": 4}`, "", "it has no steps"},
		{`"seed"`, `"sed"`, `it cannot be read: json: unknown field "sed"`},
		{"IBNBD-OPEN-007", "IBNBD-OPEN-7", `broken "IBNBD-OPEN-7" is not one of `},
		{"connects", "dances", `step 1: does "dances" is not one of connects, disconnects, `},
		{`"ro"`, `"wo"`, `step 1: access "wo" is not one of `},
		{`"client": 0`, `"client": 3`, `step 1: client 3 is outside 0 to 2`},
		{`"path": 1`, `"path": -1`, `step 1: path -1 is outside 0 to 1`},
		{`"block": 4`, `"block": 5`, `step 1: block 5 is outside 0 to 4`},
	} {
		err := attacks.CheckSequence([]byte(strings.Replace(right, c.old, c.is, 1)))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", c.is, err, c.want)
		}
	}
}
