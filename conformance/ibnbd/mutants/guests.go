// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// InLab are the mutants of package lab, which guests are needed for.
func InLab() []Mutant {
	var all []Mutant
	for _, m := range lab.All() {
		all = append(all, Mutant{
			Name: m.Name, What: m.What, Breaks: m.Breaks, Kind: matrix.Lab, slow: m.Slow, world: m.World, control: m.Control(), only: m.By,
		})
	}
	return all
}

// Ground gives the options of runs in a world, but for what they select.
type Ground func(lab.World) (runner.Options, error)

// In gives a lab the pair of a world.
func In(w lab.World, l conformance.Lab) conformance.Lab {
	l.StaticKeys = w.KeysKept
	if w.OwnTarget {
		l.Target = subject.Reference.Name
	}
	if w.OwnInitiator {
		l.Initiator = subject.Reference.Name
	}
	return l
}

// guestTrial is a mutant of the lab put to one of its specs.
type guestTrial struct {
	mutant         string
	spec           runner.Spec
	world, control lab.World
}

// RunInLab tries mutants of the lab, side by side in as many labs as the options say. In each world a spec has to do with one
// mutant at a time, so that there are as many rounds as some spec has mutants, and one for the control. Each round is a run with a
// report of its own. It fails when a round cannot be carried out.
func RunInLab(ctx context.Context, catalogue *clauses.Catalogue, chosen []Mutant, ground Ground, out io.Writer) ([]matrix.Row, error) {
	trials, err := guestTrials(catalogue, chosen, ground)
	if err != nil {
		return nil, err
	}
	court := &guestCourt{catalogue: catalogue, ground: ground, out: &guarded{to: out}, trials: trials, controls: make(map[lab.World][]verdict.Result)}
	if err := court.visit(ctx); err != nil {
		return nil, err
	}
	return court.rows(chosen), nil
}

// guestTime is the longest that a spec may say it takes to be tried on mutants that are not slow.
const guestTime = 15 * time.Second

