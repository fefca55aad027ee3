// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/srp/loopback"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// initiatorTrial is an initiator that is provoked.
type initiatorTrial struct {
	spoil func(*loopback.InitiatorSettings) // makes a mutant of it
	only  []string                          // unless empty, names the provocations that must find it
}

// initiator makes a mutant of the reference's initiator.
func initiator(name, what, clause string, spoil func(*loopback.InitiatorSettings), only ...string) mutant.Mutant {
	return mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Client, Trial: initiatorTrial{spoil, only}}
}

// breaks makes a mutant of an initiator with a rule turned off.
func breaks(name, what, clause string, change func(*srp.InitiatorRules), only ...string) mutant.Mutant {
	return initiator(name, what, clause, func(s *loopback.InitiatorSettings) { change(&s.Rules) }, only...)
}

// patient makes a mutant of an initiator with a rule turned off, which otherwise takes its time: it probes nothing, and waits for a minute
// for what is not answered.
func patient(name, what, clause string, change func(*srp.InitiatorRules), only ...string) mutant.Mutant {
	slow := func(cfg *srp.PortConfig) { cfg.Timers.Probe, cfg.Timers.ProbeDeadline = srp.Off, time.Minute }
	m := timed(name, what, clause, slow, only...)
	t := m.Trial.(initiatorTrial)
	spoil := t.spoil
	t.spoil = func(s *loopback.InitiatorSettings) {
		spoil(s)
		change(&s.Rules)
	}
	m.Trial = t
	return m
}

// timed makes a mutant of an initiator whose ports have other timers than it says.
func timed(name, what, clause string, change func(*srp.PortConfig), only ...string) mutant.Mutant {
	return initiator(name, what, clause, func(s *loopback.InitiatorSettings) {
		before := s.Port
		s.Port = func(cfg *srp.PortConfig) {
			before(cfg)
			change(cfg)
		}
	}, only...)
}

// Specs are the provocations that decide one of the clauses.
func (t initiatorTrial) Specs(clauses []string) []mutant.Spec {
	var all []mutant.Spec
	for _, c := range provocations.All() {
		decides := slices.ContainsFunc(clauses, func(id string) bool { return slices.Contains(c.Clauses, id) || id == provocations.Survival })
		if !decides || len(t.only) > 0 && !slices.Contains(t.only, c.Name) {
			continue
		}
		all = append(all, mutant.Spec{
			Name: c.Spec(),
			Run:  func(ctx context.Context, on mutant.Subject) (mutant.Findings, error) { return t.provoke(ctx, c, on) },
		})
	}
	return all
}

// second is the unit of the timers that provocations set.
const second = 300 * time.Millisecond

// scaled makes the timers of a port as much shorter.
func scaled(cfg *srp.PortConfig) {
	t := &cfg.Timers
	t.Probe, t.ProbeDeadline, t.AttemptMax, t.ReconnectDelayMax = 3*second, 15*second, 10*second, 2*second
	cfg.TaskTimeout, cfg.LogoutTime = 5*second, second
}

// asConfigured is an initiator whose timers are those of its configuration, whatever a mutant makes of them.
type asConfigured struct {
	provocations.Initiator
	timers provocations.Timers
}

// Timers are those that were said.
func (i asConfigured) Timers() provocations.Timers { return i.timers }

// said are the timers of [scaled].
func said() provocations.Timers {
	cfg := srp.DefaultPortConfig()
	scaled(&cfg)
	return provocations.Timers{
		Probe: cfg.Timers.Probe, Deadline: cfg.Timers.ProbeDeadline, AttemptMax: cfg.Timers.AttemptMax, ReconnectDelayMax: cfg.Timers.ReconnectDelayMax,
		Gap: srp.DefaultInitiatorConfig().Gap, Task: cfg.TaskTimeout, Logout: cfg.LogoutTime,
	}
}

// provoke executes one provocation against an initiator of its own.
func (t initiatorTrial) provoke(ctx context.Context, c provocations.Provocation, on mutant.Subject) (mutant.Findings, error) {
	i, err := loopback.StartInitiator(c.Needs(), func(s *loopback.InitiatorSettings) {
		s.Port = scaled
		if on.Broken {
			t.spoil(s)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("start an initiator: %w", err)
	}
	setup := i.Setup()
	setup.Initiator, setup.Patience, setup.Second = asConfigured{i, said()}, on.Patience, second
	err = provocations.Execute(ctx, setup, c)
	if closed := i.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the initiator has left something behind: %w", closed))
	}
	return mutant.FindingsOf(ctx, err, on)
}
