// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// TerminalOptions says what the terminal is like.
type TerminalOptions struct {
	// Width is the number of columns; below 60 means 100.
	Width int
	// Color allows escape sequences for colours.
	Color bool
}

// verdictColors are the colours of verdicts on a terminal.
var verdictColors = map[verdict.Verdict]text.Colors{
	verdict.Pass:         {text.FgGreen},
	verdict.Fail:         {text.FgRed, text.Bold},
	verdict.UnexpectedOK: {text.FgRed},
	verdict.SuiteError:   {text.FgMagenta, text.Bold},
	verdict.Inconclusive: {text.FgYellow},
	verdict.ExpectedFail: {text.FgCyan},
	warning:              {text.FgYellow},
}

// Terminal writes the outcome for the person who ran it: what was judged, clauses by area, what needs attention, measured
// times beside their bounds, and the exit code with its sentence.
func Terminal(w io.Writer, o *verdict.Outcome, options TerminalOptions) error {
	if options.Width < 60 {
		options.Width = 100
	}
	t := &terminal{options: options}
	t.header(o)
	t.areas(o)
	t.timings(o)
	t.attention(o)
	t.problems(o)
	t.unjudged(o)
	t.profile(o)
	t.exit(o)
	if _, err := w.Write(t.out.Bytes()); err != nil {
		return fmt.Errorf("write terminal report: %w", err)
	}
	return nil
}

// terminal gathers the report before it is written at once.
type terminal struct {
	options TerminalOptions
	out     bytes.Buffer
}

func (t *terminal) line(format string, args ...any) { fmt.Fprintf(&t.out, format+"\n", args...) }

// wrapped writes text below an indentation, broken at the width of the terminal.
func (t *terminal) wrapped(indent, content string) {
	for _, line := range strings.Split(text.WrapSoft(content, t.options.Width-len(indent)), "\n") {
		t.line("%s%s", indent, strings.TrimRight(line, " "))
	}
}

func (t *terminal) colored(v verdict.Verdict, s string) string {
	colors, ok := verdictColors[v]
	if !t.options.Color || !ok {
		return s
	}
	return colors.EscapeSeq() + s + text.EscapeReset
}

// hanging writes text behind a lead of so many columns. What does not fit into the line goes on below itself.
func (t *terminal) hanging(lead string, columns int, content string) {
	for _, line := range strings.Split(text.WrapSoft(content, t.options.Width-columns), "\n") {
		t.line("%s%s", lead, strings.TrimRight(line, " "))
		lead = strings.Repeat(" ", columns)
	}
}

// field writes what a run was, behind a word for it.
func (t *terminal) field(word, content string) { t.hanging(fmt.Sprintf("%-10s ", word), 11, content) }

func (t *terminal) header(o *verdict.Outcome) {
	for _, s := range o.Header.Subjects {
		t.field(string(s.Role), subjectLine(s))
	}
	if where := machine(o.Header.Environment); where != "" {
		t.field(placeWord(o.Header.Environment), where)
	}
	if why := o.Header.BaselineReason; why != "" {
		t.field("baseline", why)
	}
	when := o.Header.Start.UTC().Format("2006-01-02 15:04:05 MST")
	if took := o.Took(); took > 0 {
		when += ", took " + seconds(took)
	}
	if o.Header.Seed != 0 {
		when += fmt.Sprintf(", seed %d", o.Header.Seed)
	}
	if o.Header.Edition != "" {
		when += ", edition " + o.Header.Edition + " of the standard"
	}
	t.field("run", when)
	if !o.Header.Complete() {
		t.field("selection", o.Header.Chosen())
	}
	t.line("")
}

func (t *terminal) areas(o *verdict.Outcome) {
	columns := divide(o.Counts, o.Warnings)
	w := t.table()
	head := table.Row{"Area", "Clauses"}
	for _, column := range columns {
		head = append(head, column.Word)
	}
	w.AppendHeader(head)
	for _, area := range o.Areas {
		w.AppendRow(t.countRow(area.Name, divide(area.Counts, area.Warnings), columns))
	}
	w.AppendFooter(t.countRow("all", columns, columns))
	w.SetColumnConfigs(rightAligned(2, len(head)))
	t.line("%s\n", w.Render())
}

// table is a table without borders, as all on the terminal are.
func (t *terminal) table() table.Writer {
	w := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Options.SeparateFooter = true
	style.Format.Header = text.FormatDefault
	style.Format.Footer = text.FormatDefault
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	return w
}

func rightAligned(from, to int) []table.ColumnConfig {
	var configs []table.ColumnConfig
	for n := from; n <= to; n++ {
		configs = append(configs, table.ColumnConfig{
			Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight,
		})
	}
	return configs
}

// countRow is the row of one area: its shares under the columns of the table.
func (t *terminal) countRow(name string, shares, columns []share) table.Row {
	cells, sum := make(map[string]string), 0
	for _, s := range shares {
		cells[s.Word] = t.colored(s.Verdict, fmt.Sprint(s.Count))
		sum += s.Count
	}
	row := table.Row{name, sum}
	for _, column := range columns {
		if cell, ok := cells[column.Word]; ok {
			row = append(row, cell)
		} else {
			row = append(row, "·")
		}
	}
	return row
}

// timings writes what was measured, kind by kind: each time beside its bound, and under which fault.
func (t *terminal) timings(o *verdict.Outcome) {
	for _, m := range measures(o) {
		t.line("%s  %s", m.Name, strings.Join(m.Clauses, ", "))
		for i, l := range m.Limits {
			if l.Formula != "" {
				t.wrapped("  ", fmt.Sprintf("%s: %s", l.Bound, l.Formula))
			}
			for _, row := range m.Rows {
				if m.limitOf(row) == i {
					t.timing(row)
				}
			}
		}
		t.line("")
	}
}

