// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// judgePackets lets the passive judge read what was recorded. What it finds of this side is not asked for.
func (x execution) judgePackets(ctx context.Context, files []string) ([]verdict.Result, error) {
	found, err := x.packets.Judge(ctx, x.configuration, files...)
	if err != nil {
		return nil, err
	}
	var results []verdict.Result
	for _, r := range found {
		if r.Role != x.role {
			continue
		}
		switch r.Verdict {
		case verdict.Pass:
			r.Evidence = nil
		case verdict.Fail:
			r.Spec += " in: " + x.spec.Name
			for i := range r.Evidence {
				r.Evidence[i].Path = x.path(r.Evidence[i].Path)
			}
		default:
			continue
		}
		results = append(results, r)
	}
	return results, nil
}

// path is that of a file of the evidence, as it stands in the report.
func (x execution) path(file string) string {
	return filepath.ToSlash(filepath.Join(x.report.Evidence, filepath.Base(file)))
}

// timelineEnd is how many lines of a timeline are kept from its begin, and from its end.
const timelineEnd = 2000

// keep names the packets of a spec in its results, or removes them if nobody will ask for them. Failures were seen at some times.
func (x execution) keep(files []string, results, passive []verdict.Result, seen map[string]time.Time) error {
	if len(files) == 0 {
		return nil
	}
	dir := filepath.Join(x.report.Dir, x.report.Evidence)
	if !x.report.KeepAll && !failed(results) && !failed(passive) {
		return os.RemoveAll(dir)
	}
	var shown []verdict.Evidence
	for _, file := range files {
		shown = append(shown, verdict.Evidence{Kind: verdict.Packets, Path: x.path(file), Note: "as the tester's own end saw them"})
	}
	const name = "timeline.txt"
	timeline, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	err = errors.Join(x.packets.Timeline(context.Background(), timeline, timelineEnd, files...), timeline.Close())
	if err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	shown = append(shown, verdict.Evidence{Kind: verdict.OtherFile, Path: x.path(name), Note: "what the packets mean to storage, with their frames"})
	for i := range results {
		results[i].Evidence = shown
	}
	return x.showFailures(results, seen, filepath.Join(dir, name))
}

// attach saves the file that comes with the error of a spec, and names it in the failures.
func (x execution) attach(ended error, results []verdict.Result) error {
	var a *finding.Attached
	if !errors.As(ended, &a) || !failed(results) {
		return nil
	}
	dir := filepath.Join(x.report.Dir, x.report.Evidence)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, a.Name), a.Content, 0o644); err != nil {
		return err
	}
	for i := range results {
		if r := &results[i]; r.Verdict == verdict.Fail {
			r.Evidence = append(slices.Clone(r.Evidence), verdict.Evidence{Kind: verdict.OtherFile, Path: x.path(a.Name), Note: a.Note})
		}
	}
	return nil
}
