// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

const reportHelp = `Render the reports of a run from its journal. The journal is complete up to the last result even if the run was
interrupted or the machine lost power; the reports then say so.

The exit code is that of the run, so that it can be asked for again.`

const reportExamples = `  ibnbd-conformance report --from build/report/results.jsonl
  ibnbd-conformance report --from results.jsonl --format junit > junit.xml
  ibnbd-conformance report --from results.jsonl --dir build/report
  ibnbd-conformance report --from results.jsonl --dir build/report --matrix build/report/mutants/report.json
  ibnbd-conformance report --from results.jsonl --baseline known.yaml
  ibnbd-conformance report merge --dir build/report shard-1 shard-2`

// reportFlags are the flags of the command, as the user wrote them.
type reportFlags struct{ from, format, dir, baseline, profile, matrix string }

func newReport(a *app) *cobra.Command {
	var flags reportFlags
	cmd := &cobra.Command{
		Use: "report", Short: "Render the reports of a run from its journal", Long: reportHelp + "\n\n" + exitCodeHelp(),
		Example: reportExamples,
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			outcome, err := a.judge(flags)
			if err != nil {
				return err
			}
			if err := render(cmd.OutOrStdout(), outcome, flags); err != nil {
				return err
			}
			return exitWith(outcome.Exit.Code)
		},
	}
	cmd.AddCommand(newMerge(a))
	cmd.Flags().StringVar(&flags.from, "from", filepath.Join("build", "report", report.JournalFile), "journal of the run, or the directory that has it")
	cmd.Flags().StringVar(&flags.format, "format", "terminal", "what to write to standard output: "+strings.Join(formatNames(), ", "))
	cmd.Flags().StringVar(&flags.dir, "dir", "", "write every form of report into this directory instead")
	cmd.Flags().StringVar(&flags.baseline, "baseline", "", "judge by this baseline of expected failures instead of the recorded one")
	cmd.Flags().StringVar(&flags.profile, "profile", "", "judge by this profile instead of the recorded one")
	cmd.Flags().StringVar(&flags.matrix, "matrix", "", "show this kill matrix in the HTML page: the report.json of mutants")
	return cmd
}

// judge reads the journal and judges the run in it.
func (a *app) judge(flags reportFlags) (*verdict.Outcome, error) {
	run, err := verdict.ReadJournal(journalOf(flags.from))
	if err != nil {
		return nil, usagef("%w", err)
	}
	if flags.baseline != "" {
		baseline, err := verdict.LoadBaseline(flags.baseline, a.catalogue)
		if err != nil {
			return nil, usagef("%w", err)
		}
		run.Header.Baseline, run.Header.BaselineFile = baseline.Expected, flags.baseline
	}
	if flags.profile != "" {
		if run.Header.Profile, err = verdict.LoadProfile(flags.profile, a.catalogue); err != nil {
			return nil, usagef("%w", err)
		}
	}
	outcome, err := verdict.Judge(a.catalogue, run)
	if err != nil {
		return nil, usagef("journal %s: %w", flags.from, err)
	}
	return outcome, nil
}

// journalOf is the journal that a user names: the file, or the directory of a report.
func journalOf(name string) string {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return filepath.Join(name, report.JournalFile)
	}
	return name
}

func render(out io.Writer, outcome *verdict.Outcome, flags reportFlags) error {
	formats := report.Formats()
	if flags.matrix != "" {
		kills, err := readMatrix(flags.matrix)
		if err != nil {
			return err
		}
		formats = report.FormatsWithMatrix(kills)
	}
	if flags.dir != "" {
		return renderAll(flags.dir, outcome, formats)
	}
	i := slices.IndexFunc(formats, func(f report.Format) bool { return f.Name == flags.format })
	if i < 0 {
		return usagef("--format %q is not one of %s", flags.format, strings.Join(formatNames(), ", "))
	}
	write := formats[i].Write
	if flags.format == "terminal" {
		write = func(w io.Writer, o *verdict.Outcome) error { return report.Terminal(w, o, screen(out)) }
	}
	if err := write(out, outcome); err != nil {
		return environmentf("%w", err)
	}
	return nil
}

// readMatrix reads a kill matrix.
func readMatrix(name string) (*matrix.Report, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usagef("--matrix: %w", err)
	}
	defer file.Close()
	kills, err := matrix.ReadJSON(file)
	if err != nil {
		return nil, usagef("--matrix %s: %w", name, err)
	}
	return kills, nil
}

func renderAll(dir string, outcome *verdict.Outcome, formats []report.Format) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return environmentf("make directory for reports: %w", err)
	}
	if err := report.WriteFormats(dir, outcome, formats); err != nil {
		return environmentf("%w", err)
	}
	return nil
}

func formatNames() []string {
	var names []string
	for _, format := range report.Formats() {
		names = append(names, format.Name)
	}
	return names
}
