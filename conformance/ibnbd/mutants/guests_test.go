// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"slices"
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// TestGuestTrials looks for the specs of each mutant of the lab. Each clause that it breaks must be claimed by one of them.
func TestGuestTrials(t *testing.T) {
	ground := func(w lab.World) (runner.Options, error) {
		return In(w, conformance.Lab{Settings: conformance.Settings{ReportDir: t.TempDir()}}).Options()
	}
	trials, err := guestTrials(clauses.MustLoad(), InLab(), ground)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range InLab() {
		for _, id := range m.Clauses() {
			if !slices.ContainsFunc(trials, func(g guestTrial) bool { return g.mutant == m.Name && slices.Contains(g.spec.Clauses, id) }) {
				t.Errorf("no quick spec claims %s, which %s breaks", id, m.Name)
			}
		}
	}
	for _, g := range trials {
		o, err := ground(g.control)
		if err != nil {
			t.Fatal(err)
		}
		o.Selection = runner.Selection{Names: []string{g.spec.Name}}
		if plan, err := runner.NewPlan(clauses.MustLoad(), o); err != nil || len(plan.Specs) != 1 {
			t.Errorf("%s cannot be held against %q of %s: %v", g.mutant, g.spec.Name, g.control, err)
		}
	}
	done := 0
	for _, w := range worlds(trials) {
		for _, round := range inRounds(slices.DeleteFunc(slices.Clone(trials), func(g guestTrial) bool { return g.world != w })) {
			done += len(round)
		}
	}
	if done != len(trials) {
		t.Errorf("%d trials in all rounds, must be %d", done, len(trials))
	}
}

// TestRounds divides trials of which some share a spec.
func TestRounds(t *testing.T) {
	trial := func(mutant, spec string) guestTrial { return guestTrial{mutant: mutant, spec: runner.Spec{Name: spec}} }
	rounds := inRounds([]guestTrial{trial("a", "one"), trial("a", "two"), trial("b", "two"), trial("c", "two"), trial("c", "three")})
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

// TestGuestFates gives specs their results, and looks at what becomes of the mutant.
func TestGuestFates(t *testing.T) {
	const mine, other, spec = "A-1", "A-2", "a spec"
	result := func(clause string, v verdict.Verdict, reason verdict.Reason) verdict.Result {
		return verdict.Result{Clause: clause, Spec: spec, Verdict: v, Reason: reason, Message: "seen"}
	}
	good := []verdict.Result{result(mine, verdict.Pass, ""), result(other, verdict.Pass, "")}
	for _, c := range []struct {
		name    string
		control []verdict.Result
		results []verdict.Result
		want    matrix.Fate
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
		m := Mutant{Name: "m", Breaks: []string{mine}, control: lab.World{OwnTarget: true}}
		court := &guestCourt{
			controls: map[lab.World][]verdict.Result{m.control: c.control},
			rounds:   []guestRound{{map[string]string{spec: m.Name}, c.results}},
		}
		row := court.rows([]Mutant{m})[0]
		if row.Fate != c.want || (row.Fate == matrix.Killed) != (row.Message == "") {
			t.Errorf("%s: %s, %q; want %s", c.name, row.Fate, row.Message, c.want)
		}
	}
}
