// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Pair is a testbed with an initiator and a target of IBNBD over IBTRS, and everything that the running spec has made with them.
type Pair struct {
	*kit.Testbed
	Target    subject.Target
	Initiator subject.Initiator

	targetOptions subject.TargetOptions // with which the target serves now
	named         int                   // names given out by unique
	exports       []subject.Export      // that the running spec has made
}

// Current is the pair of the running spec.
func Current() *Pair {
	p, is := kit.Current().(*Pair)
	if !is {
		ginkgo.AbortSuite("pair: a spec of IBNBD runs in the lab of another protocol")
	}
	return p
}

// New makes the pair of a configuration on a testbed.
func New(t *kit.Testbed, c kit.Config) (kit.Subjects, error) {
	target, err := newTarget(t, c)
	if err != nil {
		return nil, err
	}
	initiator, err := newInitiator(t, c)
	if err != nil {
		return nil, err
	}
	options := subject.TargetOptions{Keys: subject.KeyMode(c.Abilities[clauses.KeyRefresh])}
	return &Pair{Testbed: t, Target: target, Initiator: initiator, targetOptions: options}, nil
}

// Names are those that the initiator uses in sysfs.
func (p *Pair) Names() subject.Names { return subject.NamesOf(p.Initiator.Info().Dialect) }

// TargetNames are those that the target uses in sysfs.
func (p *Pair) TargetNames() subject.Names { return subject.NamesOf(p.Target.Info().Dialect) }

// TargetOptions are those with which the target serves now.
func (p *Pair) TargetOptions() subject.TargetOptions { return p.targetOptions }

// Path is the IPv4 path over a rail.
func (p *Pair) Path(rail int) subject.PathAddr {
	return subject.PathAddr{Source: p.InitiatorHost.NIC(rail).IPv4.Addr(), Destination: p.TargetHost.NIC(rail).IPv4.Addr()}
}

// Path6 is the IPv6 path over a rail.
func (p *Pair) Path6(rail int) subject.PathAddr {
	return subject.PathAddr{Source: p.InitiatorHost.NIC(rail).IPv6.Addr(), Destination: p.TargetHost.NIC(rail).IPv6.Addr()}
}

// Start makes both subjects ready.
func (p *Pair) Start(ctx context.Context) error {
	if err := p.Target.Start(ctx, p.targetOptions); err != nil {
		return err
	}
	return p.Initiator.Start(ctx)
}

// TakeDown gives up every device by force, and then the exports.
func (p *Pair) TakeDown(ctx context.Context) error { return p.unmapAll(ctx) }

// Stop takes both subjects down. That they unload is a clause for each.
func (p *Pair) Stop(ctx context.Context) []verdict.Result {
	return []verdict.Result{
		unloaded(ctx, "IBNBD-FAIL-012", clauses.Initiator, p.Initiator.Stop),
		unloaded(ctx, "IBNBD-FAIL-011", clauses.Target, p.Target.Stop),
	}
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
