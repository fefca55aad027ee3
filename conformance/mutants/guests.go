// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// InLab are the mutants of package lab, which guests are needed for.
func InLab() []Mutant {
	var all []Mutant
	for _, m := range lab.All() {
		all = append(all, Mutant{Name: m.Name, What: m.What, Breaks: m.Breaks, Kind: matrix.Lab, slow: m.Slow})
	}
	return all
}

// guestTrial is a mutant of the lab put to one of its specs.
type guestTrial struct {
	mutant string
	spec   runner.Spec
}

// RunInLab tries mutants of the lab, side by side in so many labs as the options say: a spec has to do with one mutant at a time,
// so that there are as many rounds as some spec has mutants, and one before them for the control. Each round is a run with a
// report of its own. It fails when a round cannot be carried out.
func RunInLab(ctx context.Context, catalogue *clauses.Catalogue, chosen []Mutant, o runner.Options, out io.Writer) ([]matrix.Row, error) {
	trials, err := guestTrials(catalogue, chosen, o)
	if err != nil {
		return nil, err
	}
	rounds := inRounds(trials)
	court := &guestCourt{catalogue: catalogue, options: o, out: out, tallies: make(map[string]*tally), passed: make(map[ruling]bool)}
	for _, m := range chosen {
		court.tallies[m.Name] = newTally(m)
	}
	fmt.Fprintf(out, "%d mutants in the lab: a round for the control, and %d for them\n", len(chosen), len(rounds))
	if err := court.control(ctx, trials); err != nil {
		return nil, err
	}
	for i, round := range rounds {
		if err := court.round(ctx, i+1, round); err != nil {
			return nil, err
		}
	}
	return court.rows(chosen), nil
}

// guestTime is the longest that a spec may say it takes to be tried on mutants that are not slow.
const guestTime = 15 * time.Second

// guestTrials puts each mutant to every spec that claims a clause of it, but for those that take long.
func guestTrials(catalogue *clauses.Catalogue, chosen []Mutant, o runner.Options) ([]guestTrial, error) {
	var trials []guestTrial
	for _, m := range chosen {
		o.Selection = runner.Selection{Clauses: m.Clauses()}
		plan, err := runner.NewPlan(catalogue, o)
		if err != nil {
			return nil, fmt.Errorf("specs for %s: %w", m.Name, err)
		}
		for _, spec := range plan.Specs {
			if m.slow || spec.Takes <= guestTime {
				trials = append(trials, guestTrial{m.Name, spec})
			}
		}
	}
	return trials, nil
}

// inRounds divides trials so that no spec is twice in a round. A round maps names of specs to mutants.
func inRounds(trials []guestTrial) []map[string]string {
	var rounds []map[string]string
	for _, t := range trials {
		i := slices.IndexFunc(rounds, func(round map[string]string) bool { return round[t.spec.Name] == "" })
		if i < 0 {
			i = len(rounds)
			rounds = append(rounds, make(map[string]string))
		}
		rounds[i][t.spec.Name] = t.mutant
	}
	return rounds
}

// ruling is a clause that a spec has judged.
type ruling struct{ spec, clause string }

// guestCourt is what the rounds share.
type guestCourt struct {
	catalogue *clauses.Catalogue
	options   runner.Options
	out       io.Writer
	tallies   map[string]*tally // by mutant
	passed    map[ruling]bool   // by the control
}

// control runs all specs on the pair as it is.
func (c *guestCourt) control(ctx context.Context, trials []guestTrial) error {
	unbroken := make(map[string]string)
	for _, t := range trials {
		unbroken[t.spec.Name] = ""
	}
	results, err := c.run(ctx, "control", unbroken)
	c.hold(results)
	return err
}

// hold takes down what the control has passed. What it has not says nothing of a mutant.
func (c *guestCourt) hold(results []verdict.Result) {
	for _, r := range results {
		if r.Verdict == verdict.Pass {
			c.passed[ruling{r.Spec, r.Clause}] = true
		}
	}
}

// round runs specs on the mutants that they have to do with.
func (c *guestCourt) round(ctx context.Context, number int, round map[string]string) error {
	results, err := c.run(ctx, fmt.Sprintf("round-%d", number), round)
	timed := make(map[string]bool) // each result of a spec has its whole duration
	for _, r := range results {
		t := c.tallies[round[r.Spec]]
		if t == nil {
			continue
		}
		c.take(t, r)
		if !timed[r.Spec] {
			timed[r.Spec] = true
			t.Duration += r.Duration
		}
	}
	return err
}

// take notes what a spec says of a mutant.
func (c *guestCourt) take(t *tally, r verdict.Result) {
	switch {
	case r.Verdict == verdict.Fail && !c.passed[ruling{r.Spec, r.Clause}]:
		t.Message = fmt.Sprintf("%s: the control has not passed %s", r.Spec, r.Clause)
	case r.Verdict == verdict.Fail:
		t.note(matrix.Sighting{Clause: r.Clause, Spec: r.Spec, Saw: r.Message})
	case !r.Verdict.Decided():
		t.Message = fmt.Sprintf("%s: %s", r.Spec, r.Message)
	}
}

// run carries out a round, with what the specs have to do with.
func (c *guestCourt) run(ctx context.Context, name string, specs map[string]string) ([]verdict.Result, error) {
	o := c.options
	o.ReportDir = filepath.Join(o.ReportDir, name)
	o.Selection = runner.Selection{Names: slices.Sorted(maps.Keys(specs))}
	o.Kit.Mutants = specs
	plan, err := runner.NewPlan(c.catalogue, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	fmt.Fprintf(c.out, "%s: %d specs\n", name, len(plan.Specs))
	outcome, err := runner.Run(ctx, c.catalogue, o, plan, c.out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var results []verdict.Result
	for _, area := range outcome.Areas {
		for _, clause := range area.Clauses {
			for _, r := range clause.Results {
				results = append(results, r.Result)
			}
		}
	}
	return results, nil
}

// rows are the fates, in the order of the mutants. One that was not found where some spec could not judge is unsound.
func (c *guestCourt) rows(chosen []Mutant) []matrix.Row {
	var rows []matrix.Row
	for _, m := range chosen {
		t := c.tallies[m.Name]
		doubt := t.Message
		t.Message = ""
		if t.settle(false); t.Fate != matrix.Killed && doubt != "" {
			t.Fate, t.Message = matrix.Unsound, doubt
		}
		t.Duration = t.Duration.Round(time.Millisecond)
		rows = append(rows, t.Row)
	}
	return rows
}
