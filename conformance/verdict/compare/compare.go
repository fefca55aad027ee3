// SPDX-License-Identifier: Apache-2.0

// Package compare sets the outcomes of two runs side by side: which clauses and which specs have another verdict, and how
// measured times have changed.
//
// A change is Worse when something is known to be wrong that was not, or when something is not judged any more that was: a
// run that judges less has not become better. It is Better the other way round, and Other when neither run judged, as for a
// clause that is skipped for another reason.
package compare

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Kind says which way something has changed.
type Kind string

// The kinds of changes.
const (
	Same   Kind = "same"
	Better Kind = "better"
	Worse  Kind = "worse"
	Other  Kind = "other"
)

// Warning stands for a FAIL of a clause that does not bind the subject.
const Warning verdict.Verdict = "WARNING"

// Change is one verdict that differs.
type Change struct {
	Kind   Kind            `json:"kind"`
	Clause string          `json:"clause"`
	Spec   string          `json:"spec,omitempty"` // of a change of a spec, with its configuration if there are several
	Before verdict.Verdict `json:"before"`         // "" where the first run has none
	After  verdict.Verdict `json:"after"`          // "" where the second run has none
	// Message says why, in the words of the second run.
	Message string `json:"message,omitempty"`
}

// Times is one measured time in both runs, of the same spec and name; the greatest where a run has several.
type Times struct {
	Clause string        `json:"clause"` // the first that it decides
	Spec   string        `json:"spec"`
	Name   string        `json:"name"`
	Before time.Duration `json:"before_ns"`
	After  time.Duration `json:"after_ns"`
	AtMost time.Duration `json:"at_most_ns,omitempty"` // bound in the second run; 0: none
}

// Comparison is what two runs have apart.
type Comparison struct {
	Clauses []Change     `json:"clauses"` // in order of the catalogue
	Specs   []Change     `json:"specs"`   // each spec and clause, by name
	Timings []Times      `json:"timings"` // of specs that both runs have, by clause and name
	Counts  map[Kind]int `json:"counts"`  // clauses by kind
}

// Worse says whether any clause or any spec has become worse.
func (c *Comparison) Worse() bool {
	return slices.ContainsFunc(append(slices.Clone(c.Clauses), c.Specs...), func(ch Change) bool { return ch.Kind == Worse })
}

// Runs compares two outcomes, the older one first.
func Runs(before, after *verdict.Outcome) *Comparison {
	c := &Comparison{Counts: make(map[Kind]int), Clauses: []Change{}, Specs: []Change{}, Timings: []Times{}}
	old := make(map[string]verdict.ClauseOutcome)
	for _, clause := range before.Clauses() {
		old[clause.ID] = clause
	}
	for _, clause := range after.Clauses() {
		c.clause(old[clause.ID], clause)
		delete(old, clause.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(old)) {
		c.clause(old[id], verdict.ClauseOutcome{ID: id})
	}
	c.specs(before, after)
	c.timings(before, after)
	return c
}

func (c *Comparison) clause(before, after verdict.ClauseOutcome) {
	change := Change{Clause: after.ID, Before: shown(before.Verdict, before.Warning()), After: shown(after.Verdict, after.Warning()), Message: after.Message}
	change.Kind = kindOf(change.Before, change.After)
	c.Counts[change.Kind]++
	if change.Before != change.After {
		c.Clauses = append(c.Clauses, change)
	}
}

// shown sets a warning apart from a failure.
func shown(v verdict.Verdict, warning bool) verdict.Verdict {
	if warning {
		return Warning
	}
	return v
}

// order has what is worse in front, among what was judged.
var order = []verdict.Verdict{verdict.Fail, verdict.UnexpectedOK, verdict.SuiteError, verdict.Inconclusive, verdict.ExpectedFail, Warning, verdict.Pass}

// kindOf says which way a verdict has changed.
func kindOf(before, after verdict.Verdict) Kind {
	from, to := slices.Index(order, before), slices.Index(order, after)
	switch {
	case before == after:
		return Same
	case from < 0 && to < 0:
		return Other
	case to < 0:
		return lost(before)
	case from < 0:
		return found(after)
	case to < from:
		return Worse
	default:
		return Better
	}
}

// lost is the kind of a change from a verdict to none. What was no verdict on the subject is no loss.
func lost(before verdict.Verdict) Kind {
	if before == verdict.SuiteError || before == verdict.Inconclusive {
		return Other
	}
	return Worse
}

// found is the kind of a change from no verdict to one.
func found(after verdict.Verdict) Kind {
	if after == verdict.Pass || after == Warning || after == verdict.ExpectedFail {
		return Better
	}
	return Worse
}

// decision is a spec's verdict on a clause.
type decision struct{ spec, clause string }

// decisions are the verdicts of a run by who gave them; the worst of several.
func decisions(o *verdict.Outcome) map[decision]verdict.ResultOutcome {
	all := make(map[decision]verdict.ResultOutcome)
	for _, clause := range o.Clauses() {
		for _, r := range clause.Results {
			key := decision{r.Where(), r.Clause}
			if known, there := all[key]; !there || r.Verdict.WorseThan(known.Verdict) {
				all[key] = r
			}
		}
	}
	return all
}

func (c *Comparison) specs(before, after *verdict.Outcome) {
	old, young := decisions(before), decisions(after)
	keys := slices.Collect(maps.Keys(old))
	for key := range young {
		if _, known := old[key]; !known {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b decision) int { return cmp.Or(cmp.Compare(a.spec, b.spec), cmp.Compare(a.clause, b.clause)) })
	for _, key := range keys {
		a, b := old[key], young[key]
		change := Change{Clause: key.clause, Spec: key.spec, Before: shown(a.Verdict, a.Warning()), After: shown(b.Verdict, b.Warning()), Message: b.Message}
		if change.Before == change.After {
			continue
		}
		change.Kind = kindOf(change.Before, change.After)
		c.Specs = append(c.Specs, change)
	}
}

// measurement is a time that a spec measures.
type measurement struct{ spec, name string }

// measurements are the times of a run, the greatest where there are several, and the first clause of each.
func measurements(o *verdict.Outcome) (times map[measurement]verdict.Timing, clauses map[measurement]string) {
	times, clauses = make(map[measurement]verdict.Timing), make(map[measurement]string)
	for _, clause := range o.Clauses() {
		for _, r := range clause.Results {
			for _, t := range r.Timings {
				key := measurement{r.Where(), t.Name}
				if known, there := times[key]; !there || t.Value > known.Value {
					times[key] = t
				}
				if _, there := clauses[key]; !there {
					clauses[key] = clause.ID
				}
			}
		}
	}
	return times, clauses
}

func (c *Comparison) timings(before, after *verdict.Outcome) {
	old, _ := measurements(before)
	young, clauses := measurements(after)
	for key, t := range young {
		if earlier, there := old[key]; there {
			c.Timings = append(c.Timings, Times{clauses[key], key.spec, key.name, earlier.Value, t.Value, t.AtMost})
		}
	}
	slices.SortFunc(c.Timings, func(a, b Times) int {
		return cmp.Or(cmp.Compare(a.Clause, b.Clause), cmp.Compare(a.Spec, b.Spec), cmp.Compare(a.Name, b.Name))
	})
}
