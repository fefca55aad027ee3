// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Report is the matrix with what it is to be held against.
type Report struct {
	Matrix   *Matrix      `json:"matrix"`
	Coverage *Coverage    `json:"coverage,omitempty"` // nil where only some mutants were tried
	Exit     verdict.Exit `json:"exit"`
}

// NewReport judges a matrix. With a coverage, a clause that has neither a mutant nor an excuse fails, too.
func NewReport(m *Matrix, c *Coverage) Report {
	r := Report{m, c, m.Exit()}
	if c != nil && len(c.Missing)+len(c.Needless) > 0 && (r.Exit.Code == verdict.ExitHolds || r.Exit.Code == verdict.ExitFails) {
		r.Exit.Code = verdict.ExitFails
		r.Exit.Sentence += fmt.Sprintf("; %d clauses have neither a mutant nor a reason, %d have both", len(c.Missing), len(c.Needless))
	}
	return r
}

// Text writes the kill matrix as a table, width columns wide, and what has no mutant.
func (r Report) Text(w io.Writer, width int) error {
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
	t.AppendHeader(table.Row{"Fate", "Mutant", "Breaks", "Time", "Caught by"})
	for _, row := range r.Matrix.Rows {
		t.AppendRow(table.Row{string(row.Fate), row.Mutant, strings.Join(row.Breaks, ", "), brief(row.Duration), row.caught()})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", t.Render())
	if r.Coverage != nil {
		r.Coverage.text(&b, width)
	}
	fmt.Fprintf(&b, "%s, in %s (exit code %d)\n", r.Exit.Sentence, brief(r.Matrix.Duration), r.Exit.Code)
	_, err := io.WriteString(w, b.String())
	return err
}

// caught says who has found the mutant, or why nobody has.
func (r Row) caught() string {
	if r.Fate != Killed {
		return r.Message
	}
	return strings.Join(r.Specs(), "; ")
}

// Specs are those that have found the mutant, each once.
func (r Row) Specs() []string {
	var names []string
	for i, s := range r.Kills {
		if i == 0 || s.Spec != r.Kills[i-1].Spec {
			names = append(names, s.Spec)
		}
	}
	return names
}

func brief(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func (c *Coverage) text(b *strings.Builder, width int) {
	fmt.Fprintf(b, "%d clauses of level MUST are decided by specs or from packets; %d have a mutant, %d do not:\n", c.Clauses, c.Broken, c.Without())
	for _, g := range c.Excused {
		fmt.Fprintf(b, "\n%d clauses: %s\n", len(g.Clauses), g.Reason)
		fmt.Fprintf(b, "%s\n", indent(text.WrapSoft(strings.Join(g.Clauses, " "), max(40, width-4))))
	}
	for _, list := range []struct {
		what string
		ids  []string
	}{{"without a reason", c.Missing}, {"with a reason, although they have a mutant", c.Needless}} {
		if len(list.ids) > 0 {
			fmt.Fprintf(b, "\n%d clauses %s:\n%s\n", len(list.ids), list.what, indent(text.WrapSoft(strings.Join(list.ids, " "), max(40, width-4))))
		}
	}
	b.WriteString("\n")
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

// JSON writes everything as one object.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

//go:embed page.html.tmpl
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"brief": brief, "join": func(ids []string) string { return strings.Join(ids, ", ") },
}).Parse(pageText))

// HTML writes one page without external resources.
func (r Report) HTML(w io.Writer) error { return page.Execute(w, r) }

// WriteDir writes matrix.txt, matrix.json and matrix.html into a directory, which is made if it is not there.
func (r Report) WriteDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("kill matrix: %w", err)
	}
	const width = 140
	return errors.Join(
		writeFile(filepath.Join(dir, "matrix.txt"), func(w io.Writer) error { return r.Text(w, width) }),
		writeFile(filepath.Join(dir, "matrix.json"), r.JSON),
		writeFile(filepath.Join(dir, "matrix.html"), r.HTML),
	)
}

func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("kill matrix: %w", err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("kill matrix: write %s: %w", name, err)
	}
	return nil
}
