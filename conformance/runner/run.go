// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// Options say what a user wants of a run.
type Options struct {
	Settings
	Subjects        []verdict.Subject      // one target and one initiator
	Implementations []implementation.Facts // of the subjects
	Image           image.Config           // what the hosts of the labs boot
	Brought         []string               // what of that a user has brought, in words
	Kit             kit.Config             // the lab and the subjects; image, accelerator, programs and directories are filled in by Run
	Workers         int                    // labs side by side; at least 1
	Seed            int64                  // of the order of specs
}

// Run carries out a plan. It shows its progress on out, writes the journal and all reports, and returns the outcome. A
// *vm.EnvironmentError says why nothing could be judged at all; a run that was interrupted or lost a worker on the way has an
// outcome beside the error, as far as it came.
func Run(ctx context.Context, catalogue *clauses.Catalogue, o Options, plan *Plan, out io.Writer) (*verdict.Outcome, error) {
	return o.execute(ctx, catalogue, plan, &labRun{o, plan}, out)
}

// labRun is one run in labs.
type labRun struct {
	options Options
	plan    *Plan
}

// prepare makes what all labs share: the guests' image, and the choice of how guests run.
func (r *labRun) prepare(ctx context.Context, show *progress) (place, error) {
	o := &r.options
	if err := vm.Check(o.Kit.Lab, r.plan.Workers); err != nil {
		return place{}, err
	}
	made, err := image.Build(ctx, o.Image, func(step string) { show.say("%s", step) })
	if err != nil {
		return place{}, err
	}
	o.Kit.Lab.Image = made
	if o.BaselineReason != "" {
		show.say("baseline: %s", o.BaselineReason)
	}
	choice, err := vm.PickAccelerator(ctx, o.Kit.Lab)
	if err != nil {
		return place{}, err
	}
	o.Kit.Lab.Accelerator = choice.Accelerator
	if err := o.build(ctx, show); err != nil {
		return place{}, err
	}
	show.say("guests run on %s: %s", choice.Accelerator, brief(choice.Reason))
	return place{
		subjects: o.named(made.Manifest), seed: o.Seed,
		environment: verdict.Environment{
			Packages: made.Manifest.Packages, Guest: made.Manifest.Release, Accelerator: string(choice.Accelerator), IOMMU: o.Kit.Lab.IOMMU,
			GuestKernel: made.Manifest.Kernel, Modules: made.Manifest.Contents, Brought: o.Brought,
		},
	}, nil
}

// named are the subjects with their kernel modules, each by its content. The implementations stand in the order of the subjects.
func (o *Options) named(m image.Manifest) []verdict.Subject {
	subjects := slices.Clone(o.Subjects)
	for i, f := range o.Implementations {
		for _, module := range f.KernelModules {
			content, there := m.Contents[module]
			if !there {
				continue
			}
			if subjects[i].Versions == nil {
				subjects[i].Versions = make(map[string]string)
			}
			subjects[i].Versions[module] = content
		}
	}
	return subjects
}

func (r *labRun) run(ctx context.Context, show *progress, journal *verdict.Writer) error {
	return runWorkers(ctx, r.options, r.plan, usual, show, journal)
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
	given.Kit.ReportDir, given.Kit.KeepAll = o.ReportDir, o.KeepEvidence
	given.Kit.Lab.Dir = filepath.Join(o.ReportDir, machinesDir, strconv.Itoa(number))
	given.Kit.Lab.Rails = max(given.Kit.Lab.Rails, railsFor(specs))
	for _, spec := range specs {
		given.Specs = append(given.Specs, spec.Name)
	}
	return given
}