// guestTrials puts each mutant to the specs that it names, or to every one that claims a clause of it, but for those that take
// long.
func guestTrials(catalogue *clauses.Catalogue, chosen []Mutant, ground Ground) ([]guestTrial, error) {
	var trials []guestTrial
	for _, m := range chosen {
		o, err := ground(m.world)
		if err != nil {
			return nil, err
		}
		o.Selection = runner.Selection{Clauses: m.Clauses(), Names: m.only}
		plan, err := runner.NewPlan(catalogue, o)
		if err != nil {
			return nil, fmt.Errorf("specs for %s: %w", m.Name, err)
		}
		for _, spec := range plan.Specs {
			if m.slow || len(m.only) > 0 || spec.Takes <= guestTime {
				trials = append(trials, guestTrial{m.Name, spec, m.world, m.control})
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

// guestCourt is what the rounds share.
type guestCourt struct {
	catalogue *clauses.Catalogue
	ground    Ground
	out       *guarded
	trials    []guestTrial

	mu       sync.Mutex // guards the rest
	controls map[lab.World][]verdict.Result
	rounds   []guestRound
}

// guestRound is a round that was carried out.
type guestRound struct {
	specs   map[string]string // names of mutants
	results []verdict.Result
}

// visit carries out all rounds: those of mainline's pair, in most of the labs, beside those of all other worlds, which are far
// fewer and often wait.
func (c *guestCourt) visit(ctx context.Context) error {
	var home lab.World
	all := worlds(c.trials)
	elsewhere := slices.DeleteFunc(slices.Clone(all), func(w lab.World) bool { return w == home })
	o, err := c.ground(home)
	if err != nil {
		return err
	}
	labs, share := o.Workers, o.Workers/3
	if share == 0 || len(elsewhere) == 0 || len(elsewhere) == len(all) {
		return c.travel(ctx, all, labs)
	}
	visits, ctx := errgroup.WithContext(ctx) // without the rounds of one the others decide nothing
	visits.Go(func() error { return c.travel(ctx, []lab.World{home}, labs-share) })
	visits.Go(func() error { return c.travel(ctx, elsewhere, share) })
	return visits.Wait()
}

// travel visits worlds one after the other, with so many labs.
func (c *guestCourt) travel(ctx context.Context, way []lab.World, labs int) error {
	for _, w := range way {
		o, err := c.ground(w)
		if err != nil {
			return err
		}
		o.Workers = labs
		if err := c.visitWorld(ctx, w, o); err != nil {
			return err
		}
	}
	return nil
}

// worlds are those that there is something to try in, or a control for.
func worlds(trials []guestTrial) []lab.World {
	var all []lab.World
	for _, t := range trials {
		for _, w := range []lab.World{t.world, t.control} {
			if !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// visitWorld carries out the control's round of a world, and those of its mutants.
func (c *guestCourt) visitWorld(ctx context.Context, w lab.World, o runner.Options) error {
	o.ReportDir = filepath.Join(o.ReportDir, w.String())
	var own []guestTrial
	unbroken := make(map[string]string)
	for _, t := range c.trials {
		if t.world == w {
			own = append(own, t)
		}
		if t.control == w {
			unbroken[t.spec.Name] = ""
		}
	}
	if len(unbroken) > 0 {
		results, err := c.run(ctx, w, o, "control", unbroken)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.controls[w] = results
		c.mu.Unlock()
	}
	for i, round := range inRounds(own) {
		results, err := c.run(ctx, w, o, fmt.Sprintf("round-%d", i+1), round)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.rounds = append(c.rounds, guestRound{round, results})
		c.mu.Unlock()
	}
	return nil
}

// run carries out a round, with what the specs have to do with.
func (c *guestCourt) run(ctx context.Context, w lab.World, o runner.Options, name string, specs map[string]string) ([]verdict.Result, error) {
	o.ReportDir = filepath.Join(o.ReportDir, name)
	o.Selection = runner.Selection{Names: slices.Sorted(maps.Keys(specs))}
	o.Kit.Mutants = specs
	plan, err := runner.NewPlan(c.catalogue, o)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", w, name, err)
	}
	out := &labelled{to: c.out, label: w.String() + ": "}
	fmt.Fprintf(out, "%s: %d specs\n", name, len(plan.Specs))
	outcome, err := runner.Run(ctx, c.catalogue, o, plan, out)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", w, name, err)
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

// guarded is a writer that several write to.
type guarded struct {
	mu sync.Mutex
	to io.Writer
}

// labelled writes lines with a label before each.
type labelled struct {
	to    *guarded
	label string
}

func (l *labelled) Write(p []byte) (int, error) {
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	for line := range bytes.Lines(p) {
		if _, err := fmt.Fprintf(l.to.to, "%s%s", l.label, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// ruling is a clause that a spec has judged in a world.
type ruling struct {
	world        lab.World
	spec, clause string
}

// passed is what controls have passed. What they have not says nothing of a mutant.
func (c *guestCourt) passed() map[ruling]bool {
	passed := make(map[ruling]bool)
	for w, results := range c.controls {
		for _, r := range results {
			if r.Verdict == verdict.Pass {
				passed[ruling{w, r.Spec, r.Clause}] = true
			}
		}
	}
	return passed
}

// rows are the fates, in the order of the mutants. One that was not found where some spec could not judge is unsound.
func (c *guestCourt) rows(chosen []Mutant) []matrix.Row {
	tallies := make(map[string]*tally)
	for _, m := range chosen {
		tallies[m.Name] = newTally(m)
	}
	passed := c.passed()
	for _, round := range c.rounds {
		round.count(chosen, tallies, passed)
	}
	var rows []matrix.Row
	for _, m := range chosen {
		t := tallies[m.Name]
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

// count notes what the specs of a round say of their mutants.
func (g guestRound) count(chosen []Mutant, tallies map[string]*tally, passed map[ruling]bool) {
	controls := make(map[string]lab.World)
	for _, m := range chosen {
		controls[m.Name] = m.control
	}
	timed := make(map[string]bool) // each result of a spec has its whole duration
	for _, r := range g.results {
		name := g.specs[r.Spec]
		t := tallies[name]
		if t == nil {
			continue
		}
		take(t, r, passed[ruling{controls[name], r.Spec, r.Clause}])
		if !timed[r.Spec] {
			timed[r.Spec] = true
			t.Duration += r.Duration
		}
	}
}

// take notes what a spec says of a mutant, and whether the control has passed it.
func take(t *tally, r verdict.Result, passed bool) {
	switch {
	case r.Verdict == verdict.Fail && !passed:
		t.Message = fmt.Sprintf("%s: the control has not passed %s", r.Spec, r.Clause)
	case r.Verdict == verdict.Fail:
		t.note(matrix.Sighting{Clause: r.Clause, Spec: r.Spec, Saw: r.Message})
	case !r.Verdict.Decided():
		t.Message = fmt.Sprintf("%s: %s", r.Spec, r.Message)
	}
}
