// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm"
)

// executor runs the specs of a plan: in labs, or on a subject that somebody else runs.
type executor interface {
	// prepare makes what the specs need, and says what is under test.
	prepare(ctx context.Context, show *progress) (place, error)
	// run runs the specs and records what they find.
	run(ctx context.Context, show *progress, journal *verdict.Writer) error
}

// execute carries out a plan: it keeps other runs out of the directory of the report, shows the progress on out, writes the journal
// and all reports, and returns the outcome. A run that was cut off on the way has an outcome beside the error, as far as it came.
func (s Settings) execute(ctx context.Context, catalogue *clauses.Catalogue, plan *Plan, e executor, out io.Writer) (*verdict.Outcome, error) {
	release, replaced, err := occupy(s.ReportDir)
	if err != nil {
		return nil, err
	}
	defer release()
	show := newProgress(out, len(plan.Specs))
	defer show.stop()
	if replaced {
		show.say("the report of an earlier run in %s is replaced", s.ReportDir)
	}
	place, err := e.prepare(ctx, show)
	if err != nil {
		return nil, interruption(ctx, err)
	}
	journal, err := verdict.Create(filepath.Join(s.ReportDir, report.JournalFile), catalogue, s.header(plan, place))
	if err != nil {
		return nil, recordError(err)
	}
	defer journal.Close()
	runErr := e.run(ctx, show, journal)
	show.stop()
	return conclude(catalogue, s.ReportDir, journal, interruption(ctx, runErr))
}

// interruption is the error of a run that its caller has ended, and err of any other.
func interruption(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &vm.EnvironmentError{What: "interrupted", Err: context.Cause(ctx)}
}

// conclude ends the journal, judges it and writes the reports. A run that has judged nothing before it failed has no outcome.
func conclude(catalogue *clauses.Catalogue, dir string, journal *verdict.Writer, runErr error) (*verdict.Outcome, error) {
	if runErr == nil {
		if err := journal.Finish(time.Now().UTC()); err != nil {
			return nil, recordError(err)
		}
	}
	outcome, err := verdict.Judge(catalogue, journal.Run())
	if err != nil {
		return nil, err
	}
	if err := report.WriteAll(dir, outcome); err != nil && runErr == nil { // a disk is full only once
		runErr = recordError(err)
	}
	if runErr != nil && len(journal.Run().Results) == 0 {
		return nil, runErr
	}
	return outcome, runErr
}

func record(journal *verdict.Writer, results []verdict.Result) error {
	for _, r := range results {
		if err := journal.Append(r); err != nil {
			return recordError(err)
		}
	}
	return nil
}

// recordError is that of a journal that cannot be written.
func recordError(err error) error {
	return &vm.EnvironmentError{What: "cannot record the run", Err: err, Do: "free space there, or choose another directory with --report"}
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
