// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// staged is a trial whose specs end as a test wants.
type staged []Spec

func (s staged) Specs([]string) []Spec { return s }

func ends(broken, control Findings, err error) Spec {
	return Spec{Name: "spec", Run: func(_ context.Context, on Subject) (Findings, error) {
		if on.Broken {
			return broken, nil
		}
		return control, err
	}}
}

// TestStatuses gives specs their findings, and looks at what becomes of the mutant.
func TestStatuses(t *testing.T) {
	exactly := func(s Spec) Spec { s.Exact = true; return s }
	for _, c := range []struct {
		name  string
		specs staged
		want  matrix.Status
		says  string
	}{
		{"found", staged{ends(Findings{"A-1": "x"}, nil, nil)}, matrix.Killed, ""},
		{"found by the second spec", staged{ends(nil, nil, nil), ends(Findings{"A-1": "x"}, nil, nil)}, matrix.Killed, ""},
		{"found beside another clause", staged{ends(Findings{"A-1": "x", "A-2": "y"}, nil, nil)}, matrix.Killed, ""},
		{"found beside another clause by an exact spec", staged{exactly(ends(Findings{"A-1": "x", "A-2": "y"}, nil, nil))}, matrix.Mistaken, "instead A-2: y"},
		{"not found", staged{ends(nil, nil, nil)}, matrix.Survived, "no spec has found it"},
		{"no spec", nil, matrix.Survived, "no spec decides what it breaks"},
		{"found as another clause", staged{ends(Findings{"A-2": "y"}, nil, nil)}, matrix.Mistaken, "A-1 was not found broken; instead A-2: y"},
		{"found as no clause", staged{ends(Findings{Unclaimed: "y"}, nil, nil)}, matrix.Mistaken, "A-1 was not found broken; instead no clause: y"},
		{"found in the control, too", staged{ends(Findings{"A-1": "x"}, Findings{"A-1": "x"}, nil)}, matrix.Survived, "no spec has found it"},
		{"the control fails", staged{ends(Findings{"A-1": "x"}, nil, errors.New("tired"))}, matrix.Unsound, "the control fails: tired"},
	} {
		m, err := Run(t.Context(), Options{Mutants: []Mutant{{Name: "m", Breaks: []string{"A-1"}, Trial: c.specs}}})
		if err != nil {
			t.Fatal(err)
		}
		if r := m.Rows[0]; r.Status != c.want || !strings.Contains(r.Message, c.says) || (c.says == "") != (r.Message == "") {
			t.Errorf("%s: %s, %q; want %s, %q", c.name, r.Status, r.Message, c.want, c.says)
		}
	}
}

// TestInterrupted ends a run before it begins.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m, err := Run(ctx, Options{Mutants: []Mutant{{Name: "m", Trial: staged{}}}})
	if !errors.Is(err, context.Canceled) || len(m.Rows) > 0 {
		t.Errorf("%d rows, %v", len(m.Rows), err)
	}
}
