// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm"
)

// ForeignOptions say what a user wants of a run against a target or an initiator that somebody else runs.
type ForeignOptions struct {
	Selection    Selection
	Subject      foreign.Subject   // what is judged
	ReportDir    string            // where journal, reports and evidence go
	Baseline     *verdict.Baseline // expected failures; nil for none
	BaselineFile string
	Tool         string   // version of the program
	Command      []string // as the user typed it
	Rerun        string   // how to run one spec again; %s is its name
	KeepAll      bool     // keep the evidence of specs that passed, too
}

// ForeignPlan is what a run against a foreign subject would do.
type ForeignPlan struct {
	Specs    []foreign.Spec         // chosen, in the order in which they run
	Skipped  map[verdict.Reason]int // how many of them cannot run, as far as that is known beforehand
	Estimate time.Duration          // of those that can
	deciders map[string][]string    // all specs by the clause that they decide
	labOnly  map[string]bool        // clauses that only specs of the lab decide
}

// NewForeignPlan chooses the specs. An error is about usage, as of [NewPlan].
func NewForeignPlan(catalogue *clauses.Catalogue, o ForeignOptions) (*ForeignPlan, error) {
	all := o.Subject.Specs()
	picked, err := o.Selection.pick(described(all), catalogue)
	if err != nil {
		return nil, err
	}
	chosen := make(map[string]bool)
	for _, s := range o.Selection.ofShard(applicable(picked, catalogue, []clauses.Subject{o.Subject.Describe()})) {
		chosen[s.Name] = true
	}
	p := &ForeignPlan{Skipped: make(map[verdict.Reason]int), labOnly: make(map[string]bool)}
	p.Specs = slices.DeleteFunc(slices.Clone(all), func(s foreign.Spec) bool { return !chosen[s.Name] })
	for _, s := range p.Specs {
		if reason, _ := o.Subject.Missing(s); reason != "" {
			p.Skipped[reason]++
			continue
		}
		p.Estimate += s.Takes
	}
	return p, p.findDeciders(catalogue, all)
}

// described gives what a selection needs to know.
func described(specs []foreign.Spec) []Spec {
	var all []Spec
	for _, s := range specs {
		all = append(all, Spec{Name: s.Name, Clauses: s.Clauses, Takes: s.Takes})
	}
	return all
}

// findDeciders notes which specs decide which clauses: those of this run, and where it has none those of the lab.
func (p *ForeignPlan) findDeciders(catalogue *clauses.Catalogue, all []foreign.Spec) error {
	p.deciders = make(map[string][]string)
	for _, s := range all {
		for _, id := range s.Clauses {
			p.deciders[id] = append(p.deciders[id], s.Name)
		}
	}
	claims, err := Claims(catalogue)
	if err != nil {
		return err
	}
	for _, c := range catalogue.All() {
		if inLab := claims.SpecsOf(c.ID); len(p.deciders[c.ID]) == 0 && len(inLab) > 0 {
			p.deciders[c.ID], p.labOnly[c.ID] = inLab, true
		}
	}
	return nil
}

// RunForeign carries out a plan against a foreign subject. It is as [Run], but for a *foreign.RefusedError: then nothing was
// tried, because of what its owner did not allow.
func RunForeign(ctx context.Context, catalogue *clauses.Catalogue, o ForeignOptions, plan *ForeignPlan, out io.Writer) (*verdict.Outcome, error) {
	release, err := occupy(o.ReportDir)
	if err != nil {
		return nil, err
	}
	defer release()
	show := newProgress(out, len(plan.Specs))
	defer show.stop()
	subjectRun, err := o.Subject.Start(ctx)
	if err != nil {
		return nil, interruption(ctx, err)
	}
	defer subjectRun.Close()
	subject := subjectRun.Subject()
	show.say("%s %s", subject.Name, map[clauses.Role]string{clauses.Target: "serves", clauses.Initiator: "is there"}[subject.Role])
	journal, err := verdict.Create(filepath.Join(o.ReportDir, report.JournalFile), catalogue, o.header(plan, subject))
	if err != nil {
		return nil, recordError(err)
	}
	defer journal.Close()
	run := foreignRun{o, plan, subjectRun, journal, show}
	runErr := run.all(ctx, catalogue, subject)
	show.stop()
	return conclude(catalogue, o.ReportDir, journal, interruption(ctx, runErr))
}

func (o ForeignOptions) header(plan *ForeignPlan, subject verdict.Subject) verdict.Header {
	h := verdict.Header{
		Tool: o.Tool, Command: o.Command, Start: time.Now().UTC(), Selection: o.Selection.String(), Shard: o.Selection.Shard,
		Subjects: []verdict.Subject{subject}, BaselineFile: o.BaselineFile, Specs: plan.deciders,
		Environment: verdict.Environment{Host: hostName(), Kernel: kernelRelease(), CPUs: runtime.NumCPU()},
	}
	if o.Baseline != nil {
		h.Baseline = o.Baseline.Expected
	}
	return h
}

// foreignRun is one run against a foreign subject.
type foreignRun struct {
	options ForeignOptions
	plan    *ForeignPlan
	subject foreign.Run
	journal *verdict.Writer
	show    *progress
}

func (r foreignRun) all(ctx context.Context, catalogue *clauses.Catalogue, subject verdict.Subject) error {
	for _, s := range r.plan.Specs {
		if err := r.one(ctx, s); err != nil {
			return err
		}
	}
	if r.options.Selection.String() != "" {
		return nil
	}
	return record(r.journal, r.plan.leftToLab(catalogue, subject))
}

// only is the number of the one worker, for the progress.
const only = 0

func (r foreignRun) one(ctx context.Context, s foreign.Spec) error {
	r.show.begun(only, s.Name)
	to := foreign.Report{Dir: r.options.ReportDir, Evidence: kit.EvidenceOf(s.Name), KeepAll: r.options.KeepAll}
	results, passive, err := r.subject.RunSpec(ctx, s, to)
	if err != nil {
		return &vm.EnvironmentError{What: fmt.Sprintf("cannot run %q", s.Name), Err: err}
	}
	worst := results[0]
	for i := range results {
		results[i].Rerun = fmt.Sprintf(r.options.Rerun, s.Name)
		if results[i].Verdict.WorseThan(worst.Verdict) {
			worst = results[i]
		}
	}
	r.show.ended(only, s.Name, worst.Verdict, worst)
	return record(r.journal, append(results, passive...))
}

// leftToLab says of the clauses that only the lab decides that they were not tried.
func (p *ForeignPlan) leftToLab(catalogue *clauses.Catalogue, subject verdict.Subject) []verdict.Result {
	var results []verdict.Result
	for _, id := range slices.Sorted(maps.Keys(p.labOnly)) {
		clause, _ := catalogue.Get(id)
		if force, _ := clause.Force(subject.Subject); force == clauses.NotApplicable {
			continue
		}
		results = append(results, verdict.Result{
			Clause: id, Spec: p.deciders[id][0], Verdict: verdict.Skip, Reason: verdict.NeedsLab,
			Message: verdict.NeedsLab.Meaning(), Start: time.Now().UTC(),
		})
	}
	return results
}
