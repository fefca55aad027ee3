// SPDX-License-Identifier: Apache-2.0

package specreport

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// entryName marks the report entries of this package.
const entryName = "specreport"

// Statement is one thing that a spec said; exactly one field is set. It is exported for the encoding only.
type Statement struct {
	Timing   *verdict.Timing   `json:",omitempty"`
	Event    *verdict.Event    `json:",omitempty"`
	Series   *verdict.Series   `json:",omitempty"`
	Evidence *verdict.Evidence `json:",omitempty"`
	Finding  *Finding          `json:",omitempty"`
}

// Finding is a verdict that the spec gave itself.
type Finding struct {
	Reason  verdict.Reason
	Message string
	Clause  string // the one clause that it is about; "" for all that the spec claims
}

func state(s Statement) {
	ginkgo.AddReportEntry(entryName, s, ginkgo.ReportEntryVisibilityNever)
}

// Measured states a measured time beside its bounds. A time outside its bounds fails the spec's clauses, even if nothing
// else does; a time without bounds is only shown.
func Measured(t verdict.Timing) { state(Statement{Timing: &t}) }

// Happened states what happened at a time since the start of the spec.
func Happened(e verdict.Event) { state(Statement{Event: &e}) }

// Plotted states a quantity over time.
func Plotted(s verdict.Series) { state(Statement{Series: &s}) }

// Showed states that a file shows what happened. Its path is relative to the directory of the report.
func Showed(e verdict.Evidence) { state(Statement{Evidence: &e}) }

// Skip ends the spec: it was not tried, for a reason whose verdict is SKIP.
func Skip(reason verdict.Reason, format string, args ...any) {
	ginkgo.Skip(find("", reason, format, args), 1)
}

// Inconclusive ends the spec: a probe showed that transport or environment is at fault. The verdict of the reason is
// INCONCLUSIVE.
func Inconclusive(reason verdict.Reason, format string, args ...any) {
	ginkgo.Skip(find("", reason, format, args), 1)
}

// Broke fails the spec with a reason code whose verdict is FAIL, or ERROR if the suite itself is at fault.
func Broke(reason verdict.Reason, format string, args ...any) {
	ginkgo.Fail(find("", reason, format, args), 1)
}

// BrokeClause is Broke for one of the clauses that the spec claims. The others stay undecided.
func BrokeClause(clause string, reason verdict.Reason, format string, args ...any) {
	ginkgo.Fail(find(clause, reason, format, args), 1)
}

// Conclude ends the spec with what an error means for its clauses, see package finding; survival is the clause that says whether
// the subject lives on. Without an error, or with one that leaves only some of the clauses undecided, the spec goes on.
func Conclude(err error, survival string) {
	claims := finding.Claims{Clauses: claim.IDs(ginkgo.CurrentSpecReport().Labels()), Survival: survival}
	rulings := finding.Judge(err, claims, false)
	gives := func(v verdict.Verdict) bool {
		return slices.ContainsFunc(rulings, func(r finding.ClauseVerdict) bool { return r.Verdict == v })
	}
	var said []string
	for _, r := range rulings {
		switch {
		case r.Verdict == verdict.Pass, r.Reason == verdict.NotReached, r.Reason == verdict.AssertionFailed && !gives(verdict.Inconclusive):
			// Results knows this of a spec that ends so.
		default:
			said = append(said, find(r.Clause, r.Reason, "%s", []any{r.Message}))
		}
	}
	message := fmt.Sprint(err)
	if len(said) == 1 {
		message = said[0]
	}
	switch {
	case gives(verdict.Fail):
		ginkgo.Fail(message, 1)
	case !gives(verdict.Pass):
		ginkgo.Skip(message, 1)
	}
}

func find(clause string, reason verdict.Reason, format string, args []any) string {
	message := fmt.Sprintf(format, args...)
	state(Statement{Finding: &Finding{Reason: reason, Message: message, Clause: clause}})
	return fmt.Sprintf("%s: %s", reason, message)
}

// statements returns what a spec said, in order. An entry of this package that cannot be read is an error.
func statements(report types.SpecReport) ([]Statement, error) {
	var said []Statement
	for _, entry := range report.ReportEntries {
		if entry.Name != entryName {
			continue
		}
		if s, ok := entry.GetRawValue().(Statement); ok {
			said = append(said, s)
			continue
		}
		var s Statement
		if err := json.Unmarshal([]byte(entry.Value.AsJSON), &s); err != nil {
			return nil, fmt.Errorf("statement %q: %w", entry.Value.AsJSON, err)
		}
		said = append(said, s)
	}
	return said, nil
}
