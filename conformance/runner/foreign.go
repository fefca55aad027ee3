// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
)

// ForeignOptions say what a user wants of a run against a target or an initiator that somebody else runs.
type ForeignOptions struct {
	Settings
	Subject foreign.Subject // what is judged
	Seed    int64           // of what is drawn at random; 0: nothing is
}

// NewForeignPlan chooses the specs. An error is about usage, as of [NewPlan].
func NewForeignPlan(catalogue *clauses.Catalogue, o ForeignOptions) (*Plan, error) {
	claims, err := Claims(catalogue)
	if err != nil {
		return nil, err
	}
	all := o.Subject.Specs()
	specs, subjects := described(all), []clauses.Subject{o.Subject.Describe()}
	chosen, _, err := o.Selection.choose(specs, catalogue, subjects)
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Specs: chosen, Subjects: subjects, Skipped: make(map[verdict.Reason]int), Missing: make(map[string]string), Workers: 1, claims: claims, deciders: decidersOf(specs),
	}
	for _, s := range all {
		if !slices.ContainsFunc(chosen, func(c Spec) bool { return c.Name == s.Name }) {
			continue
		}
		if reason, why := o.Subject.Missing(s); reason != "" {
			p.Skipped[reason]++
			p.Missing[s.Name] = why
			continue
		}
		p.Estimate += s.Takes
	}
	p.Estimate *= time.Duration(len(o.Subject.Configured()))
	p.leaveToLab(catalogue)
	return p, nil
}

// described gives what a selection needs to know.
func described(specs []foreign.Spec) []Spec {
	var all []Spec
	for _, s := range specs {
		all = append(all, Spec{Name: s.Name, Clauses: s.Clauses, Takes: s.Takes})
	}
	return all
}

// leaveToLab notes the clauses that only specs of the lab decide, and which these are.
func (p *Plan) leaveToLab(catalogue *clauses.Catalogue) {
	for _, c := range catalogue.All() {
		inLab := slices.Sorted(slices.Values(p.claims.SpecsOf(c.ID)))
		if len(p.deciders[c.ID]) == 0 && len(inLab) > 0 {
			p.deciders[c.ID], p.labOnly = inLab, append(p.labOnly, c)
		}
	}
}

// RunForeign carries out a plan against a foreign subject. It is as [Run], but for a *foreign.RefusedError: then nothing was
// tried, because of what its owner did not allow.
func RunForeign(ctx context.Context, catalogue *clauses.Catalogue, o ForeignOptions, plan *Plan, out io.Writer) (*verdict.Outcome, error) {
	r := &foreignRun{options: o, plan: plan}
	defer r.close()
	return o.execute(ctx, catalogue, plan, r, out)
}

// foreignRun is one run against a foreign subject.
type foreignRun struct {
	options ForeignOptions
	plan    *Plan
	subject foreign.Run // from prepare on; in one configuration after the other
	found   verdict.Subject
	passive *passive
	broken  map[side]int // how often the passive judge has found so
}

// repeats is how often a run tells that the passive judge has found a clause broken. Who breaks one does so in many specs.
const repeats = 3

// news are those of the results of the passive judge that are worth recording.
func (r *foreignRun) news(found []verdict.Result) []verdict.Result {
	return slices.DeleteFunc(r.passive.news(found), func(f verdict.Result) bool {
		if f.Verdict != verdict.Fail {
			return false
		}
		at := side{f.Clause, f.Role}
		r.broken[at]++
		return r.broken[at] > repeats
	})
}

func (r *foreignRun) prepare(ctx context.Context, show *progress) (place, error) {
	configured := r.options.Subject.Configured()
	show.more((len(configured) - 1) * len(r.plan.Specs))
	if err := r.begin(ctx, configured[0], show); err != nil {
		return place{}, err
	}
	return place{subjects: []verdict.Subject{r.found}, seed: r.options.Seed}, nil
}

// begin makes the first contact with the subject in a configuration.
func (r *foreignRun) begin(ctx context.Context, s foreign.Subject, show *progress) (err error) {
	r.passive, r.broken = newPassive(), make(map[side]int)
	if r.subject, err = s.Start(ctx); err != nil {
		return err
	}
	r.found = r.subject.Subject()
	does := map[clauses.Role]string{clauses.Target: "serves", clauses.Initiator: "is there"}[r.found.Role]
	if r.found.Configuration != "" {
		does += " with " + r.found.Configuration
	}
	show.say("%s %s", r.found.Name, does)
	return nil
}

func (r *foreignRun) close() {
	if r.subject != nil {
		r.subject.Close() // what it can say no longer matters
		r.subject = nil
	}
}

func (r *foreignRun) run(ctx context.Context, show *progress, journal *verdict.Writer) error {
	if err := r.all(ctx, show, journal); err != nil {
		return err
	}
	for _, s := range r.options.Subject.Configured()[1:] {
		r.close()
		if err := r.begin(ctx, s, show); err != nil {
			return err
		}
		header := journal.Run().Header
		header.Subjects = append(slices.Clone(header.Subjects), r.found)
		if err := journal.SetHeader(header); err != nil {
			return recordError(err)
		}
		if err := r.all(ctx, show, journal); err != nil {
			return err
		}
	}
	if r.options.Selection.String() != "" {
		return nil
	}
	return record(journal, r.plan.leftToLab(journal.Run().Header.Subjects))
}

// all runs the specs of the plan on the subject in its present configuration.
func (r *foreignRun) all(ctx context.Context, show *progress, journal *verdict.Writer) error {
	specs := make(map[string]foreign.Spec)
	for _, s := range r.options.Subject.Specs() {
		specs[s.Name] = s
	}
	for _, s := range r.plan.Specs {
		if err := r.one(ctx, specs[s.Name], show, journal); err != nil {
			return err
		}
	}
	return nil
}

// only is the number of the one worker, for the progress.
const only = 0

func (r *foreignRun) one(ctx context.Context, s foreign.Spec, show *progress, journal *verdict.Writer) error {
	name := verdict.Result{Spec: s.Name, Configuration: r.found.Configuration}.Where()
	show.begun(only, name)
	to := foreign.Report{Dir: r.options.ReportDir, Evidence: kit.EvidenceOf(name), KeepAll: r.options.KeepEvidence}
	results, passive, err := r.subject.RunSpec(ctx, s, to)
	if err != nil {
		return &vm.EnvironmentError{What: fmt.Sprintf("cannot run %q", s.Name), Err: err}
	}
	again := fmt.Sprintf(r.options.Rerun, s.Name)
	for i := range passive {
		passive[i].Rerun, passive[i].Configuration = again, r.found.Configuration
	}
	worst := results[0]
	for i := range results {
		results[i].Rerun, results[i].Configuration = again, r.found.Configuration
		if results[i].Verdict.WorseThan(worst.Verdict) {
			worst = results[i]
		}
	}
	show.ended(only, name, worst.Verdict, worst)
	return record(journal, append(results, r.news(passive)...))
}

// leftToLab says of the clauses that only the lab decides that they were not tried.
func (p *Plan) leftToLab(subjects []verdict.Subject) []verdict.Result {
	var results []verdict.Result
	for _, c := range p.labOnly {
		if force, _ := c.ForceOver(clauseSubjects(subjects)); force == clauses.NotApplicable {
			continue
		}
		results = append(results, verdict.Result{
			Clause: c.ID, Spec: p.deciders[c.ID][0], Verdict: verdict.Skip, Reason: verdict.NeedsLab,
			Message: verdict.NeedsLab.Meaning(), Start: time.Now().UTC(),
		})
	}
	return results
}
