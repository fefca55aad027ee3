// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// Options say what a user wants of a run.
type Options struct {
	Selection       Selection
	Subjects        []verdict.Subject      // one target and one initiator
	Implementations []implementation.Facts // of the subjects
	Image           image.Spec             // what the hosts of the labs boot
	Kit             kit.Config             // the lab and the subjects; image, accelerator, programs and directories are filled in by Run
	ReportDir       string                 // where journal, reports and evidence go
	Baseline        *verdict.Baseline      // expected failures; nil for none
	BaselineFile    string
	Workers         int      // labs side by side; at least 1
	Seed            int64    // of the order of specs
	Tool            string   // version of the program
	Command         []string // as the user typed it
	Rerun           string   // how to run one spec again; %s is its name
}

// Run carries out a plan. It shows its progress on out, writes the journal and all reports, and returns the outcome. A
// *vm.EnvironmentError says why nothing could be judged at all; a run that was interrupted or lost a worker on the way has an
// outcome beside the error, as far as it came.
func Run(ctx context.Context, catalogue *clauses.Catalogue, o Options, plan *Plan, out io.Writer) (*verdict.Outcome, error) {
	release, err := occupy(o.ReportDir)
	if err != nil {
		return nil, err
	}
	defer release()
	show := newProgress(out, len(plan.Specs))
	defer show.stop()
	if err := o.prepare(ctx, plan.Workers, show); err != nil {
		return nil, interruption(ctx, err)
	}
	journal, err := verdict.Create(filepath.Join(o.ReportDir, report.JournalFile), catalogue, header(o, plan))
	if err != nil {
		return nil, recordError(err)
	}
	defer journal.Close()
	runErr := runWorkers(ctx, o, plan, usual, show, journal)
	show.stop()
	return conclude(catalogue, o.ReportDir, journal, interruption(ctx, runErr))
}

// prepare makes what all labs share: the guests' image, and the choice of how guests run.
func (o *Options) prepare(ctx context.Context, labs int, show *progress) (err error) {
	if err := vm.Check(o.Kit.Lab, labs); err != nil {
		return err
	}
	o.Kit.Lab.Image, err = image.Build(ctx, o.Image, func(step string) { show.say("%s", step) })
	if err != nil {
		return err
	}
	choice, err := vm.PickAccelerator(ctx, o.Kit.Lab)
	if err != nil {
		return err
	}
	o.Kit.Lab.Accelerator = choice.Accelerator
	if err := o.build(ctx, show); err != nil {
		return err
	}
	show.say("guests run on %s: %s", choice.Accelerator, brief(choice.Reason))
	return nil
}

