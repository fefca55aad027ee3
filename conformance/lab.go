// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/image"
)

// LabRun judges a target and an initiator against each other, on virtual machines.
type LabRun struct {
	Protocol  string // one of [Protocols] that has specs; "" stands for the first
	Target    string // what is under test as the target, an implementation of the protocol; "" stands for the first
	Initiator string // the same for the initiator
	Kernel    string // of the guests, one of image.Kernels() or the path of one; "" stands for image.DefaultKernel
	// ReplaceModules is a directory of modules that take the place of the kernel's; ModuleSources are directories that modules are built
	// from. See image.Config.
	ReplaceModules string
	ModuleSources  []string
	// KernelArguments are more words of the guests' command line.
	KernelArguments []string
	// AsMainline calls what a user has brought by the name of what it takes the place of, so that the baseline of that speaks of it.
	AsMainline bool
	MTU        int  // of the guests' network cards in bytes, vm.MinMTU to vm.MaxMTU; 0 stands for vm.LargeMTU
	IOMMU      bool // have the guests' devices reach memory through an IOMMU
	StaticKeys bool // run the target without key refresh
	// TargetSettings and InitiatorSettings are what the implementations are started with, if they let a run set something; a setting
	// that is not there has its default.
	TargetSettings, InitiatorSettings foreign.Configuration
	Workers                           int   // labs side by side; 0 stands for one
	Seed                              int64 // of the order of the specs; 0 chooses one
	Settings
}

// Run boots the labs and runs the specs. Its progress is written to out. The error says why nothing could be judged, or why
// not all; in the latter case there is an outcome beside it. The program must call [Worker] first of all.
func (l LabRun) Run(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
	p, err := l.Prepare()
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, out)
}

// Prepare checks the settings and chooses the specs.
func (l LabRun) Prepare() (*Prepared, error) {
	o, err := l.Options()
	if err != nil {
		return nil, err
	}
	catalogue := Catalogue()
	plan, err := runner.NewPlan(catalogue, o)
	if err != nil {
		return nil, err
	}
	return &Prepared{plan, func(ctx context.Context, out io.Writer) (*verdict.Outcome, error) {
		return runner.Run(ctx, catalogue, o, plan, out)
	}}, nil
}

// Options are what package runner wants to know for such a run.
func (l LabRun) Options() (runner.Options, error) {
	p, err := l.protocol()
	if err != nil {
		return runner.Options{}, err
	}
	known := p.Implementations
	l.Target, l.Initiator = cmp.Or(l.Target, known[0].Name), cmp.Or(l.Initiator, known[0].Name)
	l.Kernel, l.MTU = cmp.Or(l.Kernel, image.DefaultKernel), cmp.Or(l.MTU, vm.LargeMTU)
	l.Workers, l.Seed = cmp.Or(l.Workers, 1), cmp.Or(l.Seed, time.Now().UnixNano())
	if err := l.check(known); err != nil {
		return runner.Options{}, err
	}
	if l.Settings, err = complete(l.Settings); err != nil {
		return runner.Options{}, err
	}
	target, _ := implementation.Named(known, l.Target)
	initiator, _ := implementation.Named(known, l.Initiator)
	pair := []implementation.Facts{target, initiator}
	if err := checkSettings("TargetSettings", target, clauses.Target, l.TargetSettings); err != nil {
		return runner.Options{}, err
	}
	if err := checkSettings("InitiatorSettings", initiator, clauses.Initiator, l.InitiatorSettings); err != nil {
		return runner.Options{}, err
	}
	// One image serves for every pair, but for modules of our own: they are not written for every kernel.
	guests := image.Config{
		Kernel: l.Kernel, Modules: implementation.Modules(known), Sources: implementation.Sources(pair),
		Replace: l.ReplaceModules, ModuleSources: l.ModuleSources, Arguments: l.KernelArguments,
	}
	id, err := image.Identify(context.Background(), guests)
	if err != nil {
		return runner.Options{}, err
	}
	subjects := l.subjects(target, initiator, id)
	l.Settings.BaselineReason = l.baselineReason(subjects, id)
	return runner.Options{
		Settings:        l.Settings,
		Subjects:        subjects,
		Implementations: pair,
		Image:           guests,
		Brought:         id.What,
		Kit: kit.Config{
			Protocol: p.Name, Lab: vm.Config{Hosts: []string{"server", "client"}, MTU: l.MTU, IOMMU: l.IOMMU},
			Target: l.Target, Initiator: l.Initiator, Abilities: l.abilities(),
			Settings: map[clauses.Role][]string{clauses.Target: l.TargetSettings, clauses.Initiator: l.InitiatorSettings},
		},
		Workers: l.Workers, Seed: l.Seed,
	}, nil
}

