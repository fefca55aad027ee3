// SPDX-License-Identifier: Apache-2.0

package specreport

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// Results returns the result of a spec for each clause that it claims, by the table in the package comment. Role and
// Rerun are left for the caller to fill in. A spec that never started gives none.
func Results(report types.SpecReport) []verdict.Result {
	if !report.LeafNodeType.Is(types.NodeTypeIt) || !started(report) {
		return nil
	}
	result := verdict.Result{
		Spec:     claim.SpecName(report),
		Start:    report.StartTime.UTC(),
		Duration: report.RunTime,
	}
	said, err := statements(report)
	if err != nil {
		result.Verdict, result.Reason, result.Message = verdict.SuiteError, verdict.SuiteBug, err.Error()
	}
	var results []verdict.Result
	claimed := claim.IDs(report.Labels())
	for _, id := range slices.Concat(claimed, brokenBeside(claimed, said)) {
		one := result
		one.Clause = id
		if err == nil {
			found := collect(&one, said)
			one.Verdict, one.Reason, one.Message = decide(report, found, one)
		}
		results = append(results, one)
	}
	return results
}

// brokenBeside are the clauses that the spec says are broken, and that it does not claim.
func brokenBeside(claimed []string, said []Statement) []string {
	var ids []string
	for _, s := range said {
		f := s.Finding
		if f == nil || f.Clause == "" || f.Reason.Verdict() != verdict.Fail {
			continue
		}
		if !slices.Contains(claimed, f.Clause) && !slices.Contains(ids, f.Clause) {
			ids = append(ids, f.Clause)
		}
	}
	return ids
}

func started(report types.SpecReport) bool {
	return !report.StartTime.IsZero() && report.NumAttempts > 0
}

// collect puts what the spec said of the result's clause into the result and returns its findings by verdict, the last
// of each. That another clause was not decided says nothing of this one, and that another is broken only where nothing else is said.
func collect(result *verdict.Result, said []Statement) map[verdict.Verdict]Finding {
	found := make(map[verdict.Verdict]Finding)
	for _, s := range said {
		switch {
		case s.Timing != nil && s.Timing.Speaks(result.Clause):
			result.Timings = append(result.Timings, *s.Timing)
		case s.Event != nil:
			result.Timeline = append(result.Timeline, *s.Event)
		case s.Series != nil:
			result.Series = append(result.Series, *s.Series)
		case s.Evidence != nil:
			result.Evidence = append(result.Evidence, *s.Evidence)
		case s.Finding != nil:
			v, ofAnother := s.Finding.Reason.Verdict(), s.Finding.Clause != "" && s.Finding.Clause != result.Clause
			if _, known := found[v]; ofAnother && (known || v == verdict.Skip) {
				continue
			}
			found[v] = *s.Finding
		}
	}
	return found
}

func decide(report types.SpecReport, found map[verdict.Verdict]Finding, result verdict.Result) (verdict.Verdict, verdict.Reason, string) {
	failures := failures(report)
	switch {
	case report.State == types.SpecStatePanicked:
		return verdict.SuiteError, verdict.Panicked, describe(report.Failure)
	case report.State.Is(types.SpecStateInterrupted | types.SpecStateAborted):
		return verdict.SuiteError, verdict.Interrupted, describe(report.Failure)
	case len(failures) > 0:
		return decideFailure(failures[0], found, result.Clause)
	case report.State == types.SpecStateSkipped:
		return decideSkip(report.Failure, found)
	}
	for _, t := range result.Timings {
		if !t.Within() {
			return verdict.Fail, verdict.BoundExceeded, describeTiming(t)
		}
	}
	if stated, ok := found[verdict.Skip]; ok {
		return verdict.Skip, stated.Reason, stated.Message
	}
	return verdict.Pass, "", ""
}

// failed is one failure of a spec with the state that the failing node ended in.
type failed struct {
	types.Failure
	state types.SpecState
}

// failures returns the failures of a spec, first the one that ended it, then those of its clean-up.
func failures(report types.SpecReport) (all []failed) {
	if report.State.Is(types.SpecStateFailed | types.SpecStateTimedout) {
		all = append(all, failed{report.Failure, report.State})
	}
	for _, additional := range report.AdditionalFailures {
		all = append(all, failed{additional.Failure, additional.State})
	}
	return all
}

func decideFailure(f failed, found map[verdict.Verdict]Finding, clause string) (verdict.Verdict, verdict.Reason, string) {
	for _, v := range []verdict.Verdict{verdict.Fail, verdict.SuiteError} {
		stated, ok := found[v]
		switch {
		case ok && stated.Clause != "" && stated.Clause != clause:
			return verdict.Skip, verdict.NotReached, finding.EndedBefore(stated.Clause)
		case ok:
			return v, stated.Reason, strings.TrimPrefix(describe(f.Failure), string(stated.Reason)+": ") // it is shown beside that
		}
	}
	setup := types.NodeTypeBeforeEach | types.NodeTypeJustBeforeEach | types.NodeTypeBeforeAll
	switch {
	case f.state == types.SpecStatePanicked:
		return verdict.SuiteError, verdict.Panicked, describe(f.Failure)
	case f.FailureNodeType.Is(setup):
		return verdict.SuiteError, verdict.SetupFailed, describe(f.Failure)
	case f.state == types.SpecStateTimedout:
		return verdict.Fail, verdict.SpecTimedOut, describe(f.Failure)
	default:
		return verdict.Fail, verdict.AssertionFailed, describe(f.Failure)
	}
}

func decideSkip(f types.Failure, found map[verdict.Verdict]Finding) (verdict.Verdict, verdict.Reason, string) {
	for _, v := range []verdict.Verdict{verdict.Inconclusive, verdict.Skip} {
		if stated, ok := found[v]; ok {
			return v, stated.Reason, stated.Message
		}
	}
	return verdict.SuiteError, verdict.SuiteBug, "skipped without a known reason code: " + describe(f)
}

func describe(f types.Failure) string {
	text := plain(f.Message)
	if f.ForwardedPanic != "" {
		text += ": " + f.ForwardedPanic
	}
	if f.Location.FileName == "" {
		return text
	}
	return fmt.Sprintf("%s (%s:%d)", text, filepath.Base(f.Location.FileName), f.Location.LineNumber)
}

func describeTiming(t verdict.Timing) string {
	if t.Value < t.AtLeast {
		return fmt.Sprintf("%s took %s, at least %s is due (%s)", t.Name, t.Value, t.AtLeast, t.Formula)
	}
	return fmt.Sprintf("%s took %s, at most %s is allowed (%s)", t.Name, t.Value, t.AtMost, t.Formula)
}
