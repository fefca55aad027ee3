// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// Configure gives the options of runs with a pair, but for what they select.
type Configure func(PairNames) (runner.Options, error)

// RunInLab tries mutants of the lab, side by side in as many labs as the options say. With each pair a spec meets one mutant at a
// time, so that there are as many rounds as some spec has mutants, and one for the control. Each round is a run with a report of
// its own. It fails when a round cannot be carried out.
func RunInLab(ctx context.Context, catalogue *clauses.Catalogue, chosen []Mutant, configure Configure, out io.Writer) ([]matrix.Row, error) {
	trials, err := labTrials(catalogue, chosen, configure)
	if err != nil {
		return nil, err
	}
	r := &labRun{
		catalogue: catalogue, configure: configure, out: &sharedWriter{to: out}, trials: trials, controls: make(map[PairNames][]verdict.Result),
	}
	if err := r.allPairs(ctx); err != nil {
		return nil, err
	}
	return r.rows(chosen), nil
}

// labRun is what the rounds share.
type labRun struct {
	catalogue *clauses.Catalogue
	configure Configure
	out       *sharedWriter
	trials    []labTrial

	mu       sync.Mutex // guards the rest
	controls map[PairNames][]verdict.Result
	rounds   []round
}

// round is a round that was carried out.
type round struct {
	specs   map[string]string // names of mutants
	results []verdict.Result
}

// allPairs carries out all rounds: those of the pair with the most trials, in most of the labs, beside those of all other pairs,
// which are far fewer and often wait.
func (r *labRun) allPairs(ctx context.Context) error {
	if len(r.trials) == 0 {
		return nil
	}
	most, others := busiest(r.trials)
	o, err := r.configure(most)
	if err != nil {
		return err
	}
	labs, share := o.Workers, o.Workers/3
	if share == 0 || len(others) == 0 {
		return r.pairs(ctx, append([]PairNames{most}, others...), labs)
	}
	both, ctx := errgroup.WithContext(ctx) // the rounds of one decide nothing without the others
	both.Go(func() error { return r.pairs(ctx, []PairNames{most}, labs-share) })
	both.Go(func() error { return r.pairs(ctx, others, share) })
	return both.Wait()
}

// pairs carries out the rounds of one pair after the other, with so many labs.
func (r *labRun) pairs(ctx context.Context, pairs []PairNames, labs int) error {
	for _, p := range pairs {
		o, err := r.configure(p)
		if err != nil {
			return err
		}
		o.Workers = labs
		if err := r.pair(ctx, p, o); err != nil {
			return err
		}
	}
	return nil
}

// pair carries out the round of a pair as a control, and those of the mutants that are made of it.
func (r *labRun) pair(ctx context.Context, p PairNames, o runner.Options) error {
	o.ReportDir = filepath.Join(o.ReportDir, p.String())
	unbroken := make(map[string]string)
	for _, t := range r.trials {
		if t.control == p {
			unbroken[t.spec.Name] = ""
		}
	}
	if len(unbroken) > 0 {
		results, err := r.round(ctx, p, o, "control", unbroken)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.controls[p] = results
		r.mu.Unlock()
	}
	for i, specs := range inRounds(ofPair(r.trials, p)) {
		results, err := r.round(ctx, p, o, fmt.Sprintf("round-%d", i+1), specs)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.rounds = append(r.rounds, round{specs, results})
		r.mu.Unlock()
	}
	return nil
}

// round runs specs, each with the mutant that it is to meet.
func (r *labRun) round(ctx context.Context, p PairNames, o runner.Options, name string, specs map[string]string) ([]verdict.Result, error) {
	o.ReportDir = filepath.Join(o.ReportDir, name)
	o.Selection = runner.Selection{Names: slices.Sorted(maps.Keys(specs))}
	o.Kit.Mutants = specs
	plan, err := runner.NewPlan(r.catalogue, o)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", p, name, err)
	}
	out := &labelled{to: r.out, label: p.String() + ": "}
	fmt.Fprintf(out, "%s: %d specs\n", name, len(plan.Specs))
	outcome, err := runner.Run(ctx, r.catalogue, o, plan, out)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", p, name, err)
	}
	var results []verdict.Result
	for _, area := range outcome.Areas {
		for _, clause := range area.Clauses {
			for _, decided := range clause.Results {
				results = append(results, decided.Result)
			}
		}
	}
	return results, nil
}

// judgement is a clause that a spec has decided on a pair.
type judgement struct {
	pair         PairNames
	spec, clause string
}

// passed is what controls have passed. A failure that the control shares is not evidence against a mutant.
func (r *labRun) passed() map[judgement]bool {
	passed := make(map[judgement]bool)
	for p, results := range r.controls {
		for _, result := range results {
			if result.Verdict == verdict.Pass {
				passed[judgement{p, result.Spec, result.Clause}] = true
			}
		}
	}
	return passed
}

// rows are those of the kill matrix, in the order of the mutants. One that was not found where some spec could not judge is unsound.
func (r *labRun) rows(chosen []Mutant) []matrix.Row {
	tallies := make(map[string]*tally)
	for _, m := range chosen {
		tallies[m.Name] = newTally(m)
	}
	passed := r.passed()
	for _, round := range r.rounds {
		round.count(chosen, tallies, passed)
	}
	var rows []matrix.Row
	for _, m := range chosen {
		t := tallies[m.Name]
		doubt := t.Message
		t.Message = ""
		if t.settle(false); t.Status != matrix.Killed && doubt != "" {
			t.Status, t.Message = matrix.Unsound, doubt
		}
		t.Duration = t.Duration.Round(time.Millisecond)
		rows = append(rows, t.Row)
	}
	return rows
}

// count notes what the specs of a round say of their mutants.
func (r round) count(chosen []Mutant, tallies map[string]*tally, passed map[judgement]bool) {
	controls := make(map[string]PairNames)
	for _, m := range chosen {
		controls[m.Name] = m.Lab.Control
	}
	timed := make(map[string]bool) // each result of a spec has its whole duration
	for _, result := range r.results {
		name := r.specs[result.Spec]
		t := tallies[name]
		if t == nil {
			continue
		}
		t.take(result, passed[judgement{controls[name], result.Spec, result.Clause}])
		if !timed[result.Spec] {
			timed[result.Spec] = true
			t.Duration += result.Duration
		}
	}
}

// take notes what a spec of the lab says of a mutant, and whether the control has passed it.
func (t *tally) take(r verdict.Result, passed bool) {
	switch {
	case r.Verdict == verdict.Fail && !passed:
		t.Message = fmt.Sprintf("%s: the control has not passed %s", r.Spec, r.Clause)
	case r.Verdict == verdict.Fail:
		t.note(matrix.Detection{Clause: r.Clause, Spec: r.Spec, Saw: r.Message})
	case !r.Verdict.Decided():
		t.Message = fmt.Sprintf("%s: %s", r.Spec, r.Message)
	}
}
