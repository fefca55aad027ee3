// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// measure is one kind of measured time, such as the stall of an I/O, with its value under each fault.
type measure struct {
	Name    string
	Clauses []string // that it decides
	Longest time.Duration
	Limits  []limit
	Rows    []timed // the slowest first, of those with one limit together
}

// limit is what times of a kind are held against, and why.
type limit struct {
	Bound, Formula string
}

// measures gathers the measured times of a run by their names, in the order in which the clauses come.
func measures(o *verdict.Outcome) []measure {
	var all []measure
	for _, t := range timings(o) {
		i := slices.IndexFunc(all, func(m measure) bool { return m.Name == t.Name })
		if i < 0 {
			i = len(all)
			all = append(all, measure{Name: t.Name})
		}
		all[i].add(t)
	}
	for _, m := range all {
		slices.SortStableFunc(m.Rows, func(a, b timed) int { return cmp.Or(m.limitOf(a)-m.limitOf(b), cmp.Compare(b.Value, a.Value)) })
	}
	return all
}

func (m *measure) add(t timed) {
	m.Rows = append(m.Rows, t)
	m.Longest = max(m.Longest, t.Value, t.AtLeast, t.AtMost)
	if !slices.Contains(m.Clauses, t.Clause) {
		m.Clauses = append(m.Clauses, t.Clause)
	}
	if l := limitFor(t); !slices.Contains(m.Limits, l) {
		m.Limits = append(m.Limits, l)
	}
}

// limitOf is the place of a time's limit among those of its kind.
func (m *measure) limitOf(t timed) int { return slices.Index(m.Limits, limitFor(t)) }

func limitFor(t timed) limit { return limit{bounds(t.Timing), formula(t.Timing)} }

// Over counts the times beyond their bounds.
func (m measure) Over() int {
	n := 0
	for _, t := range m.Rows {
		if !t.Within() {
			n++
		}
	}
	return n
}

// dot is one measured time in the plot of its kind, in percent of the longest time there.
type dot struct {
	Value, AtLeast, AtMost float64
	HasLeast, HasMost      bool
	Class                  string
}

// Dot places a time of this kind.
func (m measure) Dot(t timed) dot {
	const room = 97 // percent: the longest time does not touch the edge
	place := func(d time.Duration) float64 { return room * float64(d) / float64(max(m.Longest, 1)) }
	d := dot{
		Value: place(t.Value), AtLeast: place(t.AtLeast), AtMost: place(t.AtMost),
		HasLeast: t.AtLeast > 0, HasMost: t.AtMost > 0, Class: verdictClass(verdict.Pass),
	}
	switch {
	case !t.Within():
		d.Class = verdictClass(verdict.Fail)
	case !d.HasLeast && !d.HasMost:
		d.Class = verdictClass(verdict.Skip)
	}
	return d
}
