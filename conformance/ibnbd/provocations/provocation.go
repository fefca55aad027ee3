// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// Provocation is one thing that servers do to an initiator.
type Provocation struct {
	Name    string   // unique; says what servers do, behind [Group]
	Clauses []string // that it decides, beside Survival
	Servers int      // devices for servers that it needs; 0 means 1
	Slow    bool     // it waits for the initiator's timers
	Costly  bool     // some initiator needs its longest timers to get over it
	// Instead is the clause that decides instead of Survival whether the initiator lives on: of a provocation that is known
	// to be more than some initiator can take.
	Instead string
	// Run does it and judges the initiator. Its error is a *tester.Violation when a clause is broken.
	Run func(ctx context.Context, p *Execution) error
}

// Group is how the names of specs begin that are provocations.
const Group = "provocation where"

// Spec is the name of the spec, in every kind of run.
func (c Provocation) Spec() string { return Group + " " + c.Name }

// Survival is the clause that every provocation decides: whatever a server does, the initiator lives on, uses its other
// servers and maps new disks.
const Survival = "IBNBD-FAIL-023"

// What Survival becomes for provocations that are known to bring some initiator down, to make its kernel complain, or to leave
// it with a session that does not end.
const (
	SurvivalDeadly  = "IBNBD-FAIL-024"
	SurvivalWarning = "IBNBD-FAIL-025"
	SurvivalHanging = "IBNBD-FAIL-026"
)

// Survives is the clause that decides whether the initiator lives on.
func (c Provocation) Survives() string { return cmp.Or(c.Instead, Survival) }

// Needs is the number of devices for servers that the provocation needs.
func (c Provocation) Needs() int { return max(1, c.Servers) }

// All are all provocations.
func All() []Provocation {
	all := slices.Concat(connecting(), informing(), responding(), keying(), opening(), serving(), leaving(), losing(), givingUp(), returning(), promising(), waiting())
	for i := range all {
		all[i].note()
	}
	return all
}

// limit is how long one thing may take that the initiator is asked for: longer than any timer of a single attempt, so that
// who reaches it is stuck.
const limit = 75 * time.Second

// Execute has the initiator use an ordinary disk, provokes it, and then looks whether it still uses that disk, and maps that
// of a conforming server. The error of a broken clause is a *tester.Violation; when several are broken, that of survival comes
// first.
func Execute(ctx context.Context, on Setup, c Provocation) (err error) {
	on.Patience = cmp.Or(on.Patience, DefaultPatience)
	ordinary := &Execution{setup: on}
	defer func() { err = errors.Join(err, ordinary.close(ctx)) }()
	b, err := newBystander(ctx, ordinary)
	if err != nil {
		return finding.NotReady(fmt.Errorf("before the provocation: %w", err))
	}
	e := &Execution{setup: on}
	provoked := finding.NotReady(c.Run(ctx, e))
	if err := e.close(ctx); errors.Is(provoked, errStuck) {
		return errors.Join(tester.Broken(c.Survives(), "%v", provoked), err)
	} else if err != nil {
		return errors.Join(tester.Broken(c.Survives(), "afterwards: %v", err), provoked)
	}
	if err := b.served(ctx); err != nil {
		return errors.Join(tester.Broken(c.Survives(), "the disk of an ordinary server is not served any more: %v", err), provoked)
	}
	if err := newServer(ctx, on); err != nil {
		return errors.Join(tester.Broken(c.Survives(), "the disk of a conforming server cannot be used: %v", err), provoked)
	}
	return provoked
}

// bystander is a disk of an ordinary server.
type bystander struct{ disk Disk }

func newBystander(ctx context.Context, p *Execution) (*bystander, error) {
	d, err := p.take(ctx, p.setup.Initiator.MapOrdinary)
	if err != nil {
		return nil, err
	}
	b := &bystander{d}
	return b, b.served(ctx)
}

// served writes to the disk and reads it.
func (b *bystander) served(ctx context.Context) error { return Usable(ctx, b.disk) }

// newServer has the initiator map and use a disk of a conforming server, on the device of the first that has provoked it.
func newServer(ctx context.Context, on Setup) (err error) {
	p := &Execution{setup: on}
	defer func() { err = errors.Join(err, p.close(ctx)) }()
	_, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	return errors.Join(Usable(ctx, d), p.unmap(ctx, d))
}
