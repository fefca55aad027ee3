// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
)

// Provocation is one thing that targets do to an initiator.
type Provocation struct {
	Name    string        // unique; says what targets do, behind [Group]
	Clauses []string      // that it decides, beside Survival
	Targets int           // devices for targets that it needs; 0 means 1
	Takes   time.Duration // about so long, beside what needs no timer
	// Run does it and judges the initiator. Its error is a *finding.Violation when a clause is broken.
	Run func(ctx context.Context, e *Execution) error
}

// Group is how the names of specs begin that are provocations.
const Group = "provocation where"

// Spec is the name of the spec, in every kind of run.
func (c Provocation) Spec() string { return Group + " " + c.Name }

// Needs is the number of devices for targets that the provocation needs.
func (c Provocation) Needs() int { return max(1, c.Targets) }

// Survival is the clause that every provocation decides: whatever a target sends, the initiator lives on, uses its other targets, and
// logs in to new ones.
const Survival = "SRP-ROB-001"

// All are all provocations.
func All() []Provocation {
	return slices.Concat(connecting(), responding(), crediting(), losing(), returning(), asking(), keying())
}

// limit is how long one thing may take that the initiator is asked for: longer than any timer of a single attempt, so that who reaches
// it is stuck.
const limit = 100 * time.Second

// OrdinaryPort is where the target listens that only serves.
const OrdinaryPort = 5556

// Execute has the initiator use an ordinary disk, provokes it, and then looks whether it still uses that disk, and logs in to a
// conforming target. When several clauses are broken, that of survival comes first.
func Execute(ctx context.Context, on Setup, c Provocation) (err error) {
	on.Patience, on.Second = cmp.Or(on.Patience, DefaultPatience), cmp.Or(on.Second, time.Second)
	ordinary := &Execution{setup: on}
	defer func() { err = errors.Join(err, ordinary.close(ctx)) }()
	d, err := ordinary.ordinary(ctx)
	if err != nil {
		return finding.NotReady(fmt.Errorf("before the provocation: %w", err))
	}
	e := &Execution{setup: on}
	provoked := inTime(ctx, finding.NotReady(c.Run(ctx, e)))
	if err := e.close(ctx); ctx.Err() != nil {
		return errors.Join(provoked, context.Cause(ctx), err)
	} else if errors.Is(provoked, errStuck) {
		return errors.Join(finding.Broken(Survival, "%v", provoked), err)
	} else if err != nil {
		return errors.Join(finding.Broken(Survival, "afterwards: %v", err), provoked)
	}
	if err := Usable(ctx, d); err != nil {
		return errors.Join(finding.Broken(Survival, "the disk of an ordinary target is not served any more: %v", err), provoked)
	}
	if err := newTarget(ctx, on); err != nil {
		return errors.Join(finding.Broken(Survival, "the disk of a conforming target cannot be used: %v", err), provoked)
	}
	return provoked
}

// inTime leaves the error with which a provocation ends as it is, unless the time of the spec was over: then the initiator is not to
// blame for what has not come, and the error says no more than that.
func inTime(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %s", context.Cause(ctx), err.Error()) // without what it says of clauses
}

// ordinary starts a target that only serves, and has the initiator use its disk.
func (e *Execution) ordinary(ctx context.Context) (Disk, error) {
	v, err := e.serveAt(script.NewPlace(e.setup.Devices[0], OrdinaryPort), script.Script{})
	if err != nil {
		return nil, err
	}
	d, err := e.Add(ctx, v, e.usual())
	if err != nil {
		return nil, err
	}
	return d, Usable(ctx, d)
}

// newTarget has the initiator use a disk of a conforming target, on the device of the first that has provoked it.
func newTarget(ctx context.Context, on Setup) (err error) {
	e := &Execution{setup: on}
	defer func() { err = errors.Join(err, e.close(ctx)) }()
	_, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	return errors.Join(Usable(ctx, d), e.delete(ctx, d))
}

// UseOrdinary has an initiator log in to an ordinary target, write, read and log out.
func UseOrdinary(ctx context.Context, on Setup) (err error) {
	on.Patience, on.Second = cmp.Or(on.Patience, DefaultPatience), cmp.Or(on.Second, time.Second)
	e := &Execution{setup: on}
	defer func() { err = errors.Join(err, e.close(ctx)) }()
	_, err = e.ordinary(ctx)
	return err
}
