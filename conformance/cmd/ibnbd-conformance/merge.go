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

const mergeHelp = `Make one report of the shards of a run ("run --shard 2/5"), each named by the directory that it was written to or by its journal there. The evidence of all
of them is copied beside it.

A shard that is missing, or was interrupted, makes the whole an interrupted run: what it says is true, but not all. The exit
code is that of the whole.`

const mergeExamples = `  ibnbd-conformance report merge --dir build/report shard-1 shard-2 shard-3`

func newMerge(a *app) *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use: "merge REPORT...", Short: "Make one report of the shards of a run", Long: mergeHelp + "\n\n" + exitCodeHelp(), Example: mergeExamples,
		RunE: func(cmd *cobra.Command, shards []string) error {
			if len(shards) == 0 {
				return usagef("'%s' takes the directories of the shards; see '%s --help'", cmd.CommandPath(), cmd.CommandPath())
			}
			return a.merge(cmd.OutOrStdout(), dir, shards)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", filepath.Join("build", "report"), "directory for the journal, the reports and the evidence of the whole; it must not have a journal")
	return cmd
}

func (a *app) merge(out io.Writer, dir string, shards []string) error {
	runs := make([]verdict.Run, len(shards))
	for i, name := range shards {
		var err error
		if runs[i], err = verdict.ReadJournal(journalOf(name)); err != nil {
			return usagef("%w", err)
		}
	}
	whole, missing, err := verdict.Merge(runs)
	if err != nil {
		return usagef("merge: %w", err)
	}
	for _, index := range missing {
		fmt.Fprintf(out, "shard %d of %d is missing\n", index, runs[0].Header.Shard.Count)
	}
	if err := a.writeWhole(dir, shards, whole); err != nil {
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

// writeWhole writes the journal of the whole, and the evidence of its shards.
func (a *app) writeWhole(dir string, shards []string, whole verdict.Run) error {
	journal := filepath.Join(dir, report.JournalFile)
	if _, err := os.Lstat(journal); err == nil {
		return usagef("%s is there already: name another directory with --dir", journal)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return environmentf("make directory for reports: %w", err)
	}
	for _, shard := range shards {
		if err := copyEvidence(filepath.Join(dir, kit.EvidenceDir), filepath.Join(filepath.Dir(journalOf(shard)), kit.EvidenceDir)); err != nil {
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

// copyEvidence copies one directory for each spec; a shard without any has none.
func copyEvidence(to, from string) error {
	if _, err := os.Stat(from); os.IsNotExist(err) {
		return nil
	}
	return os.CopyFS(to, os.DirFS(from))
}
