// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// seconds writes a time with the precision that people can use.
func seconds(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.String()
	}
}

// bounds writes what a measured time is held against.
func bounds(t verdict.Timing) string {
	switch {
	case t.AtLeast > 0 && t.AtMost > 0:
		return seconds(t.AtLeast) + " … " + seconds(t.AtMost)
	case t.AtLeast > 0:
		return "≥ " + seconds(t.AtLeast)
	case t.AtMost > 0:
		return "≤ " + seconds(t.AtMost)
	default:
		return "none"
	}
}

// formula writes how the bound follows, with the value of each term.
func formula(t verdict.Timing) string {
	if len(t.Terms) == 0 {
		return t.Formula
	}
	var terms []string
	for _, name := range slices.Sorted(maps.Keys(t.Terms)) {
		terms = append(terms, fmt.Sprintf("%s = %s", name, seconds(t.Terms[name])))
	}
	return fmt.Sprintf("%s; %s", t.Formula, strings.Join(terms, ", "))
}

func timingLine(t verdict.Timing) string {
	line := fmt.Sprintf("%s: %s, bound %s", t.Name, seconds(t.Value), bounds(t))
	if t.Formula != "" {
		line += " (" + formula(t) + ")"
	}
	return line
}

func evidenceLine(e verdict.Evidence) string {
	if e.Note == "" {
		return evidenceFile(e)
	}
	return evidenceFile(e) + " (" + e.Note + ")"
}

// evidenceFile names a file and the frames in it.
func evidenceFile(e verdict.Evidence) string {
	if len(e.Frames) == 0 {
		return e.Path
	}
	return fmt.Sprintf("%s frames %s", e.Path, frames(e.Frames))
}

func frames(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = fmt.Sprint(n)
	}
	return strings.Join(words, ", ")
}

func subjectLine(s verdict.Subject) string {
	line := fmt.Sprintf("%s (dialect %s)", s.Name, s.Dialect)
	if s.Configuration != "" {
		line += " with " + s.Configuration
	}
	if versions := pairs(s.Versions); len(versions) > 0 {
		line += ": " + strings.Join(versions, ", ")
	}
	return line
}

// pairs writes a map of versions as sorted "name version" words.
func pairs(versions map[string]string) []string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		words = append(words, name+" "+versions[name])
	}
	return words
}

// placeWord is what the place of a run is called.
func placeWord(e verdict.Environment) string {
	if e.Guest == "" && e.Accelerator == "" {
		return "from"
	}
	return "lab"
}

// machine says on what the run took place.
func machine(e verdict.Environment) string {
	var words []string
	add := func(format, value string) {
		if value != "" {
			words = append(words, fmt.Sprintf(format, value))
		}
	}
	add("host %s", e.Host)
	add("kernel %s", e.Kernel)
	add("guests %s", e.Guest)
	add("with %s", strings.Join(e.Brought, " and "))
	add("accelerator %s", e.Accelerator)
	if e.IOMMU {
		words = append(words, "devices behind an IOMMU")
	}
	if e.CPUs > 0 {
		words = append(words, fmt.Sprintf("%d CPUs", e.CPUs))
	}
	return strings.Join(words, ", ")
}

// timed is one measured time with the clause and spec that it belongs to.
type timed struct {
	Clause, Spec string
	verdict.Timing
}

// Fault is the part of the spec's name that says what was done; what must hold then stands behind a colon.
func (t timed) Fault() string {
	fault, _, _ := strings.Cut(t.Spec, ": ")
	return fault
}

// timings returns every measured time of the run. Results of several clauses by one spec measure the same thing: it is
// returned once, under the first clause.
func timings(o *verdict.Outcome) []timed {
	var all []timed
	seen := make(map[string]bool)
	for _, clause := range o.Clauses() {
		for _, r := range clause.Results {
			for _, t := range r.Timings {
				key := fmt.Sprintf("%s\x00%s\x00%s\x00%d", r.Spec, r.Start, t.Name, t.Value)
				if !seen[key] {
					all = append(all, timed{clause.ID, r.Spec, t})
				}
				seen[key] = true
			}
		}
	}
	return all
}

// group is clauses that a reader wants to see together.
type group struct {
	Title, Why string
	Verdict    verdict.Verdict // whose colour it has
	Clauses    []verdict.ClauseOutcome
}

