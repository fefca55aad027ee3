// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// KTAP writes the outcome in the kernel's test format, version 1: a test for each area, a subtest for each clause.
// XFAIL carries the directive of that name; ERROR and INCONCLUSIVE carry ERROR, SKIP and NOT-APPLICABLE carry SKIP. A
// clause that is broken without binding is SKIP too, and says so.
func KTAP(w io.Writer, o *verdict.Outcome) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "KTAP version 1\n# exit %d: %s\n", o.Exit.Code, ktapText(o.Exit.Sentence))
	for _, p := range o.Problems {
		fmt.Fprintf(out, "# %s: %s\n", p.Kind, ktapText(p.Text))
	}
	fmt.Fprintf(out, "1..%d\n", len(o.Areas))
	for i, area := range o.Areas {
		ktapArea(out, i+1, area)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write KTAP report: %w", err)
	}
	return nil
}

func ktapArea(out io.Writer, number int, area verdict.AreaOutcome) {
	fmt.Fprintf(out, "  KTAP version 1\n  1..%d\n", len(area.Clauses))
	word, all := "ok", true
	for i, clause := range area.Clauses {
		result := ktapResult(clause)
		if strings.HasPrefix(result, "not ok") && clause.Verdict != verdict.ExpectedFail {
			word = "not ok"
		}
		all = all && strings.Contains(result, "# SKIP")
		fmt.Fprintf(out, "  "+result+"\n", i+1, clause.ID)
	}
	directive := ""
	if all {
		directive = " # SKIP nothing judged"
	}
	fmt.Fprintf(out, "%s %d %s%s\n", word, number, area.Name, directive)
}

// ktapResult is the line of a clause, with verbs for its number and id.
func ktapResult(c verdict.ClauseOutcome) string {
	escaped := strings.ReplaceAll(ktapText(c.Message), "%", "%%")
	switch {
	case c.Warning():
		return "ok %d %s # SKIP advisory FAIL: " + escaped
	case c.Verdict == verdict.Pass:
		return "ok %d %s"
	case c.Verdict == verdict.Skip || c.Verdict == verdict.NotApplicable:
		return "ok %d %s # SKIP " + string(c.Reason)
	case c.Verdict == verdict.ExpectedFail:
		return "not ok %d %s # XFAIL " + escaped
	case c.Verdict == verdict.Fail:
		return "not ok %d %s"
	case c.Verdict == verdict.UnexpectedOK:
		return "not ok %d %s # unexpected pass"
	default:
		return "not ok %d %s # ERROR " + string(c.Reason)
	}
}

// ktapText puts text on one line and keeps it from being read as a directive.
func ktapText(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "#", "no. ")
}