// build compiles the programs of the subjects, once where both are of one implementation.
func (o *Options) build(ctx context.Context, show *progress) error {
	o.Kit.Programs, o.Kit.Version = filepath.Join(o.ReportDir, programsDir), o.Tool
	built := make(map[string]bool)
	for _, f := range o.Implementations {
		if f.Build == nil || built[f.Name] {
			continue
		}
		built[f.Name] = true
		show.say("compiling the %s", f.Name)
		if err := f.Build(ctx, o.Kit.Programs); err != nil {
			return &vm.EnvironmentError{Err: err, Do: "run inside a checkout of the project, with Go and the packages of ci/packages.txt installed"}
		}
	}
	return nil
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

// header says what is run.
func header(o Options, plan *Plan) verdict.Header {
	h := verdict.Header{
		Tool:         o.Tool,
		Command:      o.Command,
		Start:        time.Now().UTC(),
		Seed:         o.Seed,
		Selection:    o.Selection.String(),
		Shard:        o.Selection.Shard,
		Subjects:     o.Subjects,
		BaselineFile: o.BaselineFile,
		Specs:        make(map[string][]string),
		Environment: verdict.Environment{
			Host:        hostName(),
			Kernel:      kernelRelease(),
			CPUs:        runtime.NumCPU(),
			Packages:    o.Kit.Lab.Image.Manifest.Packages,
			Guest:       o.Kit.Lab.Image.Manifest.Release,
			Accelerator: string(o.Kit.Lab.Accelerator),
		},
	}
	if o.Baseline != nil {
		h.Baseline = o.Baseline.Expected
	}
	for _, spec := range slices.Concat(plan.Specs, plan.LeftOut) {
		for _, id := range spec.Clauses {
			h.Specs[id] = append(h.Specs[id], spec.Name)
		}
	}
	return h
}

// freeTemporary is what to do where the temporary directory takes nothing.
const freeTemporary = "free space there, or set TMPDIR"

// runWorkers runs all workers to their end. The first that cannot go on stops the others, and so does the end of the time for
// a whole run.
func runWorkers(ctx context.Context, o Options, plan *Plan, waits limits, show *progress, journal *verdict.Writer) error {
	temp, err := os.MkdirTemp("", "ibnbd-")
	if err != nil {
		return &vm.EnvironmentError{What: "cannot make a directory for the sockets of the labs", Err: err, Do: freeTemporary}
	}
	defer os.RemoveAll(temp)
	defer context.AfterFunc(ctx, func() {
		show.say("interrupted: the labs are being taken down; once more ends at once")
	})()
	ctx, cancel := context.WithTimeoutCause(ctx, kit.RunTimeout, &vm.EnvironmentError{
		What: fmt.Sprintf("the run took longer than %s", kit.RunTimeout), Do: "select less, or run more workers with --workers"})
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	claimed := filepath.Join(temp, "claims")
	if err := os.Mkdir(claimed, 0o700); err != nil {
		return &vm.EnvironmentError{What: "cannot make a directory for the claims of the workers", Err: err, Do: freeTemporary}
	}
	o.Kit.Lab.Templates = filepath.Join(temp, "templates")
	seen, unloads := newPassive(), newPassive()
	var workers sync.WaitGroup
	for number := range plan.Workers {
		s := &share{orders: ordersFor(o, number, plan.Specs), temp: temp, limits: waits, progress: show, journal: journal, passive: seen, unloads: unloads}
		s.orders.Claims = claims(claimed)
		workers.Go(func() {
			if err := s.run(ctx); err != nil {
				stop(err)
			}
		})
	}
	workers.Wait()
	if again := undecided(plan.Specs, journal.Run().Results); len(again) > 0 && ctx.Err() == nil {
		show.more(len(again))
		show.say("%s could not be judged, and will run once more with the machine for themselves", specCount(len(again)))
		s := &share{orders: ordersFor(o, plan.Workers, again), temp: temp, limits: waits, progress: show, journal: journal, passive: seen, unloads: unloads}
		if err := s.run(ctx); err != nil {
			stop(err)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return record(journal, append(seen.doubts(), plan.leftOut(o.Selection.Shard)...))
}

// leftOut says of the clauses of specs that take minutes that these were not run. The first shard speaks for all.
func (p *Plan) leftOut(shard *verdict.Shard) []verdict.Result {
	if shard != nil && shard.Index != 1 {
		return nil
	}
	var results []verdict.Result
	for _, spec := range p.LeftOut {
		for _, id := range spec.Clauses {
			results = append(results, verdict.Result{
				Clause: id, Spec: spec.Name, Verdict: verdict.Skip, Reason: verdict.NotSelected,
				Message: fmt.Sprintf("it takes %s; --extended runs it, too", spec.Takes), Start: time.Now().UTC(),
			})
		}
	}
	return results
}

// undecided are the specs that never got to judge the subject: a probe showed that the machine was at fault, or they could not
// be prepared. What failed is not among them: it stays failed.
func undecided(specs []Spec, results []verdict.Result) []Spec {
	doubtful := make(map[string]bool)
	for _, r := range results {
		doubtful[r.Spec] = doubtful[r.Spec] || r.Undecided()
	}
	return slices.DeleteFunc(slices.Clone(specs), func(s Spec) bool { return !doubtful[s.Name] })
}

func specCount(n int) string {
	if n == 1 {
		return "1 spec"
	}
	return fmt.Sprintf("%d specs", n)
}

func ordersFor(o Options, number int, specs []Spec) orders {
	// Each goes through the specs in an order of its own, so that not all of them are at those that only wait.
	given := orders{Number: number, Seed: o.Seed + int64(number), Kit: o.Kit, Rerun: o.Rerun}
	given.Kit.ReportDir = o.ReportDir
	given.Kit.Lab.Dir = filepath.Join(o.ReportDir, machinesDir, strconv.Itoa(number))
	given.Kit.Lab.Rails = max(given.Kit.Lab.Rails, railsFor(specs))
	for _, spec := range specs {
		given.Specs = append(given.Specs, spec.Name)
	}
	return given
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
