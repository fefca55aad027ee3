// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Spec is what the runner knows of a spec before it runs.
type Spec struct {
	Name    string        // stable; what [claim.SpecName] gives
	Clauses []string      // the ids that it claims
	Labels  []string      // all labels, those of its containers included
	Takes   time.Duration // what the spec says it takes
	Rails   int           // how many its lab must have; 0 stands for the usual two
}

// Plan is what a run would do.
type Plan struct {
	Specs    []Spec                 // chosen, in the order in which they stand: in that of the tree, or first what is harmless
	LeftOut  []Spec                 // chosen, too, but for their taking minutes
	Subjects []clauses.Subject      // of whom they speak
	Skipped  map[verdict.Reason]int // how many of a foreign subject's cannot run, as far as that is known beforehand
	Missing  map[string]string      // by the names of those specs, why
	Workers  int                    // that have something to do
	Estimate time.Duration          // of the specs that can run, without the boot of the labs
	claims   *claim.Claims
	deciders map[string][]string // names of specs by the clause that they decide, for the record
	labOnly  []clauses.Clause    // those that are decided in labs alone, of a foreign subject
}

// Uncovered lists the clauses of a filter that no spec of the whole suite decides.
func (p *Plan) Uncovered(filter clauses.Filter) []clauses.Clause { return p.claims.Uncovered(filter) }

// previewSpecs gives all specs, in the order of the files and lines of their outermost containers. Ginkgo shuffles these. The
// tree is complete when the program starts, so that it is built once.
var previewSpecs = sync.OnceValue(func() types.Report {
	report := ginkgo.PreviewSpecs(suiteName)
	slices.SortStableFunc(report.SpecReports, func(a, b types.SpecReport) int {
		x, y := outermost(a), outermost(b)
		return cmp.Or(strings.Compare(x.FileName, y.FileName), cmp.Compare(x.LineNumber, y.LineNumber))
	})
	return report
})

// outermost is where the outermost container of a spec is, or the spec itself if it has none.
func outermost(spec types.SpecReport) types.CodeLocation {
	if len(spec.ContainerHierarchyLocations) == 0 {
		return spec.LeafNodeLocation
	}
	return spec.ContainerHierarchyLocations[0]
}

// Claims reads which specs decide which clauses. The error is that of a suite which does not fit the catalogue.
func Claims(catalogue *clauses.Catalogue) (*claim.Claims, error) {
	return claim.Check(catalogue, previewSpecs())
}

// NewPlan chooses the specs, and estimates what they take side by side. An error is about usage: a selection that names what is not there, or a suite that
// does not fit the catalogue.
func NewPlan(catalogue *clauses.Catalogue, o Options) (*Plan, error) {
	preview := previewSpecs()
	claims, err := claim.Check(catalogue, preview)
	if err != nil {
		return nil, err
	}
	subjects := clauseSubjects(o.Subjects)
	chosen, leftOut, err := o.Selection.choose(specsOf(preview), catalogue, subjects)
	if err != nil {
		return nil, err
	}
	shares := divide(chosen, max(1, o.Workers))
	return &Plan{
		Specs: chosen, LeftOut: leftOut, Subjects: subjects, Workers: len(shares), Estimate: estimate(shares), claims: claims,
		deciders: decidersOf(slices.Concat(chosen, leftOut)),
	}, nil
}

// decidersOf gives the names of specs by the clause that they decide.
func decidersOf(specs []Spec) map[string][]string {
	deciders := make(map[string][]string)
	for _, s := range specs {
		for _, id := range s.Clauses {
			deciders[id] = append(deciders[id], s.Name)
		}
	}
	return deciders
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
			Rails:   kit.RailsOf(s.Labels()),
		})
	}
	return specs
}

func clauseSubjects(subjects []verdict.Subject) []clauses.Subject {
	list := make([]clauses.Subject, len(subjects))
	for i, s := range subjects {
		list[i] = s.Subject
	}
	return list
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

// divide gives each of n workers its share: the longest spec first, each to the worker with the least to do. Shares that
// would be empty are left out.
func divide(specs []Spec, n int) [][]Spec {
	byLength := slices.Clone(specs)
	slices.SortStableFunc(byLength, func(a, b Spec) int { return cmp.Compare(b.Takes, a.Takes) })
	shares := make([][]Spec, min(n, len(specs)))
	load := make([]time.Duration, len(shares))
	for _, spec := range byLength {
		least := slices.Index(load, slices.Min(load))
		shares[least] = append(shares[least], spec)
		load[least] += spec.Takes
	}
	return shares
}

// railsFor is how many rails a lab must have in which all these specs can run; 0 stands for the usual number.
func railsFor(specs []Spec) int {
	rails := 0
	for _, spec := range specs {
		rails = max(rails, spec.Rails)
	}
	return rails
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
