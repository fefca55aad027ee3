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

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/tester"
	"github.com/ibnbd/ibnbd/conformance/tester/attacks"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Report is where the record of a spec goes.
type Report struct {
	Dir      string // of the report
	Evidence string // of the spec, relative to it
	KeepAll  bool   // keep the packets of specs that pass, too
}

// specTime bounds a spec beside what it takes.
const specTime = 2 * time.Minute

// Run runs a spec, and gives what it found of each clause that it decides, and what the passive judge found in its packets.
// The error is of this machine.
func (v *Visit) Run(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error) {
	began := time.Now()
	base := verdict.Result{Spec: s.Name, Start: began.UTC()}
	if reason, why := v.Missing(s); reason != "" {
		base.Verdict, base.Reason, base.Message = verdict.Skip, reason, why
		return each(s.Clauses, base), nil, nil
	}
	files, err := v.record(report)
	if err != nil {
		return nil, nil, err
	}
	within, cancel := context.WithTimeout(ctx, specTime+2*s.Takes)
	defer cancel()
	found := s.run(within, v.target, v)
	if err := v.endRecording(); err != nil {
		return nil, nil, err
	}
	base.Duration = time.Since(began)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	results = s.judge(base, found, within.Err() != nil)
	if s.Polite && len(files) > 0 {
		if passive, err = v.judgePackets(ctx, s, report, files); err != nil {
			return nil, nil, err
		}
	}
	if err := keep(report, files, results, passive); err != nil {
		return nil, nil, err
	}
	if failed(results) {
		v.revive(ctx)
	}
	return results, passive, nil
}

// each gives a result for each clause.
func each(ids []string, base verdict.Result) []verdict.Result {
	var all []verdict.Result
	for _, id := range ids {
		base.Clause = id
		all = append(all, base)
	}
	return all
}

func failed(results []verdict.Result) bool {
	return slices.ContainsFunc(results, func(r verdict.Result) bool { return r.Verdict == verdict.Fail })
}

// judge makes verdicts of the end of a spec.
func (s Spec) judge(base verdict.Result, found error, late bool) []verdict.Result {
	var broken *tester.Violation
	if found != nil {
		base.Message = found.Error()
	}
	switch {
	case found == nil:
		base.Verdict = verdict.Pass
		return s.withoutKernelLog(each(s.Clauses, base))
	case errors.Is(found, tester.ErrForbidden):
		base.Verdict, base.Reason = verdict.Skip, verdict.NoConsent
	case errors.Is(found, ErrNotSupported):
		base.Verdict, base.Reason = verdict.Skip, verdict.NoHook
	case errors.Is(found, attacks.ErrInapplicable):
		base.Verdict, base.Reason = verdict.Skip, verdict.AbilityMissing
	case errors.As(found, &broken):
		return s.broke(base, broken)
	case late:
		base.Verdict, base.Reason = verdict.Fail, verdict.SpecTimedOut
	default:
		base.Verdict, base.Reason = verdict.Fail, verdict.AssertionFailed
	}
	return each(s.Clauses, base)
}

// broke is a violation: of one clause, whether the spec claims it or not, while the others were not decided any more.
func (s Spec) broke(base verdict.Result, broken *tester.Violation) []verdict.Result {
	ids := s.Clauses
	if !slices.Contains(ids, broken.Clause) {
		ids = append(slices.Clone(ids), broken.Clause)
	}
	results := each(ids, base)
	for i := range results {
		r := &results[i]
		switch {
		case r.Clause != broken.Clause:
			r.Verdict, r.Reason, r.Message = verdict.Skip, verdict.NotReached, "the spec ended before, by a failure of "+broken.Clause
		case r.Clause == s.survives:
			r.Verdict, r.Reason = verdict.Fail, verdict.SubjectDead
		default:
			r.Verdict, r.Reason = verdict.Fail, verdict.ProtocolViolation
		}
	}
	return results
}

// withoutKernelLog takes back that the target's kernel has not complained: nobody has looked.
func (s Spec) withoutKernelLog(results []verdict.Result) []verdict.Result {
	for i := range results {
		if r := &results[i]; r.Clause == attacks.Alarming {
			r.Verdict, r.Reason, r.Message = verdict.Skip, verdict.NoHook, "the kernel log of a foreign target cannot be read"
		}
	}
	return results
}

// record begins to record the packets of a spec.
func (v *Visit) record(report Report) (files []string, err error) {
	if len(v.recorders) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Join(report.Dir, report.Evidence), 0o755); err != nil {
		return nil, err
	}
	for _, r := range v.recorders {
		name := filepath.Join(report.Dir, report.Evidence, r.rail+".pcapng")
		if err := r.begin(name); err != nil {
			return nil, errors.Join(err, v.endRecording())
		}
		files = append(files, name)
	}
	return files, nil
}

func (v *Visit) endRecording() error {
	var errs []error
	for _, r := range v.recorders {
		errs = append(errs, r.end())
	}
	return errors.Join(errs...)
}

// judgePackets lets the passive judge read what was recorded. What it finds of our own side is not asked for.
func (v *Visit) judgePackets(ctx context.Context, s Spec, report Report, files []string) ([]verdict.Result, error) {
	found, err := audit.JudgeFiles(ctx, audit.Configuration{}, files...)
	if err != nil {
		return nil, err
	}
	var results []verdict.Result
	for _, r := range found {
		if r.Role != clauses.Target {
			continue
		}
		switch r.Verdict {
		case verdict.Pass:
			r.Evidence = nil
		case verdict.Fail:
			r.Spec += " in: " + s.Name
			for i := range r.Evidence {
				r.Evidence[i].Path = filepath.ToSlash(filepath.Join(report.Evidence, filepath.Base(r.Evidence[i].Path)))
			}
		default:
			continue
		}
		results = append(results, r)
	}
	return results, nil
}

// timelineEnd is how many lines of a timeline are kept from its begin, and from its end.
const timelineEnd = 2000

// keep names the packets of a spec in its results, or removes them if nobody will ask for them.
func keep(report Report, files []string, results, passive []verdict.Result) error {
	if len(files) == 0 {
		return nil
	}
	dir := filepath.Join(report.Dir, report.Evidence)
	if !report.KeepAll && !failed(results) && !failed(passive) {
		return os.RemoveAll(dir)
	}
	shown := []verdict.Evidence{}
	show := func(kind verdict.EvidenceKind, file, note string) {
		shown = append(shown, verdict.Evidence{Kind: kind, Path: filepath.ToSlash(filepath.Join(report.Evidence, filepath.Base(file))), Note: note})
	}
	for _, file := range files {
		show(verdict.Packets, file, "as the tester's own end saw them")
	}
	const name = "timeline.txt"
	timeline, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	show(verdict.OtherFile, name, "what the packets mean to storage, with their frames")
	err = errors.Join(audit.WriteTimeline(context.Background(), timeline, timelineEnd, files...), timeline.Close())
	if err != nil {
		return fmt.Errorf("timeline: %w", err)
	}
	for i := range results {
		results[i].Evidence = shown
	}
	return nil
}
