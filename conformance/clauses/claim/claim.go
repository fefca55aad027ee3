// SPDX-License-Identifier: Apache-2.0

package claim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// Key is the part of a claiming label before the colon.
const Key = "clause"

const prefix = Key + ":"

// Clauses is the Ginkgo decorator by which a spec or container claims clauses by id. [Check] refuses unknown ids.
func Clauses(ids ...string) ginkgo.Labels {
	labels := make(ginkgo.Labels, len(ids))
	for i, id := range ids {
		labels[i] = prefix + id
	}
	return labels
}

// IDs returns the clause ids among the labels, each once, in order.
func IDs(labels []string) []string {
	var ids []string
	for _, label := range labels {
		id, isClaim := strings.CutPrefix(label, prefix)
		id = strings.TrimSpace(id)
		if isClaim && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// SpecName is the stable name of a spec: the texts of its containers and its own, joined by blanks, never a label.
func SpecName(spec types.SpecReport) string { return spec.FullText() }

// Problem is one spec that must not start.
type Problem struct {
	Spec     string // SpecName
	Location string // file:line of the spec
	Reason   string
}

// Error is the refusal of a suite: every spec that claims wrongly.
type Error struct{ Problems []Problem }

// Error lists the problems, one a line.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d specs claim no clause or a wrong one:", len(e.Problems))
	for _, p := range e.Problems {
		fmt.Fprintf(&text, "\n  %s: %q %s", p.Location, p.Spec, p.Reason)
	}
	return text.String()
}

// Claims says which specs decide which clauses.
type Claims struct {
	catalogue *clauses.Catalogue
	specs     map[string][]string // clause id -> spec names in tree order
	count     int
}

// Check reads the claims of every spec in a report made before the suite runs (PreviewSpecs, ReportBeforeSuite). It
// returns an [*Error] if a spec claims nothing, an unknown clause, a clause that active specs cannot decide, or if two
// specs have one name and claim the same clause, so that their results could not be told apart.
func Check(catalogue *clauses.Catalogue, report types.Report) (*Claims, error) {
	claims := &Claims{catalogue: catalogue, specs: make(map[string][]string)}
	var problems []Problem
	for _, spec := range report.SpecReports {
		if !spec.LeafNodeType.Is(types.NodeTypeIt) {
			continue
		}
		claims.count++
		for _, reason := range claims.add(SpecName(spec), IDs(spec.Labels())) {
			problems = append(problems, Problem{Spec: SpecName(spec), Location: spec.LeafNodeLocation.String(), Reason: reason})
		}
	}
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return claims, nil
}

func (c *Claims) add(name string, ids []string) (reasons []string) {
	if len(ids) == 0 {
		return []string{"claims no clause"}
	}
	for _, id := range ids {
		clause, known := c.catalogue.Get(id)
		switch {
		case !known:
			reasons = append(reasons, fmt.Sprintf("claims %q, which is not in the catalogue", id))
		case len(clause.Decided.By) == 0:
			reasons = append(reasons, fmt.Sprintf("claims %s, whose record says that it cannot be decided", id))
		case slices.Contains(c.specs[id], name):
			reasons = append(reasons, fmt.Sprintf("claims %s, which another spec of the same name claims", id))
		default:
			c.specs[id] = append(c.specs[id], name)
		}
	}
	return reasons
}

// Specs is the number of specs in the suite.
func (c *Claims) Specs() int { return c.count }

// SpecsOf returns the names of the specs that decide a clause, in tree order.
func (c *Claims) SpecsOf(id string) []string { return slices.Clone(c.specs[id]) }

// Uncovered returns the clauses that no spec claims, among those that the filter selects.
func (c *Claims) Uncovered(filter clauses.Filter) []clauses.Clause {
	return slices.DeleteFunc(c.catalogue.Select(filter), func(clause clauses.Clause) bool {
		return len(c.specs[clause.ID]) > 0
	})
}
