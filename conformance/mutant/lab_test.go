// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/clausestest"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

var (
	pairA = PairNames{Target: "a", Initiator: "a"}
	pairB = PairNames{Target: "b", Initiator: "a", With: clauses.KeyRefresh}
)

// trialOf is a trial of a mutant that is made of pair a.
func trialOf(mutant, spec string, control PairNames) labTrial {
	return labTrial{mutant, runner.Spec{Name: spec}, pairA, control}
}

// TestRounds divides trials of which some share a spec.
func TestRounds(t *testing.T) {
	trials := []labTrial{
		trialOf("a", "one", pairA), trialOf("a", "two", pairA), trialOf("b", "two", pairA), trialOf("c", "two", pairA), trialOf("c", "three", pairA),
	}
	rounds := inRounds(trials)
	want := []map[string]string{{"one": "a", "two": "a", "three": "c"}, {"two": "b"}, {"two": "c"}}
	if len(rounds) != len(want) {
		t.Fatalf("rounds %v, want %v", rounds, want)
	}
	for i, round := range rounds {
		for spec, mutant := range want[i] {
			if round[spec] != mutant || len(round) != len(want[i]) {
				t.Errorf("round %d is %v, want %v", i, round, want[i])
			}
		}
	}
}

// TestBusiest looks for the pair that most trials are of: where there is one that is only a control, and where another has more.
func TestBusiest(t *testing.T) {
	few := []labTrial{trialOf("a", "one", pairA), trialOf("b", "one", pairB)}
	more := append(slices.Clone(few), labTrial{"c", runner.Spec{Name: "one"}, pairB, pairB}, labTrial{"c", runner.Spec{Name: "two"}, pairB, pairB},
		labTrial{"c", runner.Spec{Name: "three"}, pairB, pairB})
	for _, c := range []struct {
		trials       []labTrial
		most, others PairNames
	}{{few, pairA, pairB}, {more, pairB, pairA}} {
		if most, others := busiest(c.trials); most != c.most || len(others) != 1 || others[0] != c.others {
			t.Errorf("%s, and %v; want %s, and %s", most, others, c.most, c.others)
		}
	}
}

// TestPairNames: every pair has a name of its own, which is that of a directory.
func TestPairNames(t *testing.T) {
	for _, c := range []struct {
		pair PairNames
		want string
	}{{pairA, "a-a"}, {pairB, "b-a-key-refresh"}} {
		if got := c.pair.String(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// TestLabStatuses gives specs their results, and looks at what becomes of the mutant.
func TestLabStatuses(t *testing.T) {
	const mine, other, spec = "A-1", "A-2", "a spec"
	result := func(clause string, v verdict.Verdict, reason verdict.Reason) verdict.Result {
		return verdict.Result{Clause: clause, Spec: spec, Verdict: v, Reason: reason, Message: "seen"}
	}
	good := []verdict.Result{result(mine, verdict.Pass, ""), result(other, verdict.Pass, "")}
	for _, c := range []struct {
		name    string
		control []verdict.Result
		results []verdict.Result
		want    matrix.Status
	}{
		{"found", good, []verdict.Result{result(mine, verdict.Fail, verdict.ProtocolViolation)}, matrix.Killed},
		{"found beside another clause", good, []verdict.Result{result(other, verdict.Fail, verdict.ProtocolViolation), result(mine, verdict.Fail, verdict.ProtocolViolation)}, matrix.Killed},
		{"found beside what the control breaks", []verdict.Result{result(mine, verdict.Pass, ""), result(other, verdict.Fail, verdict.ProtocolViolation)}, []verdict.Result{result(other, verdict.Fail, verdict.ProtocolViolation), result(mine, verdict.Fail, verdict.ProtocolViolation)}, matrix.Killed},
		{"not found", good, []verdict.Result{result(mine, verdict.Pass, "")}, matrix.Survived},
		{"not run", good, nil, matrix.Survived},
		{"found as another clause", good, []verdict.Result{result(other, verdict.Fail, verdict.ProtocolViolation)}, matrix.Mistaken},
		{"found in the control, too", []verdict.Result{result(mine, verdict.Fail, verdict.ProtocolViolation)}, []verdict.Result{result(mine, verdict.Fail, verdict.ProtocolViolation)}, matrix.Unsound},
		{"found where the control was not judged", []verdict.Result{result(mine, verdict.Inconclusive, verdict.SetupFailed)}, []verdict.Result{result(mine, verdict.Fail, verdict.ProtocolViolation)}, matrix.Unsound},
		{"the suite is at fault", good, []verdict.Result{result(mine, verdict.SuiteError, verdict.SetupFailed)}, matrix.Unsound},
		{"not judged", good, []verdict.Result{result(mine, verdict.Inconclusive, verdict.SetupFailed)}, matrix.Unsound},
	} {
		m := Mutant{Name: "m", Breaks: []string{mine}, Lab: &LabTrial{Pair: pairA, Control: pairB}}
		r := &labRun{
			controls: map[PairNames][]verdict.Result{pairB: c.control},
			rounds:   []round{{map[string]string{spec: m.Name}, c.results}},
		}
		row := r.rows([]Mutant{m})[0]
		if row.Status != c.want || (row.Status == matrix.Killed) != (row.Message == "") {
			t.Errorf("%s: %s, %q; want %s", c.name, row.Status, row.Message, c.want)
		}
	}
}

// TestNothingInLab tries no mutant.
func TestNothingInLab(t *testing.T) {
	rows, err := RunInLab(t.Context(), clausestest.Catalogue(), nil, nil, nil)
	if err != nil || len(rows) > 0 {
		t.Errorf("%v, %v", rows, err)
	}
}
