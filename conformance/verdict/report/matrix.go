// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
)

// MatrixText writes a kill matrix as a table, width columns wide, and what has no mutant.
func MatrixText(w io.Writer, r *matrix.Report, width int) error {
	const others = 84 // columns before the last
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 2, WidthMax: 38, WidthMaxEnforcer: text.WrapSoft}, {Number: 3, WidthMax: 24, WidthMaxEnforcer: text.WrapSoft},
		{Number: 4, Align: text.AlignRight},
		{Number: 5, WidthMax: max(30, width-others), WidthMaxEnforcer: text.WrapSoft},
	})
	t.AppendHeader(table.Row{"Status", "Mutant", "Breaks", "Time", "Caught by"})
	for _, row := range r.Matrix.Rows {
		t.AppendRow(table.Row{string(row.Status), row.Mutant, strings.Join(row.Breaks, ", "), brief(row.Duration), caught(row)})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.Render())
	if r.Coverage != nil {
		coverageText(&b, r.Coverage, width)
	}
	fmt.Fprintf(&b, "%s, in %s (exit code %d)\n", r.Exit.Sentence, brief(r.Matrix.Duration), r.Exit.Code)
	_, err := io.WriteString(w, b.String())
	return err
}

// caught says who has found the mutant, or why nobody has.
func caught(r matrix.Row) string {
	if r.Status != matrix.Killed {
		return r.Message
	}
	return strings.Join(r.Specs(), "; ")
}

func brief(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// uncovered are clauses without a mutant, with why: those with a reason first.
func uncovered(c *matrix.Coverage) []matrix.Group {
	all := append([]matrix.Group(nil), c.Excused...)
	for _, g := range []matrix.Group{{Reason: "no reason is known", Clauses: c.Missing}, {Reason: "a reason is given, although they have a mutant", Clauses: c.Needless}} {
		if len(g.Clauses) > 0 {
			all = append(all, g)
		}
	}
	return all
}

func coverageText(b *strings.Builder, c *matrix.Coverage, width int) {
	fmt.Fprintf(b, "%s\n", coverageSentence(c))
	for _, g := range uncovered(c) {
		fmt.Fprintf(b, "\n%s\n", wrapped("", fmt.Sprintf("%d: %s", len(g.Clauses), g.Reason), width))
		fmt.Fprintf(b, "%s\n", wrapped("    ", strings.Join(g.Clauses, " "), width))
	}
	b.WriteString("\n")
}

func coverageSentence(c *matrix.Coverage) string {
	return fmt.Sprintf("%d clauses of level MUST can be decided by specs or from packets; %d have a mutant, %d do not:", c.Clauses, c.Broken, c.Without())
}

// wrapped breaks a text into lines of a width, each behind a margin and without blanks at its end.
func wrapped(margin, s string, width int) string {
	var lines []string
	for line := range strings.SplitSeq(text.WrapSoft(s, max(40, width-len(margin))), "\n") {
		lines = append(lines, strings.TrimRight(margin+line, " "))
	}
	return strings.Join(lines, "\n")
}

// MatrixHTML writes a kill matrix as one page that needs nothing but a browser.
func MatrixHTML(w io.Writer, r *matrix.Report) error {
	if err := page.ExecuteTemplate(w, "matrix-page", r); err != nil {
		return fmt.Errorf("write kill matrix: %w", err)
	}
	return nil
}

// WriteMatrix writes a kill matrix into a directory, which is made if it is not there: report.txt, report.json and report.html.
func WriteMatrix(dir string, r *matrix.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("kill matrix: %w", err)
	}
	const width = 140
	return errors.Join(
		writeFile(filepath.Join(dir, "report.txt"), func(w io.Writer) error { return MatrixText(w, r, width) }),
		writeFile(filepath.Join(dir, "report.json"), r.WriteJSON),
		writeFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return MatrixHTML(w, r) }),
	)
}
