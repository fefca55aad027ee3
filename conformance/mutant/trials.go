// SPDX-License-Identifier: Apache-2.0

package mutant

import (
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/runner"
)

// labTrial is a mutant of the lab and one of its specs.
type labTrial struct {
	mutant        string
	spec          runner.Spec
	pair, control PairNames
}

// quick is the longest that a spec may say it takes to be tried on mutants that are not slow.
const quick = 15 * time.Second

// labTrials are all trials of mutants.
func labTrials(catalogue *clauses.Catalogue, chosen []Mutant, configure Configure) ([]labTrial, error) {
	var trials []labTrial
	for _, m := range chosen {
		specs, err := m.LabSpecs(catalogue, configure)
		if err != nil {
			return nil, err
		}
		for _, spec := range specs {
			trials = append(trials, labTrial{m.Name, spec, m.Lab.Pair, m.Lab.Control})
		}
	}
	return trials, nil
}

// LabSpecs are the specs that a mutant of the lab is tried by: those that it names, or every one that claims a clause of it, but
// for those that take long.
func (m Mutant) LabSpecs(catalogue *clauses.Catalogue, configure Configure) ([]runner.Spec, error) {
	o, err := configure(m.Lab.Pair)
	if err != nil {
		return nil, err
	}
	o.Selection = runner.Selection{Clauses: m.Clauses(), Names: m.Lab.Specs}
	plan, err := runner.NewPlan(catalogue, o)
	if err != nil {
		return nil, fmt.Errorf("specs for %s: %w", m.Name, err)
	}
	if m.Slow || len(m.Lab.Specs) > 0 {
		return plan.Specs, nil
	}
	return slices.DeleteFunc(plan.Specs, func(s runner.Spec) bool { return s.Takes > quick }), nil
}

// inRounds divides trials so that no spec is twice in a round. A round maps names of specs to mutants.
func inRounds(trials []labTrial) []map[string]string {
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

// ofPair are the trials of mutants that are made of a pair.
func ofPair(trials []labTrial, p PairNames) []labTrial {
	return slices.DeleteFunc(slices.Clone(trials), func(t labTrial) bool { return t.pair != p })
}

// pairsOf are the pairs that there is something to try with, or that are a control.
func pairsOf(trials []labTrial) []PairNames {
	var all []PairNames
	for _, t := range trials {
		for _, p := range []PairNames{t.pair, t.control} {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// busiest puts the pair with the most trials apart from the others.
func busiest(trials []labTrial) (most PairNames, others []PairNames) {
	all := pairsOf(trials)
	most = slices.MaxFunc(all, func(a, b PairNames) int { return len(ofPair(trials, a)) - len(ofPair(trials, b)) })
	return most, slices.DeleteFunc(all, func(p PairNames) bool { return p == most })
}
