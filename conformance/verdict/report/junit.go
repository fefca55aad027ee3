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

// JUnit writes the outcome as JUnit XML: a suite for each area, and a case for each clause that has results, with the area as class
// name, so that a clause is one failure however many specs break it. FAIL and XPASS are failures, ERROR and INCONCLUSIVE errors. SKIP, NOT-APPLICABLE, XFAIL and the
// failure of a clause that does not bind are skipped, with a message that says which. A last suite has one case for the
// run as a whole; it passes exactly if the exit code is 0, so the file is never green when the command was not, even if
// nothing ran.
func JUnit(w io.Writer, o *verdict.Outcome) error {
	suites, times := junitSuites{Name: "ibnbd-conformance"}, clocked{}
	for _, area := range o.Areas {
		suite := newJUnitSuite(area.Name, o)
		for _, clause := range area.Clauses {
			if len(clause.Results) > 0 {
				suite.add(times.junitClause(area.Name, clause))
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

// junitClause is the case of a clause: that of its worst result, with all specs that have it.
func (t clocked) junitClause(area string, clause verdict.ClauseOutcome) junitCase {
	c := junitCase{Class: area, Name: clause.ID, Time: t.take(clause)}
	lines := []string{fmt.Sprintf("%s (%s): %s", clause.ID, clause.Level, clause.Text)}
	var reasons []string
	for _, r := range clause.Results {
		if r.Verdict != clause.Verdict {
			continue
		}
		lines = append(lines, junitOutput(r)...)
		reasons = append(reasons, strings.TrimSuffix(fmt.Sprintf("%s: %s", r.Where(), r.Message), ": "))
	}
	c.Output = strings.Join(lines, "\n")
	for _, r := range clause.Results {
		if r.Verdict == clause.Verdict {
			c.judge(r, strings.Join(reasons, "\n"))
			break
		}
	}
	return c
}

// judge gives the case what a result says; text has all results like it.
func (c *junitCase) judge(r verdict.ResultOutcome, text string) {
	reason := func(prefix string) *junitReason {
		return &junitReason{Type: string(r.Verdict), Message: strings.TrimSuffix(prefix+r.Message, ": "), Text: text}
	}
	switch {
	case r.Warning():
		c.Skipped = &junitReason{Message: "advisory FAIL: " + r.Message}
	case r.Verdict == verdict.Fail:
		c.Failure = reason("")
	case r.Verdict == verdict.UnexpectedOK:
		c.Failure = reason("passed, and the baseline expects a failure: " + r.Expected.Reason)
	case r.Verdict == verdict.SuiteError, r.Verdict == verdict.Inconclusive:
		c.Error = reason(string(r.Reason) + ": ")
	case r.Verdict == verdict.ExpectedFail:
		c.Skipped = &junitReason{Message: fmt.Sprintf("XFAIL, expected until %s (%s): %s", r.Expected.Expires, r.Expected.Reason, r.Message)}
	case r.Verdict == verdict.Skip, r.Verdict == verdict.NotApplicable:
		c.Skipped = &junitReason{Message: fmt.Sprintf("%s %s: %s", r.Verdict, r.Reason, r.Message)}
	}
}

// clocked are the specs whose time some case has, so that the times of all cases add up to that of all specs.
type clocked map[string]bool

// take is the time of the specs of a clause that no case has yet.
func (t clocked) take(clause verdict.ClauseOutcome) (sum junitSeconds) {
	for _, r := range clause.Results {
		key := fmt.Sprintf("%s\x00%s", r.Spec, r.Start)
		if !t[key] {
			sum += junitSeconds(r.Duration)
		}
		t[key] = true
	}
	return sum
}

// junitOutput is what a person needs who looks at one result: measured times, evidence, the command.
func junitOutput(r verdict.ResultOutcome) []string {
	lines := []string{"in " + r.Where()}
	for _, t := range r.Timings {
		lines = append(lines, timingLine(t))
	}
	for _, e := range r.Evidence {
		lines = append(lines, "evidence: "+evidenceLine(e))
	}
	if r.Rerun != "" {
		lines = append(lines, "again: "+r.Rerun)
	}
	return lines
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
