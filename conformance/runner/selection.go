// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Selection chooses specs. Empty fields choose everything; what is set must all match. Upper and lower case of clauses, areas
// and level are the same.
type Selection struct {
	Smoke    bool     // only specs labelled smoke
	Extended bool     // also specs labelled extended, which a run leaves out unless their names are given
	Clauses  []string // specs that claim one of these clauses
	Areas    []string // specs that claim a clause of one of these areas
	Level    string   // specs that claim a clause of this level
	Labels   string   // a Ginkgo label filter
	Focus    string   // a regular expression that the spec's name matches
	Names    []string // exact names
	// Shard is the part of what the rest selects; nil for all of it. The division follows from the rest alone.
	Shard *verdict.Shard
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
	if s.Extended {
		words = append(words, "extended")
	}
	add("clause", strings.Join(s.Clauses, ","))
	add("area", strings.Join(s.Areas, ","))
	add("level", s.Level)
	add("label", s.Labels)
	add("focus", s.Focus)
	add("spec", strings.Join(s.Names, ","))
	return strings.Join(words, " ")
}

// choose picks the specs that decide a clause which speaks of one of the subjects, of this shard; left out is what takes minutes
// and was not asked for.
func (s Selection) choose(all []Spec, catalogue *clauses.Catalogue, subjects []clauses.Subject) (chosen, leftOut []Spec, err error) {
	picked, err := s.pick(all, catalogue)
	if err != nil {
		return nil, nil, err
	}
	chosen, leftOut = s.withoutExtended(applicable(picked, catalogue, subjects))
	return s.ofShard(chosen), leftOut, nil
}

// pick returns the chosen specs. It refuses what is not in the catalogue or the suite, and expressions that do not parse,
// naming the flag.
func (s Selection) pick(specs []Spec, catalogue *clauses.Catalogue) ([]Spec, error) {
	for _, name := range s.Names {
		if !slices.ContainsFunc(specs, func(spec Spec) bool { return spec.Name == name }) {
			return nil, fmt.Errorf("--spec %q: there is no spec of that name; 'ibnbd-conformance explain CLAUSE' names those of a clause", name)
		}
	}
	wanted, err := s.wantedClauses(catalogue)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(s.Labels)
	if err != nil {
		return nil, err
	}
	focus, err := regexp.Compile(s.Focus)
	if err != nil {
		return nil, fmt.Errorf("--focus %q: %w", s.Focus, err)
	}
	return slices.DeleteFunc(slices.Clone(specs), func(spec Spec) bool {
		chosen := (!s.Smoke || slices.Contains(spec.Labels, kit.SmokeLabel)) &&
			(wanted == nil || slices.ContainsFunc(spec.Clauses, func(id string) bool { return wanted[id] })) &&
			labels(spec.Labels) &&
			focus.MatchString(spec.Name) &&
			(len(s.Names) == 0 || slices.Contains(s.Names, spec.Name))
		return !chosen
	}), nil
}

// withoutExtended takes out what takes minutes and was not asked for.
func (s Selection) withoutExtended(specs []Spec) (rest, leftOut []Spec) {
	for _, spec := range specs {
		if slices.Contains(spec.Labels, kit.ExtendedLabel) && !s.Extended && !slices.Contains(s.Names, spec.Name) {
			leftOut = append(leftOut, spec)
		} else {
			rest = append(rest, spec)
		}
	}
	return rest, leftOut
}

// ofShard leaves out what belongs to other shards, and keeps the order.
func (s Selection) ofShard(specs []Spec) []Spec {
	if s.Shard == nil {
		return specs
	}
	shares := divide(specs, s.Shard.Count)
	if s.Shard.Index > len(shares) {
		return nil // there are more shards than specs
	}
	mine := make(map[string]bool)
	for _, spec := range shares[s.Shard.Index-1] {
		mine[spec.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(specs), func(spec Spec) bool { return !mine[spec.Name] })
}

// parseLabels parses a label filter. Ginkgo's errors are pages with colours; the last line of theirs says what is wrong.
func parseLabels(filter string) (types.LabelFilter, error) {
	labels, err := types.ParseLabelFilter(filter)
	var page types.GinkgoError
	if errors.As(err, &page) {
		lines := strings.Split(strings.TrimSpace(page.Message), "\n")
		err = errors.New(strings.TrimSpace(lines[len(lines)-1]))
	}
	if err != nil {
		return nil, fmt.Errorf("--label %q is not a Ginkgo label filter: %w", filter, err)
	}
	return labels, nil
}

// wantedClauses is nil when the selection names no clause, area or level.
func (s Selection) wantedClauses(catalogue *clauses.Catalogue) (map[string]bool, error) {
	if !s.namesClauses() {
		return nil, nil
	}
	list, err := s.Wanted(catalogue)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool)
	for _, c := range list {
		wanted[c.ID] = true
	}
	return wanted, nil
}

func (s Selection) namesClauses() bool { return len(s.Clauses)+len(s.Areas) > 0 || s.Level != "" }

// Wanted are the clauses that the selection names by id, area or level; none if it names none so.
func (s Selection) Wanted(catalogue *clauses.Catalogue) ([]clauses.Clause, error) {
	if !s.namesClauses() {
		return nil, nil
	}
	if err := s.checkNames(catalogue); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(catalogue.All(), func(c clauses.Clause) bool {
		return len(s.Clauses) > 0 && !containsFold(s.Clauses, c.ID) ||
			len(s.Areas) > 0 && !containsFold(s.Areas, c.Area) ||
			s.Level != "" && !strings.EqualFold(s.Level, string(c.Level))
	}), nil
}

func (s Selection) checkNames(catalogue *clauses.Catalogue) error {
	for _, id := range s.Clauses {
		if w, gone := catalogue.Withdrawal(strings.ToUpper(id)); gone {
			return fmt.Errorf("--clause %q: %s", id, w)
		}
		if _, known := catalogue.Get(strings.ToUpper(id)); !known {
			return fmt.Errorf("--clause %q: the catalogue has no such clause; %s", id, help(id, catalogue.IDs()))
		}
	}
	for _, area := range s.Areas {
		if len(catalogue.Select(clauses.Filter{Areas: []string{strings.ToUpper(area)}})) == 0 {
			return fmt.Errorf("--area %q: the catalogue has no such area; %s", area, help(area, catalogue.AreaNames()))
		}
	}
	levels := []string{string(clauses.Must), string(clauses.Should), string(clauses.May)}
	if s.Level != "" && !containsFold(levels, s.Level) {
		return fmt.Errorf("--level %q is not one of %s", s.Level, strings.Join(levels, ", "))
	}
	return nil
}

// help is for a word that is none of a list.
func help(word string, list []string) string {
	const all = "'ibnbd-conformance list' shows all"
	if closest := clauses.Closest(word, list); closest != "" {
		return "did you mean " + closest + "? " + all
	}
	return all
}

func containsFold(list []string, word string) bool {
	return slices.ContainsFunc(list, func(entry string) bool { return strings.EqualFold(entry, word) })
}
