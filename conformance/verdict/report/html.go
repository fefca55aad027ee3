// SPDX-License-Identifier: Apache-2.0

package report

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

//go:embed *.html.tmpl
var pages embed.FS

// page is page.html.tmpl, with the templates of the other files.
var page = template.Must(template.New("page.html.tmpl").Funcs(template.FuncMap{
	"seconds":  seconds,
	"bounds":   bounds,
	"formula":  formula,
	"frames":   frames,
	"plot":     newPlot,
	"class":    verdictClass,
	"join":     strings.Join,
	"divide":   divide,
	"segments": segments,
	"shown":    shown,

	"brief":       brief,
	"statusClass": statusClass,
	"coverage":    coverageSentence,
	"uncovered":   uncovered,
}).ParseFS(pages, "*.html.tmpl"))

// view is what the page shows.
type view struct {
	*verdict.Outcome
	Word      string // HOLDS, FAILS or UNDECIDED
	WordClass string
	Place     string // what it is called
	Machine   string
	Groups    []group
	Measures  []measure
	Shares    []share
	LeftOut   []omission
	Matrix    *matrix.Report // nil: none is shown
}

// Urgent are the groups that keep a run from holding.
func (v view) Urgent() []group {
	return slices.DeleteFunc(slices.Clone(v.Groups), func(g group) bool { return !g.urgent() })
}

// Known are the other groups: what is expected, and advice.
func (v view) Known() []group { return slices.DeleteFunc(slices.Clone(v.Groups), group.urgent) }

// Open says whether the clauses of an area are shown at once: those of one where something is broken.
func (v view) Open(area verdict.AreaOutcome) bool { return area.Counts[verdict.Fail] > area.Warnings }

// LeftOutCount counts the clauses that were left out.
func (v view) LeftOutCount() int {
	n := 0
	for _, o := range v.LeftOut {
		n += o.Count
	}
	return n
}

// HTML writes the outcome as one page that needs nothing but a browser: styles, script and drawings are in it, evidence
// is linked by relative path. Printed, its first sheet is for those who sign: what was judged, the verdict, and what was left
// out and why.
func HTML(w io.Writer, o *verdict.Outcome) error { return HTMLWithMatrix(w, o, nil) }

// HTMLWithMatrix is HTML with a kill matrix in it, if there is one.
func HTMLWithMatrix(w io.Writer, o *verdict.Outcome, m *matrix.Report) error {
	v := view{
		Outcome: o, Place: placeWord(o.Header.Environment), Machine: machine(o.Header.Environment),
		Groups: groups(o), Measures: measures(o), Shares: divide(o.Counts, o.Warnings), LeftOut: omissions(o), Matrix: m,
	}
	v.Word, v.WordClass = headline(o.Exit.Code)
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("write HTML report: %w", err)
	}
	return nil
}

// headline is the one word for an exit code, and the style class to show it in.
func headline(code verdict.ExitCode) (word, class string) {
	switch code {
	case verdict.ExitHolds:
		return "HOLDS", verdictClass(verdict.Pass)
	case verdict.ExitFails:
		return "FAILS", verdictClass(verdict.Fail)
	default:
		return "UNDECIDED", verdictClass(verdict.Inconclusive)
	}
}

// verdictClass is the style class of a verdict.
func verdictClass(v verdict.Verdict) string { return "v-" + strings.ToLower(string(v)) }

// statusClass is the style class of what became of a mutant.
func statusClass(f matrix.Status) string {
	switch f {
	case matrix.Killed:
		return verdictClass(verdict.Pass)
	case matrix.Unsound:
		return verdictClass(verdict.SuiteError)
	}
	return verdictClass(verdict.Fail)
}

// segment is one piece of the bar that shows how the clauses divide.
type segment struct {
	share
	X, W float64 // percent of the bar
}

// segments divides 100 percent among the shares.
func segments(shares []share) []segment {
	sum := 0
	for _, s := range shares {
		sum += s.Count
	}
	var all []segment
	x := 0.0
	for _, s := range shares {
		w := 100 * float64(s.Count) / float64(sum)
		all = append(all, segment{s, x, w})
		x += w
	}
	return all
}

// shown is what a clause or result is coloured and filtered by: a warning is set apart from a failure.
func shown(v verdict.Verdict, isWarning bool) verdict.Verdict {
	if isWarning {
		return warning
	}
	return v
}
