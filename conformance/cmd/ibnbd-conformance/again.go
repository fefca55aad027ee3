// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

// selectFailed puts the specs of the last run in the directory of the report that did not end well into the selection.
func (a *app) selectFailed(dir string, s *runner.Selection) error {
	outcome, err := a.judge(reportFlags{from: filepath.Join(dir, report.JournalFile)})
	if err != nil {
		return usagef("--rerun-failed: %w", err)
	}
	failed := failedSpecs(outcome)
	if len(failed) == 0 {
		return &exitError{verdict.ExitNothingRan, fmt.Errorf("--rerun-failed: no spec has failed in %s", dir)}
	}
	s.Names = append(s.Names, failed...)
	return nil
}

// passiveIn stands between what the passive judge calls itself and the spec whose packets it has read.
const passiveIn = " in: "

// failedSpecs are the specs whose results want looking into: failures that nobody expected, passes that nobody expected,
// doubts and errors.
func failedSpecs(o *verdict.Outcome) []string {
	known := make(map[string]bool)
	for _, specs := range o.Header.Specs {
		for _, name := range specs {
			known[name] = true
		}
	}
	var failed []string
	for _, clause := range o.Clauses() {
		for _, r := range clause.Results {
			switch r.Verdict {
			case verdict.Fail, verdict.UnexpectedOK, verdict.Inconclusive, verdict.SuiteError:
			default:
				continue
			}
			name := r.Spec
			if _, spec, passive := strings.Cut(name, passiveIn); passive && !known[name] {
				name = spec
			}
			if known[name] {
				failed = append(failed, name)
			}
		}
	}
	slices.Sort(failed)
	return slices.Compact(failed)
}
