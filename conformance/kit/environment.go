// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"os"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/vm"
)

// Config says what is under test, and where.
type Config struct {
	Protocol  string                    // name of the protocol that the subjects speak
	Lab       vm.Config                 // the two hosts and their rails
	Target    string                    // name of an implementation of the protocol
	Initiator string                    // the same for the initiator
	Programs  string                    // directory with what was compiled of these implementations
	Version   string                    // of the implementations of this project
	Abilities map[clauses.Ability]bool  // that the target is to have, or to lack, where its owner can choose
	Settings  map[clauses.Role][]string // that the implementations are started with, of the form NAME=VALUE
	ReportDir string                    // where evidence goes
	KeepAll   bool                      // keep the evidence of specs that passed, too
	Mutants   map[string]string         // by the name of a spec: the mutant that it has to do with; see [Protocol]
}

// environment is what this process has: one testbed with its subjects.
type environment struct {
	config     Config
	protocol   Protocol
	testbed    *Testbed
	subjects   Subjects
	baselines  map[*vm.Host]resources
	evidence   *evidence        // of the running spec
	passive    []verdict.Result // what the packets of the last spec told
	starvation *starvation      // how the host treats the guests
	transport  string           // why nobody could connect any more in the last spec; see deadTransport
	caught     bool             // the kernel of a host has reported something in the last spec, or a host has died
	durable    *durable         // a disk of the target's machine
	broken     bool             // a spec has left a host in a state that the next one must not inherit
	admit      func() bool      // whether the spec that is to begin runs here; nil stands for yes
}

var env environment

// Configure says what is under test. It is called once, before the suite runs.
func Configure(c Config, p Protocol) { env.config, env.protocol = c, p }

// AdmitBy has a function asked before each spec whether it runs here. Where it does not, the spec is skipped before anything is
// done for it: processes that have the same specs divide them so.
func AdmitBy(admit func() bool) { env.admit = admit }

// Current gives the subjects of the running spec.
func Current() Subjects {
	if env.subjects == nil {
		ginkgo.AbortSuite("kit: a spec runs without a lab: Boot was not called, or failed")
	}
	return env.subjects
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
	t := newTestbed(lab)
	subjects, err := env.protocol.NewSubjects(t, env.config)
	if err == nil {
		err = start(ctx, t, subjects)
	}
	if err != nil {
		err = &vm.EnvironmentError{What: "start the subjects", Err: err, Do: "read the kernel logs in " + lab.Dir()}
		return errors.Join(err, lab.Close(), durable.close())
	}
	env.testbed, env.subjects = t, subjects
	env.starvation = watchStarvation(lab.Hosts()...)
	return nil
}

// start makes both subjects ready and notes what they need when they are idle.
func start(ctx context.Context, t *Testbed, subjects Subjects) error {
	if err := subjects.Start(ctx); err != nil {
		return err
	}
	env.baselines = make(map[*vm.Host]resources)
	for _, h := range t.hosts() {
		idle, err := rdmaResources(ctx, h)
		if err != nil {
			return err
		}
		env.baselines[h] = idle
	}
	return nil
}

// Shutdown takes both subjects down, which must leave nothing loaded, and then the lab. The results say how the subjects took
// it; there are none when the last spec has broken a machine, for which there is no other any more. The error is of the lab.
func Shutdown(ctx context.Context) ([]verdict.Result, error) {
	if env.subjects == nil {
		return nil, nil
	}
	subjects := env.subjects
	env.subjects = nil
	env.starvation.stop()
	var results []verdict.Result
	if noteBroken(); !env.broken {
		leaks, err := findLeaks(ctx, env.testbed.hosts())
		if err != nil {
			return nil, errors.Join(err, env.testbed.Lab.Close(), env.durable.close())
		}
		results = blameLeaks(subjects.Stop(ctx), leaks)
	}
	return results, errors.Join(env.testbed.Lab.Close(), env.durable.close())
}