// timing writes one measured time.
func (t *terminal) timing(row timed) {
	mark := t.colored(verdict.Pass, "ok  ")
	switch {
	case !row.Within():
		mark = t.colored(verdict.Fail, "OVER")
	case row.AtLeast == 0 && row.AtMost == 0:
		mark = "    "
	}
	t.hanging(fmt.Sprintf("%10s  %s  ", seconds(row.Value), mark), 18, row.Fault())
}

// attention has the most urgent last, where a person looks first.
func (t *terminal) attention(o *verdict.Outcome) {
	for _, g := range slices.Backward(groups(o)) {
		t.hanging(t.colored(g.Verdict, g.Title)+". ", len(g.Title)+2, g.Why)
		for _, clause := range g.Clauses {
			t.clause(clause)
		}
		t.line("")
	}
}

func (t *terminal) clause(c verdict.ClauseOutcome) {
	t.wrapped("  ", fmt.Sprintf("%s %s: %s", c.ID, c.Level, c.Text))
	if len(c.Results) == 0 {
		t.wrapped("    ", fmt.Sprintf("%s: %s", c.Reason, c.Message))
	}
	for _, r := range c.Results {
		if r.Verdict == c.Verdict {
			t.result(r)
		}
	}
}

func (t *terminal) result(r verdict.ResultOutcome) {
	t.wrapped("    ", "in "+r.Where())
	if r.Reason != "" {
		t.wrapped("      ", fmt.Sprintf("%s: %s", r.Reason, r.Message))
	}
	if e := r.Expected; e != nil {
		t.wrapped("      ", fmt.Sprintf("expected until %s by %s: %s", e.Expires, e.Owner, e.Reason))
		return
	}
	t.evidence(r.Evidence)
	if r.Rerun != "" {
		t.line("      again: %s", r.Rerun)
	}
}

// evidence names what is proof by itself, and once the directory of the rest.
func (t *terminal) evidence(files []verdict.Evidence) {
	var named string
	for _, e := range files {
		if dir := path.Dir(e.Path); len(e.Frames) == 0 && dir != "." {
			if dir != named {
				t.line("      see %s/", dir)
			}
			named = dir
			continue
		}
		t.line("      see %s", evidenceFile(e)) // whole, to be copied
		if e.Note != "" {
			t.wrapped("        ", e.Note)
		}
	}
}

func (t *terminal) problems(o *verdict.Outcome) {
	for _, p := range o.Problems {
		t.wrapped("", "Attention: "+p.Text)
	}
	if len(o.Problems) > 0 {
		t.line("")
	}
}

// unjudged says of how many clauses that apply nothing is known, and why.
func (t *terminal) unjudged(o *verdict.Outcome) {
	begun := false
	for _, omitted := range omissions(o) {
		if omitted.Verdict == verdict.NotApplicable {
			continue
		}
		if !begun {
			t.line("Not judged, of the clauses that apply:")
			begun = true
		}
		t.wrapped("  ", fmt.Sprintf("%d: %s", omitted.Count, omitted.Why))
	}
	if begun {
		t.line("")
	}
}

// profile says which clauses of the profile were not seen to hold.
func (t *terminal) profile(o *verdict.Outcome) {
	p := o.Profile
	if p == nil {
		return
	}
	if p.Holds() {
		t.line("Profile %q: all %d clauses hold.\n", p.Name, p.Clauses)
		return
	}
	t.line("Profile %q: %d of %d clauses were not seen to hold.", p.Name, len(p.Open), p.Clauses)
	for _, c := range p.Open {
		t.line("  %s %s %s", c.ID, c.Verdict, c.Reason)
	}
	t.line("")
}

// Line writes the outcome as one line.
func Line(w io.Writer, o *verdict.Outcome) error {
	word, _ := headline(o.Exit.Code)
	if _, err := fmt.Fprintf(w, "%s: %s (exit code %d)\n", word, o.Exit.Sentence, o.Exit.Code); err != nil {
		return fmt.Errorf("write the outcome: %w", err)
	}
	return nil
}

func (t *terminal) exit(o *verdict.Outcome) {
	word, _ := headline(o.Exit.Code)
	v := verdict.Inconclusive
	switch o.Exit.Code {
	case verdict.ExitHolds:
		v = verdict.Pass
	case verdict.ExitFails:
		v = verdict.Fail
	}
	t.line("%s: %s (exit code %d)", t.colored(v, word), o.Exit.Sentence, o.Exit.Code)
	t.decisive(o)
}

// decisive names the clauses that made the exit code, in the last lines: those are what a log is cut down to.
func (t *terminal) decisive(o *verdict.Outcome) {
	if o.Exit.Code == verdict.ExitHolds {
		return
	}
	for _, g := range groups(o) {
		if !g.urgent() {
			continue
		}
		for _, c := range g.Clauses {
			t.wrapped("  ", fmt.Sprintf("%s %s%s", c.ID, c.Verdict, in(c)))
		}
	}
}

// in names the specs that gave a clause its verdict.
func in(c verdict.ClauseOutcome) string {
	var specs []string
	for _, r := range c.Results {
		if r.Verdict == c.Verdict {
			specs = append(specs, r.Where())
		}
	}
	if len(specs) == 0 {
		return ""
	}
	return " in " + strings.Join(specs, "; in ")
}
