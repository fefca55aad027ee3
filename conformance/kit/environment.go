// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// Config says what is under test, and where.
type Config struct {
	Lab       vm.Spec // the two hosts and their rails
	Target    string  // name of an implementation, as [Implementations] has it
	Initiator string
	Reference *subject.Reference    // the programs of the implementation "reference", if that is under test
	Options   subject.TargetOptions // with which the target serves, unless a spec says otherwise
	ReportDir string                // where evidence goes
	KeepAll   bool                  // keep the evidence of specs that passed, too
	Mutants   map[string]string     // by the name of a spec: the mutant that it has to do with, see [AlterBy]
}

// The names of implementations.
const (
	Mainline  = "mainline"
	Reference = "reference"
)

// Implementations are the names that a Config can have.
var Implementations = []string{Mainline, Reference}

// target makes the target of the configuration.
func (c Config) target(h *vm.Host) subject.Target {
	if c.Target != Reference {
		return subject.NewMainlineTarget(h, c.Lab.Image.Manifest.Release)
	}
	var listen []netip.Addr
	for _, nic := range h.NICs() {
		listen = append(listen, nic.IPv4.Addr(), nic.IPv6.Addr())
	}
	return subject.NewReferenceTarget(h, c.Reference, listen)
}

// initiator makes the initiator of the configuration.
func (c Config) initiator(h *vm.Host) subject.Initiator {
	if c.Initiator != Reference {
		return subject.NewMainlineInitiator(h, c.Lab.Image.Manifest.Release)
	}
	return subject.NewReferenceInitiator(h, c.Reference)
}

// environment is what this process has: one lab with one pair.
type environment struct {
	config     Config
	pair       *Pair
	baselines  map[*vm.Host]resources
	evidence   *evidence        // of the running spec
	passive    []verdict.Result // what the packets of the last spec told
	starvation *starvation      // how the host treats the guests
	durable    *durable         // a disk of the target's machine
	broken     bool             // a spec has left a host in a state that the next one must not inherit
	admit      func() bool      // whether the spec that is to begin runs here; nil stands for yes
}

var env environment

// Configure says what is under test. It is called once, before the suite runs.
func Configure(c Config) { env.config = c }

// AdmitBy has a function asked before each spec whether it runs here. Where it does not, the spec is skipped before anything is
// done for it: processes that have the same specs divide them so.
func AdmitBy(admit func() bool) { env.admit = admit }

// Current is the pair of the running spec.
func Current() *Pair {
	if env.pair == nil {
		ginkgo.AbortSuite("kit: a spec runs without a lab: Boot was not called, or failed")
	}
	return env.pair
}

// Boot starts the lab and both subjects. The error is one sentence for the user.
func Boot(ctx context.Context) error {
	spec := env.config.Lab
	durable, err := provideDurable(&spec, spec.Hosts[0])
	if err != nil {
		return &vm.EnvironmentError{What: "make a disk for the target's machine", Err: err, Do: "free space in " + os.TempDir()}
	}
	env.durable = durable
	lab, err := vm.Start(ctx, spec)
	if err != nil {
		return errors.Join(err, durable.close())
	}
	target, initiator := lab.Hosts()[0], lab.Hosts()[1]
	p := &Pair{
		Lab:           lab,
		TargetHost:    target,
		InitiatorHost: initiator,
		Server:        Hand{target},
		Client:        Hand{initiator},
		targetOptions: env.config.Options,
		unpacked:      make(map[*agent.Client]map[string]bool),
		Target:        env.config.target(target),
		Initiator:     env.config.initiator(initiator),
	}
	if err := p.start(ctx); err != nil {
		err = &vm.EnvironmentError{What: "start the subjects", Err: err, Do: "read the kernel logs in " + lab.Dir()}
		return errors.Join(err, lab.Close(), durable.close())
	}
	env.pair = p
	env.starvation = watchStarvation(lab.Hosts()...)
	return nil
}

// start makes both subjects ready and notes what they need when they are idle.
func (p *Pair) start(ctx context.Context) error {
	if err := p.Target.Start(ctx, p.targetOptions); err != nil {
		return err
	}
	if err := p.Initiator.Start(ctx); err != nil {
		return err
	}
	env.baselines = make(map[*vm.Host]resources)
	for _, h := range []*vm.Host{p.TargetHost, p.InitiatorHost} {
		idle, err := rdmaResources(ctx, h)
		if err != nil {
			return err
		}
		env.baselines[h] = idle
	}
	return nil
}

// Shutdown takes both subjects down, which must leave nothing loaded, and then the lab. The results say how the subjects took
// it; the error is of the lab.
func Shutdown(ctx context.Context) ([]verdict.Result, error) {
	p := env.pair
	if p == nil {
		return nil, nil
	}
	env.pair = nil
	env.starvation.stop()
	results := []verdict.Result{
		unloaded(ctx, "IBNBD-FAIL-012", clauses.Initiator, p.Initiator.Stop),
		unloaded(ctx, "IBNBD-FAIL-011", clauses.Target, p.Target.Stop),
	}
	return results, errors.Join(p.Lab.Close(), env.durable.close())
}

// unloaded takes a subject down and gives the result of that for a clause.
func unloaded(ctx context.Context, clause string, role clauses.Role, stop func(context.Context) error) verdict.Result {
	r := verdict.Result{Clause: clause, Role: role, Spec: "the " + string(role) + " unloads after all specs", Verdict: verdict.Pass, Start: time.Now().UTC()}
	if err := stop(ctx); err != nil {
		r.Verdict, r.Reason, r.Message = verdict.Fail, verdict.LeftBehind, err.Error()
	}
	r.Duration = time.Since(r.Start)
	return r
}
