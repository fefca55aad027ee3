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
	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
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
	if reason, why := v.Missing(s); reason != "" {
		return s.skip(reason, why), nil, nil
	}
	results, passive, err = v.observe(ctx, s, report, func(ctx context.Context) error { return s.run(ctx, v.target, v) })
	if failed(results) {
		v.revive(ctx)
	}
	return results, passive, err
}

// skip says of each clause why it is not decided.
func (s Spec) skip(reason verdict.Reason, why string) []verdict.Result {
	return each(s.Clauses, verdict.Result{Spec: s.Name, Start: time.Now().UTC(), Verdict: verdict.Skip, Reason: reason, Message: why})
}

// observe does what a spec has to do while the packets of the own end are recorded, and makes results of both.
func (o *ownEnd) observe(ctx context.Context, s Spec, report Report, do func(context.Context) error) (results, passive []verdict.Result, err error) {
	began := time.Now()
	files, err := o.record(report)
	if err != nil {
		return nil, nil, err
	}
	within, cancel := context.WithTimeout(ctx, specTime+2*s.Takes)
	defer cancel()
	found := do(within)
	if err := o.endRecording(); err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	results = s.judge(verdict.Result{Spec: s.Name, Start: began.UTC(), Duration: time.Since(began)}, found, within.Err() != nil)
	if s.Polite && len(files) > 0 {
		if passive, err = judgePackets(ctx, s, report, files); err != nil {
			return nil, nil, err
		}
	}
	return results, passive, keep(report, files, results, passive)
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

// judge makes results of the error with which a spec ended.
func (s Spec) judge(base verdict.Result, found error, late bool) []verdict.Result {
	var results []verdict.Result
	for _, r := range finding.Judge(found, finding.Claims{Clauses: s.Clauses, Survival: s.survives}, late) {
		base.Clause, base.Verdict, base.Reason, base.Message = r.Clause, r.Verdict, r.Reason, r.Message
		results = append(results, base)
	}
	return s.withoutKernelLog(results)
}

// withoutKernelLog takes back that the subject's kernel has not complained: nobody has looked.
func (s Spec) withoutKernelLog(results []verdict.Result) []verdict.Result {
	for i := range results {
		r := &results[i]
		if r.Verdict == verdict.Pass && (r.Clause == attacks.Alarming || r.Clause == provocations.Alarming) {
			r.Verdict, r.Reason, r.Message = verdict.Skip, verdict.NoHook, "the kernel log of a foreign machine cannot be read"
		}
	}
	return results
}

// judgePackets lets the passive judge read what was recorded. What it finds of our own side is not asked for.
func judgePackets(ctx context.Context, s Spec, report Report, files []string) ([]verdict.Result, error) {
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
