// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

const mergeHelp = `Make one report of the parts of a run, each named by the directory that it was written to or by its journal there: of its shards
("run --shard 2/5"), of one target in several configurations ("run --configure queue-depth=1"), or of both. All parts have the same
subjects, the same selection and the same baseline, and the same version of this program. The evidence of all of them is copied beside
the report.

A clause that one configuration cannot judge has the verdict of another that can, and the worst if there are several. What a part says
of a clause that does not apply in its configuration counts for nothing.

A shard that is missing, or was interrupted, makes the whole an interrupted run: what it says is true, but not all. The exit
code is that of the whole.`

const mergeExamples = `  ibnbd-conformance report merge --dir build/report shard-1 shard-2 shard-3
  ibnbd-conformance report merge --dir build/report depth-512 depth-1`

func newMerge(a *app) *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use: "merge REPORT...", Short: "Make one report of the parts of a run", Long: mergeHelp + "\n\n" + exitCodeHelp(), Example: mergeExamples,
		RunE: func(cmd *cobra.Command, parts []string) error {
			if len(parts) == 0 {
				return usagef("'%s' takes the directories of the parts; see '%s --help'", cmd.CommandPath(), cmd.CommandPath())
			}
			return a.merge(cmd.OutOrStdout(), dir, parts)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", filepath.Join("build", "report"), "directory for the journal, the reports and the evidence of the whole; it must not have a journal")
	return cmd
}

func (a *app) merge(out io.Writer, dir string, parts []string) error {
	runs := make([]verdict.Run, len(parts))
	for i, name := range parts {
		var err error
		if runs[i], err = verdict.ReadJournal(journalOf(name)); err != nil {
			return usagef("%w", err)
		}
	}
	whole, missing, err := verdict.Merge(runs)
	if err != nil {
		return usagef("merge: %w", err)
	}
	for _, name := range missing {
		fmt.Fprintf(out, "%s is missing\n", name)
	}
	if err := a.writeWhole(dir, parts, whole); err != nil {
		return err
	}
	outcome, err := verdict.Judge(a.catalogue, whole)
	if err != nil {
		return usagef("merge: %w", err)
	}
	if err := renderAll(dir, outcome, report.Formats()); err != nil {
		return err
	}
	if err := report.Terminal(out, outcome, screen(out)); err != nil {
		return environmentf("%w", err)
	}
	return exitWith(outcome.Exit.Code)
}

// writeWhole writes the journal of the whole, and the evidence of its parts.
func (a *app) writeWhole(dir string, parts []string, whole verdict.Run) error {
	journal := filepath.Join(dir, report.JournalFile)
	if _, err := os.Lstat(journal); err == nil {
		return usagef("%s is there already: name another directory with --dir", journal)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return environmentf("make directory for reports: %w", err)
	}
	for _, part := range parts {
		if err := copyEvidence(filepath.Join(dir, kit.EvidenceDir), filepath.Join(filepath.Dir(journalOf(part)), kit.EvidenceDir)); err != nil {
			return environmentf("copy evidence: %w", err)
		}
	}
	w, err := verdict.Create(journal, a.catalogue, whole.Header)
	if err != nil {
		return environmentf("%w", err)
	}
	defer w.Close()
	for _, r := range whole.Results {
		if err := w.Append(r); err != nil {
			return usagef("merge: %w", err)
		}
	}
	if whole.Interrupted() {
		return nil
	}
	if err := w.Finish(whole.End); err != nil {
		return environmentf("%w", err)
	}
	return nil
}

// copyEvidence copies one directory for each spec; a part without any has none.
func copyEvidence(to, from string) error {
	if _, err := os.Stat(from); os.IsNotExist(err) {
		return nil
	}
	return os.CopyFS(to, os.DirFS(from))
}
