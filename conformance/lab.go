// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	_ "github.com/ibnbd/ibnbd/conformance/ibnbd/specs" // the specs
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// Lab judges a target and an initiator against each other, on virtual machines.
type Lab struct {
	Target     string // what is under test as the target, one of kit.Implementations; "" stands for mainline
	Initiator  string // the same for the initiator
	Kernel     string // of the guests, one of image.Kernels(); "" stands for image.DefaultKernel
	MTU        int    // of the guests' network cards in bytes, vm.MinMTU to vm.MaxMTU; 0 stands for vm.LargeMTU
	StaticKeys bool   // run the target without key refresh
	Workers    int    // labs side by side; 0 stands for one
	Seed       int64  // of the order of the specs; 0 chooses one
	Settings
}

// ErrNothingSelected is that of a selection which leaves no spec.
var ErrNothingSelected = errors.New("conformance: no spec is selected")

// Run boots the labs and runs the specs. Its progress is written to out. The error says why nothing could be judged, or why
// not all; in the latter case there is an outcome beside it. The program must call [Worker] first of all.
func (l Lab) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	catalogue, err := clauses.Load()
	if err != nil {
		return nil, err
	}
	o, err := l.Options()
	if err != nil {
		return nil, err
	}
	plan, err := runner.NewPlan(catalogue, o)
	if err != nil {
		return nil, err
	}
	if len(plan.Specs) == 0 {
		return nil, ErrNothingSelected
	}
	return runner.Run(ctx, catalogue, o, plan, out)
}

// Options are what package runner wants to know for such a run.
func (l Lab) Options() (runner.Options, error) {
	l.Target, l.Initiator = cmp.Or(l.Target, kit.Mainline), cmp.Or(l.Initiator, kit.Mainline)
	l.Kernel, l.MTU = cmp.Or(l.Kernel, image.DefaultKernel), cmp.Or(l.MTU, vm.LargeMTU)
	l.Workers, l.Seed = cmp.Or(l.Workers, 1), cmp.Or(l.Seed, time.Now().UnixNano())
	if err := l.check(); err != nil {
		return runner.Options{}, err
	}
	keys := subject.KeyMode(!l.StaticKeys)
	return runner.Options{
		Selection: l.Selection,
		Subjects:  subjects(l, keys),
		Image:     image.Spec{Kernel: l.Kernel, Modules: []string{"rnbd"}},
		Kit: kit.Config{
			Lab:    vm.Spec{Hosts: []string{"server", "client"}, MTU: l.MTU},
			Target: l.Target, Initiator: l.Initiator, Options: subject.TargetOptions{Keys: keys}, KeepAll: l.KeepEvidence,
		},
		ReportDir: l.ReportDir, Baseline: l.Baseline, Workers: l.Workers, Seed: l.Seed, Tool: l.tool(), Rerun: rerun,
	}, nil
}

// mostWorkers is more than any machine has memory for.
const mostWorkers = 64

func (l Lab) check() error {
	for field, name := range map[string]string{"Target": l.Target, "Initiator": l.Initiator} {
		if !slices.Contains(kit.Implementations, name) {
			return refuse("%s %q is not one of %s", field, name, strings.Join(kit.Implementations, ", "))
		}
	}
	switch {
	case !slices.Contains(image.Kernels(), l.Kernel):
		return refuse("Kernel %q is not one of %s", l.Kernel, strings.Join(image.Kernels(), ", "))
	case l.MTU < vm.MinMTU || l.MTU > vm.MaxMTU:
		return refuse("MTU %d is outside %d to %d", l.MTU, vm.MinMTU, vm.MaxMTU)
	case l.Workers < 1 || l.Workers > mostWorkers:
		return refuse("Workers %d is outside 1 to %d", l.Workers, mostWorkers)
	}
	return l.Settings.check()
}

// Worker does a share of a run and ends the process, if that is what [Lab.Run] has started it for; otherwise it returns at once. A
// program that runs labs calls it before anything else.
func Worker() {
	if len(os.Args) != 2 || os.Args[1] != runner.WorkerArgument {
		return
	}
	if err := runner.Work(context.Background(), os.Stdin); err != nil {
		os.Exit(int(verdict.ExitEnvironment)) // the supervisor knows more
	}
	os.Exit(int(verdict.ExitHolds))
}
