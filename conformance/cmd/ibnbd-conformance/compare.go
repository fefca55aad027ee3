// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/compare"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

const compareHelp = `Compare the reports of two runs, the older one first: clauses and specs whose verdict differs, and measured times side by
side. A report is the directory that a run left, its journal (results.jsonl) or its report.json.

A verdict becomes worse when something is known to be wrong that was not, and when something is not judged any more that was.

Exit codes:
  0  nothing has become worse
  1  a clause or a spec has become worse
  2  wrong usage: no report, or one that cannot be read
  3  the comparison cannot be written`

const compareExamples = `  ibnbd-conformance compare build/report/yesterday build/report/today
  ibnbd-conformance compare --json a/report.json b/report.json | jq '.clauses[] | select(.kind == "worse")'`

func newCompare(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "compare A B", Short: "Compare the reports of two runs", Long: compareHelp, Example: compareExamples,
		Args: exactly(2, "two reports"),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := a.readOutcome(args[0])
			if err != nil {
				return err
			}
			after, err := a.readOutcome(args[1])
			if err != nil {
				return err
			}
			return writeComparison(cmd.OutOrStdout(), compare.Runs(before, after), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object")
	return cmd
}

// readOutcome reads a report, by its journal if that is there: a newer program may judge by newer rules, and then both runs
// by the same.
func (a *app) readOutcome(name string) (*verdict.Outcome, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, usagef("read report: %w", err)
	} else if info.IsDir() {
		name = fileIn(name)
	}
	if filepath.Ext(name) == ".jsonl" {
		return a.judge(reportFlags{from: name})
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("read report: %w", err)
	}
	defer file.Close()
	outcome, err := report.ReadJSON(file)
	if err != nil {
		return nil, usagef("report %s: %w", name, err)
	}
	return outcome, nil
}

// fileIn is the file of a directory that a report is read from.
func fileIn(dir string) string {
	journal := filepath.Join(dir, report.JournalFile)
	if _, err := os.Stat(journal); err != nil {
		return filepath.Join(dir, "report.json")
	}
	return journal
}

func writeComparison(out io.Writer, c *compare.Comparison, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(c); err != nil {
			return environmentf("write comparison: %w", err)
		}
	} else if _, err := io.WriteString(out, comparisonText(c, screen(out).Width)); err != nil {
		return environmentf("write comparison: %w", err)
	}
	if c.Worse() {
		return exitWith(verdict.ExitFails)
	}
	return nil
}

// comparisonText shows what differs, and how much does not.
func comparisonText(c *compare.Comparison, width int) string {
	var all strings.Builder
	changes(&all, "Clause", c.Clauses, width, func(ch compare.Change) string { return ch.Clause })
	changes(&all, "Spec", c.Specs, width, func(ch compare.Change) string { return ch.Clause + " in " + ch.Spec })
	times(&all, c.Timings)
	fmt.Fprintf(&all, "clauses: %d as before, %d better, %d worse, %d changed otherwise\n",
		c.Counts[compare.Same], c.Counts[compare.Better], c.Counts[compare.Worse], c.Counts[compare.Other])
	return all.String()
}

func changes(out io.Writer, title string, list []compare.Change, width int, name func(compare.Change) string) {
	if len(list) == 0 {
		return
	}
	w := table.NewWriter()
	w.SetStyle(listStyle())
	w.SuppressTrailingSpaces()
	w.AppendHeader(table.Row{title, "Before", "After", "", "Why"})
	for _, ch := range list {
		w.AppendRow(table.Row{name(ch), orNone(ch.Before), orNone(ch.After), string(ch.Kind), text.Snip(strings.Join(strings.Fields(ch.Message), " "), 200, "...")})
	}
	const others = 45 // columns of the verdicts between the two that wrap
	half := max(24, (width-others)/2)
	w.SetColumnConfigs([]table.ColumnConfig{
		{Number: 1, WidthMax: half, WidthMaxEnforcer: text.WrapSoft}, {Number: 5, WidthMax: half, WidthMaxEnforcer: text.WrapSoft},
	})
	fmt.Fprintf(out, "%s\n\n", w.Render())
}

func orNone(v verdict.Verdict) string {
	if v == "" {
		return "none"
	}
	return string(v)
}

func times(out io.Writer, list []compare.Times) {
	if len(list) == 0 {
		return
	}
	w := table.NewWriter()
	w.SetStyle(listStyle())
	w.SuppressTrailingSpaces()
	w.AppendHeader(table.Row{"Clause", "Measured", "Before", "After", "Change", "At most"})
	for _, t := range list {
		most := "·"
		if t.AtMost > 0 {
			most = rounded(t.AtMost)
		}
		w.AppendRow(table.Row{t.Clause, t.Name, rounded(t.Before), rounded(t.After), rounded(t.After - t.Before), most})
	}
	var right []table.ColumnConfig
	for number := 3; number <= 6; number++ {
		right = append(right, table.ColumnConfig{Number: number, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	w.SetColumnConfigs(right)
	fmt.Fprintf(out, "%s\n\n", w.Render())
}

// rounded is a time as people read it.
func rounded(d time.Duration) string { return d.Round(10 * time.Millisecond).String() }
