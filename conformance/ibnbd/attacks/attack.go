// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Attack is one thing that a client does to a target.
type Attack struct {
	Name    string   // unique; says what is tried, behind [Group]
	Clauses []string // that it decides, beside Survival
	Depth   int      // queue depth that the target must have; 0: any
	Rails   int      // how many ways to the target it needs; 0 stands for one
	Does    Effect   // to the data of the target, if nothing goes wrong
	// Instead is the clause that decides instead of Survival whether the target lives on: of an attack that is known to be
	// more than some target can take.
	Instead string
	// Run does it and judges the answers. Its error is a *tester.Violation when a clause is broken.
	Run func(ctx context.Context, t *tester.Tester) error
}

// Group is how the names of specs begin that are attacks.
const Group = "attack by"

// Spec is the name of the spec, in every kind of run.
func (a Attack) Spec() string { return Group + " " + a.Name }

// Survival is the clause that every attack decides: whatever a client does, the target lives on and serves the others.
const Survival = "IBNBD-FAIL-019"

// What Survival becomes for attacks that are known to kill some target, or to make its kernel complain.
const (
	SurvivalDeadly  = "IBNBD-FAIL-021"
	SurvivalWarning = "IBNBD-FAIL-022"
)

// Effect is what an attack does to the data of a target that behaves.
type Effect = foreign.Effect

// The effects, from the harmless to the worst.
const (
	Reads          = foreign.Reads          // opens for reading, and reads
	Writes         = foreign.Writes         // opens for writing, and writes below [tester.ScratchSectors] from the base on
	WritesAnywhere = foreign.WritesAnywhere // sends writes that only a target's own checks keep from any other block
)

// MayEnd says whether the attack is known to be more than some target can take, so that nobody is served afterwards.
func (a Attack) MayEnd() bool { return a.Instead != "" }

// Survives is the clause that decides whether the target lives on.
func (a Attack) Survives() string { return cmp.Or(a.Instead, Survival) }

// ErrInapplicable is wrapped by errors of attacks that the target gives no opportunity for.
var ErrInapplicable error = &finding.Undecided{Reason: verdict.AbilityMissing, Text: "the attack does not apply to this target"}

// All are all attacks.
func All() []Attack {
	return slices.Concat(connecting(), information(), immediates(), requests(), keys(), messages(), opening(), blocks(), lives(), using(), volume(), together())
}

// Execute lets a conforming bystander use the target, attacks it, and then looks whether the bystander, and a new client, are
// still served. The error of a broken clause is a *tester.Violation; when several are broken, that of survival comes first.
// An attack that the target's limit has kept from something ends with an error that wraps tester.ErrForbidden.
func Execute(ctx context.Context, target tester.Target, a Attack) (err error) {
	other := tester.New(target)
	defer func() { err = errors.Join(err, other.Close()) }()
	b, err := newBystander(ctx, other)
	if err != nil {
		return finding.NotReady(fmt.Errorf("before the attack: %w", err))
	}
	attacker := tester.New(target)
	letGo := b.path.StayAlive(ctx) // however long the attack takes
	attacked := finding.NotReady(a.Run(ctx, attacker))
	letGo()
	err = errors.Join(attacked, attacker.Close())
	if forbidden := attacker.Forbidden(); forbidden != nil {
		err = forbidden // and whatever was concluded from its not being sent is void
	}
	if survived := b.served(ctx); survived != nil {
		return errors.Join(tester.Broken(a.Survives(), "a bystander is not served any more: %v", survived), err)
	}
	if survived := welcomed(ctx, other); survived != nil {
		return errors.Join(tester.Broken(a.Survives(), "a new client is not served: %v", survived), err)
	}
	return err
}

// bystander is a conforming client that does not notice what others do. It only reads where nothing may be written, or where
// it has no export of its own.
type bystander struct {
	path   *tester.Path
	device uint32
	writes bool
}

// What a bystander and a new client write, and where.
const (
	bystanderSector, newClientSector = 8, 16
	stampedSize                      = 4096
	before, after, newClient         = 1, 2, 3
)

func newBystander(ctx context.Context, t *tester.Tester) (*bystander, error) {
	access := accessOf(t, ibnbd.ReadWrite)
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[1], access)
	if err != nil {
		return nil, err
	}
	b := &bystander{p, opened.DeviceID, access != ibnbd.ReadOnly}
	if !b.writes {
		return b, b.reads(ctx)
	}
	return b, p.WriteAt(ctx, b.device, bystanderSector, tester.Stamped(bystanderSector, stampedSize, before))
}

// accessOf is how the bystander and the new client open their device: as they want to, or for reading.
func accessOf(t *tester.Tester, wanted ibnbd.AccessMode) ibnbd.AccessMode {
	exports := t.Target().Exports
	if !t.Writes() || exports[0] == exports[1] {
		return ibnbd.ReadOnly
	}
	return wanted
}

// reads looks whether a read is answered. What is read may be anybody's, and change at any time.
func (b *bystander) reads(ctx context.Context) error {
	_, err := b.path.ReadAt(ctx, b.device, bystanderSector, stampedSize)
	return err
}

// served looks for what was written before the attack, and writes again.
func (b *bystander) served(ctx context.Context) error {
	if !b.writes {
		return b.reads(ctx)
	}
	if err := b.path.CheckStamped(ctx, b.device, bystanderSector, stampedSize, before); err != nil {
		return err
	}
	if err := b.path.WriteAt(ctx, b.device, bystanderSector, tester.Stamped(bystanderSector, stampedSize, after)); err != nil {
		return err
	}
	return b.path.CheckStamped(ctx, b.device, bystanderSector, stampedSize, after)
}

// welcomed connects a new session beside the bystander's, and lets it write and read.
func welcomed(ctx context.Context, t *tester.Tester) error {
	access := accessOf(t, ibnbd.Migration)
	p, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[1], access)
	if err != nil {
		return err
	}
	if access == ibnbd.ReadOnly {
		_, err := p.ReadAt(ctx, opened.DeviceID, newClientSector, stampedSize)
		return err
	}
	if err := p.WriteAt(ctx, opened.DeviceID, newClientSector, tester.Stamped(newClientSector, stampedSize, newClient)); err != nil {
		return err
	}
	return p.CheckStamped(ctx, opened.DeviceID, newClientSector, stampedSize, newClient)
}
