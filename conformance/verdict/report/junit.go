// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Suites []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string `xml:"name,attr"`
	Timestamp string `xml:"timestamp,attr"`
	junitCounts
	Cases []junitCase `xml:"testcase"`
}

type junitCounts struct {
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     junitSeconds `xml:"time,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    junitSeconds `xml:"time,attr"`
	Failure *junitReason `xml:"failure"`
	Error   *junitReason `xml:"error"`
	Skipped *junitReason `xml:"skipped"`
	Output  string       `xml:"system-out,omitempty"`
}

type junitReason struct {
	Type    string `xml:"type,attr,omitempty"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// junitSeconds is a time in seconds with three decimals.
type junitSeconds time.Duration

// MarshalXMLAttr writes the seconds.
func (s junitSeconds) MarshalXMLAttr(name xml.Name) (xml.Attr, error) {
	return xml.Attr{Name: name, Value: fmt.Sprintf("%.3f", time.Duration(s).Seconds())}, nil
}

// JUnit writes the outcome as JUnit XML: a suite for each area, a case for each result with the clause as class name and
// the spec as name. FAIL and XPASS are failures, ERROR and INCONCLUSIVE errors. SKIP, NOT-APPLICABLE, XFAIL and the
// failure of a clause that does not bind are skipped, with a message that says which. A last suite has one case for the
// run as a whole; it passes exactly if the exit code is 0, so the file is never green when the command was not, even if
// nothing ran.
func JUnit(w io.Writer, o *verdict.Outcome) error {
	suites := junitSuites{Name: "ibnbd-conformance"}
	for _, area := range o.Areas {
		suite := newJUnitSuite(area.Name, o)
		for _, clause := range area.Clauses {
			for _, r := range clause.Results {
				suite.add(junitResult(clause, r))
			}
		}
		if len(suite.Cases) > 0 {
			suites.add(suite)
		}
	}
	run := newJUnitSuite("run", o)
	run.add(junitRun(o))
	suites.add(run)

	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suites); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func newJUnitSuite(name string, o *verdict.Outcome) junitSuite {
	return junitSuite{Name: name, Timestamp: o.Header.Start.UTC().Format("2006-01-02T15:04:05")}
}

func (s *junitSuites) add(suite junitSuite) {
	s.Suites = append(s.Suites, suite)
	s.Tests += suite.Tests
	s.Failures += suite.Failures
	s.Errors += suite.Errors
	s.Skipped += suite.Skipped
	s.Time += suite.Time
}

func (s *junitSuite) add(c junitCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	s.Time += c.Time
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func junitResult(clause verdict.ClauseOutcome, r verdict.ResultOutcome) junitCase {
	c := junitCase{Class: clause.ID, Name: r.Spec, Time: junitSeconds(r.Duration), Output: junitOutput(clause, r)}
	text := func(prefix string) *junitReason {
		return &junitReason{Type: string(r.Verdict), Message: strings.TrimSuffix(prefix+r.Message, ": ")}
	}
	switch {
	case r.Warning():
		c.Skipped = &junitReason{Message: "advisory FAIL: " + r.Message}
	case r.Verdict == verdict.Fail:
		c.Failure = text("")
	case r.Verdict == verdict.UnexpectedOK:
		c.Failure = text("passed, and the baseline expects a failure: " + r.Expected.Reason)
	case r.Verdict == verdict.SuiteError, r.Verdict == verdict.Inconclusive:
		c.Error = text(string(r.Reason) + ": ")
	case r.Verdict == verdict.ExpectedFail:
		c.Skipped = &junitReason{Message: fmt.Sprintf("XFAIL, expected until %s (%s): %s", r.Expected.Expires, r.Expected.Reason, r.Message)}
	case r.Verdict == verdict.Skip, r.Verdict == verdict.NotApplicable:
		c.Skipped = &junitReason{Message: fmt.Sprintf("%s %s: %s", r.Verdict, r.Reason, r.Message)}
	}
	return c
}

// junitOutput is what a person needs who looks at one case: the requirement, measured times, evidence, the command.
func junitOutput(clause verdict.ClauseOutcome, r verdict.ResultOutcome) string {
	lines := []string{fmt.Sprintf("%s (%s): %s", clause.ID, clause.Level, clause.Text)}
	for _, t := range r.Timings {
		lines = append(lines, timingLine(t))
	}
	for _, e := range r.Evidence {
		lines = append(lines, "evidence: "+evidenceLine(e))
	}
	if r.Rerun != "" {
		lines = append(lines, "again: "+r.Rerun)
	}
	return strings.Join(lines, "\n")
}

func junitRun(o *verdict.Outcome) junitCase {
	c := junitCase{Class: "run", Name: "outcome"}
	reason := &junitReason{Type: fmt.Sprintf("exit-%d", o.Exit.Code), Message: o.Exit.Sentence}
	for _, p := range o.Problems {
		reason.Text += p.Text + "\n"
	}
	switch o.Exit.Code {
	case verdict.ExitHolds:
		c.Output = o.Exit.Sentence
	case verdict.ExitFails:
		c.Failure = reason
	default:
		c.Error = reason
	}
	return c
}