// protocol is the one whose specs are run.
func (l LabRun) protocol() (protocol.Protocol, error) {
	name := cmp.Or(l.Protocol, Protocols()[0].Name)
	p, _ := protocol.Named(Protocols(), name)
	if p.Lab == nil {
		return p, refuse("Protocol", "%q is not one that has specs", name)
	}
	return p, nil
}

// abilities are those that this run gives the target, or takes from it.
func (l LabRun) abilities() map[clauses.Ability]bool {
	return map[clauses.Ability]bool{clauses.KeyRefresh: !l.StaticKeys, clauses.StaticKeys: l.StaticKeys}
}

// subjects describes what is under test for the record.
func (l LabRun) subjects(target, initiator implementation.Facts, id image.Identity) []verdict.Subject {
	name := func(f implementation.Facts) string {
		if id.Changed == "" || l.AsMainline {
			return f.FullName(l.Tool, id.Kernel)
		}
		return f.LocalName(l.Tool, id.Kernel, id.Changed)
	}
	return []verdict.Subject{
		{Subject: target.Subject(clauses.Target, l.abilities()), Name: name(target), Configuration: l.TargetSettings.String()},
		{Subject: initiator.Subject(clauses.Initiator, nil), Name: name(initiator), Configuration: l.InitiatorSettings.String()},
	}
}

// baselineReason says which baseline is taken, and why it speaks of the subjects, or does not.
func (l LabRun) baselineReason(subjects []verdict.Subject, id image.Identity) string {
	if l.Baseline == nil {
		return ""
	}
	taken := fmt.Sprintf("%s, %d of whose %d entries are for these subjects: ", l.BaselineFile, l.Baseline.For(subjects), len(l.Baseline.Expected))
	brought := strings.Join(id.What, " and ")
	switch {
	case id.Changed == "":
		return taken + "kernel " + id.Kernel + " is as Debian's source has it"
	case l.AsMainline:
		return taken + brought + " are judged as mainline, as this run was told"
	}
	return taken + brought + " are not mainline's; --baseline mainline judges them as if they were"
}

// checkSettings refuses settings that an implementation cannot be started with.
func checkSettings(field string, f implementation.Facts, role clauses.Role, settings foreign.Configuration) error {
	if len(settings) == 0 {
		return nil
	}
	if err := settings.Check(); err != nil {
		return refuse(field, "%v", err)
	}
	if f.CheckSettings == nil {
		return refuse(field, "%s: %s has nothing that a run can set", settings, f.Name)
	}
	if err := f.CheckSettings(role, settings); err != nil {
		return refuse(field, "%s: %v", settings, err)
	}
	return nil
}

// MostWorkers is more labs than any machine has memory for.
const MostWorkers = 64

func (l LabRun) check(known []implementation.Facts) error {
	names := implementation.Names(known)
	for field, name := range map[string]string{"Target": l.Target, "Initiator": l.Initiator} {
		if !slices.Contains(names, name) {
			return refuse(field, "%q is not one of %s", name, strings.Join(names, ", "))
		}
	}
	switch {
	case !image.IsPath(l.Kernel) && !slices.Contains(image.Kernels(), l.Kernel):
		return refuse("Kernel", "%q is not one of %s, and no path: that has a slash", l.Kernel, strings.Join(image.Kernels(), ", "))
	case l.MTU < vm.MinMTU || l.MTU > vm.MaxMTU:
		return refuse("MTU", "%d is outside %d to %d", l.MTU, vm.MinMTU, vm.MaxMTU)
	case l.Workers < 1 || l.Workers > MostWorkers:
		return refuse("Workers", "%d is outside 1 to %d", l.Workers, MostWorkers)
	}
	return nil
}

// Worker does a share of a run and ends the process, if that is what [LabRun.Run] has started it for; otherwise it returns at once. A
// program that runs labs calls it before anything else.
func Worker() {
	if len(os.Args) != 2 || os.Args[1] != runner.WorkerArgument {
		return
	}
	if err := Work(context.Background(), os.Stdin); err != nil {
		os.Exit(int(verdict.ExitEnvironment)) // the supervisor knows more
	}
	os.Exit(int(verdict.ExitHolds))
}

// Work does a share of a run, of which the orders come from in; see [runner.Work].
func Work(ctx context.Context, in io.Reader) error { return runner.Work(ctx, in, labOf) }
