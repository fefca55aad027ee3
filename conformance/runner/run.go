// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/suites/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/vm/image"
)

// Options say what a user wants of a run.
type Options struct {
	Selection    Selection
	Subjects     []verdict.Subject // one target and one initiator
	Image        image.Spec        // what the hosts of the labs boot
	Kit          kit.Config        // the lab and the subjects; image and directories are filled in by Run
	ReportDir    string            // where journal, reports and evidence go
	Baseline     *verdict.Baseline // expected failures; nil for none
	BaselineFile string
	Workers      int      // labs side by side; at least 1
	Seed         int64    // of the order of specs
	Tool         string   // version of the program
	Command      []string // as the user typed it
	Rerun        string   // how to run one spec again; %s is its name
}

// Plan is what a run would do.
type Plan struct {
	Specs    []Spec        // chosen, in tree order
	Workers  int           // that have something to do
	Estimate time.Duration // of the specs alone, without the boot of the labs
	shares   [][]Spec
	claims   *claim.Claims
}

// Uncovered lists the clauses of a filter that no spec of the whole suite decides.
func (p *Plan) Uncovered(filter clauses.Filter) []clauses.Clause { return p.claims.Uncovered(filter) }

// Claims reads which specs decide which clauses. The error is that of a suite which does not fit the catalogue.
func Claims(catalogue *clauses.Catalogue) (*claim.Claims, error) {
	return claim.Check(catalogue, ginkgo.PreviewSpecs(suiteName))
}

// NewPlan chooses and divides the specs. An error is about usage: a selection that names what is not there, or a suite that
// does not fit the catalogue.
func NewPlan(catalogue *clauses.Catalogue, o Options) (*Plan, error) {
	preview := ginkgo.PreviewSpecs(suiteName)
	claims, err := claim.Check(catalogue, preview)
	if err != nil {
		return nil, err
	}
	picked, err := o.Selection.pick(specsOf(preview), catalogue)
	if err != nil {
		return nil, err
	}
	picked = applicable(picked, catalogue, clauseSubjects(o.Subjects))
	shares := divide(picked, max(1, o.Workers))
	return &Plan{Specs: picked, Workers: len(shares), Estimate: estimate(shares), shares: shares, claims: claims}, nil
}

func clauseSubjects(subjects []verdict.Subject) []clauses.Subject {
	list := make([]clauses.Subject, len(subjects))
	for i, s := range subjects {
		list[i] = s.Subject
	}
	return list
}

// Run carries out a plan. It shows its progress on out, writes the journal and all reports, and returns the outcome. An
// *EnvironmentError, or one of package image or qemu, says why nothing could be judged at all; a run that was interrupted or
// lost a worker on the way has an outcome that says so.
func Run(ctx context.Context, catalogue *clauses.Catalogue, o Options, plan *Plan, out io.Writer) (*verdict.Outcome, error) {
	if err := os.MkdirAll(o.ReportDir, 0o755); err != nil {
		return nil, &EnvironmentError{fmt.Sprintf("cannot make the directory of the report: %v; choose another with --report", err)}
	}
	show := newProgress(out, len(plan.Specs))
	defer show.stop()
	var err error
	if o.Kit.Lab.Image, err = image.Build(ctx, o.Image, func(step string) { show.say("%s %s", show.clock(), step) }); err != nil {
		return nil, err
	}
	journal, err := verdict.Create(filepath.Join(o.ReportDir, report.JournalFile), catalogue, header(o, plan))
	if err != nil {
		return nil, err
	}
	defer journal.Close()

	runErr := runShares(ctx, o, plan, show, journal)
	show.stop()
	if runErr == nil {
		if err := journal.Finish(time.Now().UTC()); err != nil {
			return nil, err
		}
	}
	outcome, err := verdict.Judge(catalogue, journal.Run())
	if err != nil {
		return nil, err
	}
	return outcome, errors.Join(report.WriteAll(o.ReportDir, outcome), runErr)
}

// header says what is run, as far as it is known before the labs are up.
func header(o Options, plan *Plan) verdict.Header {
	h := verdict.Header{
		Tool:         o.Tool,
		Command:      o.Command,
		Start:        time.Now().UTC(),
		Seed:         o.Seed,
		Selection:    o.Selection.String(),
		Subjects:     o.Subjects,
		BaselineFile: o.BaselineFile,
		Specs:        make(map[string][]string),
		Environment: verdict.Environment{
			Host:     hostName(),
			Kernel:   kernelRelease(),
			CPUs:     runtime.NumCPU(),
			Packages: o.Kit.Lab.Image.Manifest.Packages,
			Guest:    o.Kit.Lab.Image.Manifest.Release,
		},
	}
	if o.Baseline != nil {
		h.Baseline = o.Baseline.Expected
	}
	for _, spec := range plan.Specs {
		for _, id := range spec.Clauses {
			h.Specs[id] = append(h.Specs[id], spec.Name)
		}
	}
	return h
}

// runShares runs all workers to their end. The first that cannot go on stops the others.
func runShares(ctx context.Context, o Options, plan *Plan, show *progress, journal *verdict.Writer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var workers sync.WaitGroup
	for number, specs := range plan.shares {
		s := &share{orders: ordersFor(o, number, specs), progress: show, journal: journal}
		workers.Go(func() {
			if err := s.run(ctx); err != nil {
				stop(err)
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func ordersFor(o Options, number int, specs []Spec) orders {
	given := orders{Number: number, Seed: o.Seed, Kit: o.Kit, Rerun: o.Rerun}
	given.Kit.ReportDir = o.ReportDir
	given.Kit.Lab.Dir = filepath.Join(o.ReportDir, "machines", fmt.Sprint(number))
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
