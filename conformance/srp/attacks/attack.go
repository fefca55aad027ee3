// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Attack is one thing that an initiator does to a target.
type Attack struct {
	Name    string         // unique; says what is tried, behind [Group]
	Clauses []string       // that it decides, beside those of Execute
	Rails   int            // how many ways to the target it needs; 0 stands for one
	Does    foreign.Effect // to the data of the target, if nothing goes wrong
	MayEnd  bool           // it interrupts the service, or some known target did not survive it
	Needs   foreign.Action // of the target's owner; "" for none
	Takes   time.Duration  // 0 stands for what waits for no timer
	// Run does it and judges the answers. Its error is a *finding.Violation when a clause is broken.
	Run func(ctx context.Context, t *tester.Tester) error
}

// Group is how the names of specs begin that are attacks.
const Group = "attack by"

// Spec is the name of the spec, in every kind of run.
func (a Attack) Spec() string { return Group + " " + a.Name }

// What every attack decides.
const (
	Survival    = "SRP-TGT-001" // whatever an initiator does, the target lives on and serves new initiators
	Undisturbed = "SRP-TGT-002" // and a bystander does not notice
)

// Actions of the owner's control hook, beside those of all protocols. An initiator port is written as 32 hexadecimal digits.
const (
	Disable     foreign.Action = "disable" // the target port; initiators are disconnected
	Enable      foreign.Action = "enable"
	Deny        foreign.Action = "deny"    // PORT: that initiator port has no access
	GiveCredits foreign.Action = "credits" // PORT DELTA: an SRP_CRED_REQ for an initiator port
	ReportEvent foreign.Action = "event"   // PORT: an SRP_AER_REQ
	LogOut      foreign.Action = "logout"  // PORT: an SRP_T_LOGOUT
)

// DeniedPort is the initiator port that has no access.
var DeniedPort = srp.NewPortID(0xdeadbeefdeadbeef, 0x0000000000c0ffee, srp.IOClassRev16a)

// All are all attacks.
func All() []Attack {
	return slices.Concat(logins(), channels(), commands(), buffers(), responses(), credits(), management(), sessions(), units(), owners(), wire())
}

// Execute lets a bystander use the target, attacks it, and then looks whether the bystander, and a new initiator, are still
// served. An attack that the target's limit has kept from something ends with an error that wraps tester.ErrForbidden.
func Execute(ctx context.Context, target tester.Target, a Attack) (err error) {
	conforming := tester.New(target)
	defer func() { err = errors.Join(err, conforming.Close()) }()
	b, err := newBystander(ctx, conforming)
	if err != nil {
		return finding.NotReady(fmt.Errorf("before the attack: %w", err))
	}
	attacker := tester.New(target)
	attacked := finding.NotReady(a.Run(ctx, attacker))
	err = errors.Join(attacked, attacker.Close())
	if forbidden := attacker.Forbidden(); forbidden != nil {
		err = forbidden // and whatever was concluded from its not being sent is void
	}
	if survived := b.served(ctx, a); survived != nil {
		err = errors.Join(tester.Broken(Undisturbed, "a bystander is not served any more: %v", survived), err)
	}
	if survived := servesNew(ctx, conforming); survived != nil {
		return errors.Join(tester.Broken(Survival, "a new initiator is not served: %v", survived), err)
	}
	return err
}

// bystander is a conforming initiator that does not notice what others do. It only reads where nothing may be written, or where it
// has no unit of its own.
type bystander struct {
	channel *tester.Channel
	lun     srp.LUN
	writes  bool
}

// What a bystander and a new initiator write, and where.
const (
	bystanderBlock, newInitiatorBlock = 8, 16
	bystanderBlocks                   = 8
	before, after, byNewInitiator     = 1, 2, 3
)

func newBystander(ctx context.Context, t *tester.Tester) (*bystander, error) {
	c, err := t.Connect(ctx)
	if err != nil {
		return nil, err
	}
	b := &bystander{c, t.Target().LUNs[1], mayWrite(t)}
	if err := c.MakeReady(ctx, b.lun); err != nil {
		return nil, err
	}
	if !b.writes {
		return b, b.reads(ctx)
	}
	return b, c.WriteAt(ctx, b.lun, bystanderBlock, c.Stamped(b.lun, bystanderBlock, bystanderBlocks, before))
}

// mayWrite tells whether the conforming initiators have a unit that they may write to.
func mayWrite(t *tester.Tester) bool {
	luns := t.Target().LUNs
	return t.Writes() && luns[0] != luns[1]
}

// reads looks whether a read is answered. What is read may be anybody's, and change at any time.
func (b *bystander) reads(ctx context.Context) error {
	_, err := b.channel.ReadAt(ctx, b.lun, bystanderBlock, bystanderBlocks)
	return err
}

// served looks for what was written before the attack, and writes again. What has the service end for a while has a bystander come
// back.
func (b *bystander) served(ctx context.Context, a Attack) error {
	if a.MayEnd && b.channel.Lost() {
		return nil // the new initiator tells whether there is a service
	}
	if !b.writes {
		return b.reads(ctx)
	}
	c := b.channel
	if err := c.CheckStamped(ctx, b.lun, bystanderBlock, bystanderBlocks, before); err != nil {
		return err
	}
	if err := c.WriteAt(ctx, b.lun, bystanderBlock, c.Stamped(b.lun, bystanderBlock, bystanderBlocks, after)); err != nil {
		return err
	}
	return c.CheckStamped(ctx, b.lun, bystanderBlock, bystanderBlocks, after)
}

// servesNew logs in beside the bystander, and writes and reads.
func servesNew(ctx context.Context, t *tester.Tester) error {
	c, err := t.Connect(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[1]
	if err := c.MakeReady(ctx, lun); err != nil {
		return err
	}
	if !mayWrite(t) {
		_, err := c.ReadAt(ctx, lun, newInitiatorBlock, bystanderBlocks)
		return err
	}
	if err := c.WriteAt(ctx, lun, newInitiatorBlock, c.Stamped(lun, newInitiatorBlock, bystanderBlocks, byNewInitiator)); err != nil {
		return err
	}
	return c.CheckStamped(ctx, lun, newInitiatorBlock, bystanderBlocks, byNewInitiator)
}
