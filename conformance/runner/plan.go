// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/suites/kit"
)

// Spec is what the runner knows of a spec before it runs.
type Spec struct {
	Name    string        // stable; what [claim.SpecName] gives
	Clauses []string      // the ids that it claims
	Labels  []string      // all labels, those of its containers included
	Takes   time.Duration // what the spec says it takes
}

// specsOf lists the specs of a preview in tree order.
func specsOf(preview types.Report) []Spec {
	var specs []Spec
	for _, s := range preview.SpecReports {
		if !s.LeafNodeType.Is(types.NodeTypeIt) {
			continue
		}
		specs = append(specs, Spec{
			Name:    claim.SpecName(s),
			Clauses: claim.IDs(s.Labels()),
			Labels:  s.Labels(),
			Takes:   kit.TakesOf(s.Labels()),
		})
	}
	return specs
}

// Selection chooses specs. Empty fields choose everything; what is set must all match.
type Selection struct {
	Smoke   bool     // only specs labelled smoke
	Clauses []string // specs that claim one of these clauses
	Areas   []string // specs that claim a clause of one of these areas
	Level   string   // specs that claim a clause of this level
	Labels  string   // a Ginkgo label filter
	Focus   string   // a regular expression that the spec's name matches
	Names   []string // exact names
}

// String gives the selection as it stands in a report; empty for everything.
func (s Selection) String() string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	if s.Smoke {
		words = append(words, "smoke")
	}
	add("clause", strings.Join(s.Clauses, ","))
	add("area", strings.Join(s.Areas, ","))
	add("level", s.Level)
	add("label", s.Labels)
	add("focus", s.Focus)
	add("name", strings.Join(s.Names, ","))
	return strings.Join(words, " ")
}

// applicable leaves out the specs whose clauses do not speak of any of the subjects; the catalogue knows why.
func applicable(specs []Spec, catalogue *clauses.Catalogue, subjects []clauses.Subject) []Spec {
	return slices.DeleteFunc(specs, func(s Spec) bool {
		return !slices.ContainsFunc(s.Clauses, func(id string) bool {
			clause, _ := catalogue.Get(id)
			force, _ := clause.ForceOver(subjects)
			return force != clauses.NotApplicable
		})
	})
}

// pick returns the chosen specs. It refuses a clause or area that is not in the catalogue, and expressions that do not
// parse, naming the flag.
func (s Selection) pick(specs []Spec, catalogue *clauses.Catalogue) ([]Spec, error) {
	keep, err := s.matcher(catalogue)
	if err != nil {
		return nil, err
	}
	var picked []Spec
	for _, spec := range specs {
		if keep(spec) {
			picked = append(picked, spec)
		}
	}
	return picked, nil
}

func (s Selection) matcher(catalogue *clauses.Catalogue) (func(Spec) bool, error) {
	wanted, err := s.wantedClauses(catalogue)
	if err != nil {
		return nil, err
	}
	labels, err := types.ParseLabelFilter(s.Labels)
	if err != nil {
		return nil, fmt.Errorf("--label %q: %w", s.Labels, err)
	}
	focus, err := regexp.Compile(s.Focus)
	if err != nil {
		return nil, fmt.Errorf("--focus %q: %w", s.Focus, err)
	}
	return func(spec Spec) bool {
		return (!s.Smoke || slices.Contains(spec.Labels, kit.SmokeLabel)) &&
			(wanted == nil || slices.ContainsFunc(spec.Clauses, func(id string) bool { return wanted[id] })) &&
			labels(spec.Labels) &&
			focus.MatchString(spec.Name) &&
			(len(s.Names) == 0 || slices.Contains(s.Names, spec.Name))
	}, nil
}

// wantedClauses is nil when the selection names no clause, area or level.
func (s Selection) wantedClauses(catalogue *clauses.Catalogue) (map[string]bool, error) {
	if len(s.Clauses)+len(s.Areas) == 0 && s.Level == "" {
		return nil, nil
	}
	for _, id := range s.Clauses {
		if _, known := catalogue.Get(id); !known {
			return nil, fmt.Errorf("--clause %q: the catalogue has no such clause", id)
		}
	}
	for _, area := range s.Areas {
		if len(catalogue.Select(clauses.Filter{Areas: []string{area}})) == 0 {
			return nil, fmt.Errorf("--area %q: the catalogue has no such area", area)
		}
	}
	wanted := make(map[string]bool)
	for _, c := range catalogue.All() {
		wanted[c.ID] = (len(s.Clauses) == 0 || slices.Contains(s.Clauses, c.ID)) &&
			(len(s.Areas) == 0 || slices.Contains(s.Areas, c.Area)) &&
			(s.Level == "" || strings.EqualFold(s.Level, string(c.Level)))
	}
	return wanted, nil
}

// divide gives each of n workers its share: the longest spec first, each to the worker with the least to do. Shares that
// would be empty are left out.
func divide(specs []Spec, n int) [][]Spec {
	byLength := slices.Clone(specs)
	slices.SortStableFunc(byLength, func(a, b Spec) int { return int(b.Takes - a.Takes) })
	shares := make([][]Spec, min(n, len(specs)))
	load := make([]time.Duration, len(shares))
	for _, spec := range byLength {
		least := 0
		for w := range load {
			if load[w] < load[least] {
				least = w
			}
		}
		shares[least] = append(shares[least], spec)
		load[least] += spec.Takes
	}
	return shares
}

// estimate is how long the longest share takes, without the boot of the lab.
func estimate(shares [][]Spec) time.Duration {
	var longest time.Duration
	for _, share := range shares {
		var sum time.Duration
		for _, spec := range share {
			sum += spec.Takes
		}
		longest = max(longest, sum)
	}
	return longest
}