// urgent says whether the group keeps a run from holding.
func (g group) urgent() bool { return g.Verdict != verdict.ExpectedFail && g.Verdict != warning }

// groups returns the clauses that need a person's eye, most urgent first. Empty groups are left out.
func groups(o *verdict.Outcome) []group {
	all := []group{
		{Verdict: verdict.Fail, Title: "Broken", Why: "A requirement that binds the subject does not hold."},
		{Verdict: verdict.UnexpectedOK, Title: "Unexpected passes", Why: "The baseline expects these to fail. It must be corrected."},
		{Verdict: verdict.SuiteError, Title: "Errors of the suite", Why: "The suite failed here; nothing is known of the subject."},
		{Verdict: verdict.Inconclusive, Title: "Inconclusive", Why: "Transport or environment failed, so nothing is known of the subject."},
		{Verdict: verdict.ExpectedFail, Title: "Expected failures", Why: "Broken, as the baseline says."},
		{Verdict: warning, Title: "Warnings", Why: "Advice that is not followed: SHOULD, MAY, or a rule of this project only."},
	}
	for _, c := range o.Clauses() {
		if i := groupOf(c); i >= 0 {
			all[i].Clauses = append(all[i].Clauses, c)
		}
	}
	return slices.DeleteFunc(all, func(g group) bool { return len(g.Clauses) == 0 })
}

func groupOf(c verdict.ClauseOutcome) int {
	switch {
	case c.Warning():
		return 5
	case c.Verdict == verdict.Fail:
		return 0
	case c.Verdict == verdict.UnexpectedOK:
		return 1
	case c.Verdict == verdict.SuiteError:
		return 2
	case c.Verdict == verdict.Inconclusive:
		return 3
	case c.Verdict == verdict.ExpectedFail:
		return 4
	default:
		return -1
	}
}

// warning stands for a FAIL that does not bind, where reports set it apart. It is no verdict: a recorded FAIL stays one.
const warning verdict.Verdict = "WARNING"

// share is how many clauses there are of a kind.
type share struct {
	Verdict verdict.Verdict // or warning
	Word    string          // what people read
	Count   int
}

// divide sets warnings apart from failures and leaves out what there is none of. Good comes first.
func divide(counts verdict.Counts, warnings int) []share {
	all := []share{
		{verdict.Pass, "PASS", counts[verdict.Pass]},
		{verdict.ExpectedFail, "XFAIL", counts[verdict.ExpectedFail]},
		{warning, "warning", warnings},
		{verdict.Fail, "FAIL", counts[verdict.Fail] - warnings},
		{verdict.UnexpectedOK, "XPASS", counts[verdict.UnexpectedOK]},
		{verdict.SuiteError, "ERROR", counts[verdict.SuiteError]},
		{verdict.Inconclusive, "INCONCLUSIVE", counts[verdict.Inconclusive]},
		{verdict.Skip, "SKIP", counts[verdict.Skip]},
		{verdict.NotApplicable, "N/A", counts[verdict.NotApplicable]},
	}
	return slices.DeleteFunc(all, func(s share) bool { return s.Count == 0 })
}

// omission is clauses of which nothing was found out, for one reason.
type omission struct {
	Verdict verdict.Verdict
	Why     string
	Count   int
	Areas   []string // with the number of clauses behind each
}

// omissions are what was left out, by verdict and reason, the most frequent first.
func omissions(o *verdict.Outcome) []omission {
	type key struct {
		verdict verdict.Verdict
		reason  verdict.Reason
	}
	counts := make(map[key]map[string]int)
	for _, area := range o.Areas {
		for _, c := range area.Clauses {
			switch c.Verdict {
			case verdict.Skip, verdict.NotApplicable, verdict.Inconclusive:
				k := key{c.Verdict, c.Reason}
				if counts[k] == nil {
					counts[k] = make(map[string]int)
				}
				counts[k][area.Name]++
			}
		}
	}
	var all []omission
	for k, areas := range counts {
		one := omission{Verdict: k.verdict, Why: k.reason.Meaning()}
		for _, name := range slices.Sorted(maps.Keys(areas)) {
			one.Count += areas[name]
			one.Areas = append(one.Areas, fmt.Sprintf("%s %d", name, areas[name]))
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b omission) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(string(a.Verdict), string(b.Verdict)), strings.Compare(a.Why, b.Why))
	})
	return all
}
