// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// Subject is an implementation that somebody else runs, with what its protocol can try on it: see [Protocol.Target] and
// [Protocol.Initiator].
type Subject interface {
	// Describe says which clauses hold for it, as far as that is known beforehand.
	Describe() clauses.Subject
	// Specs are what can be tried on it: those that may end it last.
	Specs() []Spec
	// Missing is why a spec cannot run, as the reason of a SKIP and in words, as far as that can be said beforehand; "" if it can.
	Missing(s Spec) (verdict.Reason, string)
	// Configured is the subject in each of the configurations in which its owner wants it judged: itself, if there are none.
	Configured() []Subject
	// Start has the owner's hook configure the subject, if it is to have a configuration, opens the devices of this side and makes
	// the first contact. A *RefusedError says what the owner must allow, or the user correct; any other error, that the subject
	// cannot be reached from here.
	Start(ctx context.Context) (Run, error)
}

// Run is the time in which specs run on a subject: a [TargetRun] or an [InitiatorRun]. It has one user at a time.
type Run interface {
	// Subject is what was found out of the subject.
	Subject() verdict.Subject
	// RunSpec runs a spec, and gives what it found of each clause that it decides, and what the passive judge found in its packets.
	// The error is of this machine.
	RunSpec(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error)
	// Close leaves the subject.
	Close() error
}

// RefusedError says that nothing is tried because of what the owner did not allow, or that what was asked for cannot be there.
type RefusedError struct{ Text string }

// Error is the sentence for the user.
func (e *RefusedError) Error() string { return e.Text }

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Report is where the record of a spec goes.
type Report struct {
	Dir      string // of the report
	Evidence string // of the spec, relative to it
	KeepAll  bool   // keep the packets of specs that pass, too
}

// specTime bounds a spec beside what it takes.
const specTime = 2 * time.Minute

// execution is one run of one spec.
type execution struct {
	spec          Spec
	role          clauses.Role // of the subject
	report        Report
	devices       *devices
	packets       Packets
	configuration audit.Configuration // of both sides, as far as it was said
}

// run does what the spec has to do while the packets are recorded, and makes results of both.
func (x execution) run(ctx context.Context, do func(context.Context) error) (results, passive []verdict.Result, err error) {
	began := time.Now()
	files, err := x.devices.record(x.report)
	if err != nil {
		return nil, nil, err
	}
	within, cancel := context.WithTimeout(ctx, specTime+2*x.spec.Takes)
	defer cancel()
	ended := do(within)
	if err := x.devices.endRecording(); err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	results, seen := x.spec.judge(verdict.Result{Spec: x.spec.Name, Start: began.UTC(), Duration: time.Since(began)}, ended, within.Err() != nil)
	if len(files) > 0 {
		if passive, err = x.judgePackets(ctx, files); err != nil {
			return nil, nil, err
		}
	}
	if err := x.keep(files, results, passive, seen); err != nil {
		return nil, nil, err
	}
	return results, passive, x.attach(ended, results)
}

// judge makes results of the error with which a spec ended, and says when the failures among them were seen.
func (s Spec) judge(base verdict.Result, ended error, late bool) (results []verdict.Result, seen map[string]time.Time) {
	seen = make(map[string]time.Time)
	for _, r := range finding.Judge(ended, finding.Claims{Clauses: s.Clauses, Survival: s.Survival}, late) {
		base.Clause, base.Verdict, base.Reason, base.Message = r.Clause, r.Verdict, r.Reason, r.Message
		if r.Clause == s.KernelLog && r.Verdict == verdict.Pass {
			base.Verdict, base.Reason, base.Message = verdict.Skip, verdict.NoHook, "the kernel log of a foreign machine cannot be read"
		}
		if !r.At.IsZero() {
			seen[r.Clause] = r.At
		}
		results = append(results, base)
	}
	return results, seen
}

// skip says of each clause why it is not decided.
func (s Spec) skip(reason verdict.Reason, why string) []verdict.Result {
	var results []verdict.Result
	for _, id := range s.Clauses {
		results = append(results, verdict.Result{
			Clause: id, Spec: s.Name, Start: time.Now().UTC(), Verdict: verdict.Skip, Reason: reason, Message: why,
		})
	}
	return results
}

func failed(results []verdict.Result) bool {
	return slices.ContainsFunc(results, func(r verdict.Result) bool { return r.Verdict == verdict.Fail })
}

// status asks a hook what should stand in the report of the subject.
func status(says string, err error) (map[string]string, error) {
	if err != nil && !errors.Is(err, ErrNotSupported) {
		return nil, err
	}
	return facts(says), nil
}
