// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// clientTrial is a client that is provoked.
type clientTrial struct {
	rules  func(cfg *ibnbd.ClientConfig) // turns rules of it off; may be nil
	filter func(f *filter)               // alters what it gets from scripted servers; may be nil
	only   []string                      // unless empty, names of the provocations that must find it
}

// client makes a mutant of a client with rules turned off.
func client(name, what, clause string, rules func(cfg *ibnbd.ClientConfig)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Client, Trial: clientTrial{rules: rules}}}
}

// misled makes a mutant of a client to which what servers send looks other than it is.
func misled(name, what, clause string, alter func(f *filter)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Client, Trial: clientTrial{filter: alter}}}
}

// with turns rules of a client off that is misled.
func (r row) with(rules func(cfg *ibnbd.ClientConfig)) row {
	t := r.Trial.(clientTrial)
	t.rules = rules
	r.Trial = t
	return r
}

// specs are the provocations that decide one of the clauses.
func (t clientTrial) Specs(clauses []string) []mutant.Spec {
	var all []mutant.Spec
	for _, c := range provocations.All() {
		decides := slices.ContainsFunc(clauses, func(id string) bool { return slices.Contains(c.Clauses, id) || c.Survives() == id })
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

// slowTimers are in the proportions of the real ones, for provocations that wait for them.
var slowTimers = ibtrs.Timers{
	HeartbeatInterval: time.Second, HeartbeatMisses: 5, Connect: 6 * time.Second, Info: 6 * time.Second,
	HalfOpen: 12 * time.Second, Teardown: 6 * time.Second, PacketLifetime: time.Second,
	ReconnectDelay: 6 * time.Second, ReconnectSettle: time.Second, ReconnectSpread: time.Second,
}

// asConfigured is an initiator whose timers are those of its configuration, whatever a mutant makes of them.
type asConfigured struct {
	provocations.Initiator
	timers subject.Timers
}

func (i asConfigured) Timers() subject.Timers { return i.timers }

// MapIn is that of the initiator, which can do so.
func (i asConfigured) MapIn(ctx context.Context, mode ibnbd.IOMode, server netip.Addr) (provocations.Disk, error) {
	return i.Initiator.(provocations.Modal).MapIn(ctx, mode, server)
}

// provoke executes one provocation against a client of its own.
func (t clientTrial) provoke(ctx context.Context, c provocations.Provocation, on mutant.Subject) (mutant.Findings, error) {
	spoil := func(*ibnbd.ClientConfig) {}
	i, err := loopback.StartInitiator(c.Needs(), func(cfg *ibnbd.ClientConfig) {
		if c.Slow {
			cfg.Transport.Timers = slowTimers
		}
		spoil(cfg)
	})
	if err != nil {
		return nil, fmt.Errorf("start an initiator: %w", err)
	}
	told := asConfigured{i, i.Timers()}
	if on.Broken && t.rules != nil {
		spoil = t.rules
	}
	if on.Broken && t.filter != nil {
		t.filter(newFilter(i.Device()))
	}
	setup := i.Setup()
	setup.Initiator, setup.Patience = told, on.Patience
	err = provocations.Execute(ctx, setup, c)
	if closed := i.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the initiator has left something behind: %w", closed))
	}
	return mutant.FindingsOf(ctx, err, on)
}
