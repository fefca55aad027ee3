// SPDX-License-Identifier: Apache-2.0

// Package foreign has what runs against somebody else's target or initiator of SRP need: how to use it as an ordinary peer, and the
// specs. It is handed to the engine, package conformance/foreign, as [Protocol].
//
// # Targets
//
// An export is a logical unit, named by its number. The first contact logs in over each address, reads the size and the begin of
// each unit, and writes nothing. The specs are every attack of package attacks, and what needs a timer. A [tester.Limit] made of
// the owner's consent keeps each unit of the tester within what is allowed.
//
// # Initiators
//
// An initiator is used through its control hook. The specs are the provocations of package provocations, whose scripted targets listen on
// the own addresses.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/attacks"
	"github.com/ibnbd/ibnbd/conformance/srp/judge"
	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// The halves of a target port identifier, as initiators of Linux call them.
const (
	idExt   = "id-ext"
	iocGUID = "ioc-guid"
)

// Protocol is SRP.
func Protocol() *foreign.Protocol {
	return &foreign.Protocol{
		Port: srp.DefaultTargetPort,
		Targets: foreign.Targets{
			Specs: TargetSpecs, Patience: tester.DefaultPatience, Scratch: tester.ScratchSectors, LeastExport: tester.LeastUnit,
			LongestExport: len("16383"), Exports: []string{"0"}, CheckExport: checkUnit,
			Identity: []foreign.Word{
				{Name: idExt, Usage: "identifier extension of the target port, up to 64 bits, such as 0x505400fffe000001", Check: checkHalf},
				{Name: iocGUID, Usage: "GUID of the target port, up to 64 bits", Check: checkHalf},
			},
			Owners:  owners,
			Contact: contact, Serves: serves, Serving: attacks.Survival,
		},
		Initiators: foreign.Initiators{
			Specs: InitiatorSpecs, Patience: provocations.DefaultPatience, OrdinaryPort: provocations.OrdinaryPort, Use: use,
			Serving: provocations.Survival, Help: initiatorHelp,
		},
		Packets: foreign.Packets{Judge: judge.Protocol.JudgeConfigured, Timeline: judge.Protocol.WriteTimeline},
	}
}

// owners says what a control hook has to do for a target.
const owners = `For a target of SRP, --control may know these, too, with a PORT of 32 hexadecimal digits:

  disable, enable      the target port; initiators are disconnected, and logins rejected meanwhile
  deny PORT            that initiator port has no access from now on
  credits PORT DELTA   sends an SRP_CRED_REQ to that initiator
  event PORT           sends it an SRP_AER_REQ
  logout PORT          sends it an SRP_T_LOGOUT`

// checkUnit refuses what is not the number of a logical unit.
func checkUnit(name string) error {
	if _, err := unit(name); err != nil {
		return err
	}
	return nil
}

func unit(name string) (srp.LUN, error) {
	number, err := strconv.ParseUint(name, 10, 16)
	if err != nil || number > scsi.MaxLUN {
		return srp.LUN{}, fmt.Errorf("logical unit %q is not a number from 0 to %d", name, scsi.MaxLUN)
	}
	return scsi.NewLUN(uint16(number))
}

// checkHalf refuses what is not a half of a port identifier.
func checkHalf(value string) error {
	if _, err := half(value); err != nil {
		return err
	}
	return nil
}

// half reads a half of a port identifier: hexadecimal digits, with 0x before them or without, as login strings have them.
func half(value string) (uint64, error) {
	digits := value
	if len(value) > 2 && (value[:2] == "0x" || value[:2] == "0X") {
		digits = value[2:]
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of 1 to 16 hexadecimal digits", value)
	}
	return n, nil
}

// targetOf is the target of a run as the tester sees it.
func targetOf(r *foreign.TargetRun) (tester.Target, error) {
	c := r.Config()
	t := tester.Target{Patience: c.Patience, Limit: limit(c.Consent, c.Exports), Control: r.Control}
	extension, err := half(c.Identity[idExt])
	if err != nil {
		return t, err
	}
	guid, err := half(c.Identity[iocGUID])
	if err != nil {
		return t, err
	}
	t.Port = srp.NewPortID(extension, guid, srp.IOClassRev16a)
	for i := range t.LUNs {
		if t.LUNs[i], err = unit(c.Exports[min(i, len(c.Exports)-1)]); err != nil {
			return t, err
		}
	}
	for _, rail := range r.Rails() {
		t.Rails = append(t.Rails, tester.Rail{Device: rail.Device, Addr: rail.Addr})
	}
	return t, nil
}

// limit is what the tester keeps to.
func limit(c foreign.Consent, exports []string) *tester.Limit {
	switch {
	case c.Everything(exports):
		return nil
	case c.Writes:
		return &tester.Limit{Writes: true, First: c.Scratch.First, Count: c.Scratch.Count}
	}
	return &tester.Limit{}
}

// contact uses the target as an ordinary initiator, without writing, and learns what it is.
func contact(ctx context.Context, r *foreign.TargetRun) (found foreign.Found, err error) {
	target, err := targetOf(r)
	if err != nil {
		return found, err
	}
	target.Limit = &tester.Limit{}
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	found.Abilities = map[clauses.Ability]bool{}
	for rail, way := range target.Rails {
		c, err := t.Login(ctx, rail, t.Request(t.NewPort()))
		if err != nil {
			return found, fmt.Errorf("no login at the target at %s: %w%s", way.Addr, err, advice(err))
		}
		found.Abilities[clauses.ImmediateData] = c.Immediate()
		if rail > 0 {
			continue
		}
		found.QueueDepth = int(c.Initial)
		other, err := c.Another(ctx)
		found.Abilities[clauses.MultiChannel] = err == nil
		if err == nil {
			if err := other.Disconnect(ctx); err != nil {
				return found, err
			}
		}
		for i, export := range r.Config().Exports {
			if err := inspect(ctx, r, c, export, target.LUNs[i]); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

// advice says what to try when a login fails.
func advice(err error) string {
	r, is := errors.AsType[*tester.Refused](err)
	if !is {
		return ""
	}
	if r.Reject == nil {
		const nobodyListens = 8
		if r.CM == nobodyListens {
			return ": nothing listens on that port; --port names another"
		}
		return ": what listens there does not speak SRP, or is busy"
	}
	switch r.Reject.Reason {
	case srp.RejectNexus:
		return ": --id-ext and --ioc-guid are not those of the target port"
	case srp.RejectChannelsExhausted:
		return ": the target's access control may have no entry for this initiator"
	case srp.RejectNoResources:
		return ": the target port may be disabled"
	}
	return ""
}

// inspect looks at a unit, and has the run check it.
func inspect(ctx context.Context, r *foreign.TargetRun, c *tester.Channel, export string, lun srp.LUN) error {
	if err := c.MakeReady(ctx, lun); err != nil {
		return fmt.Errorf("logical unit %s: %w", export, err)
	}
	g := c.Geometry(lun)
	return r.CheckExport(ctx, foreign.Export{
		Name: export, Sectors: (g.Last + 1) * uint64(g.Block/foreign.SectorSize),
		ReadStart: func(ctx context.Context, size int) ([]byte, error) { return readStart(ctx, c, lun, size) },
	})
}

// readStart reads so many bytes from the begin of a unit. The limit of the contact has the begin as its base.
func readStart(ctx context.Context, c *tester.Channel, lun srp.LUN, size int) ([]byte, error) {
	block := c.Geometry(lun).Block
	step := max(1, (64<<10)/block)
	var begin []byte
	for len(begin) < size {
		b, err := c.ReadAt(ctx, lun, uint64(len(begin)/block), uint32(step))
		if err != nil {
			return nil, err
		}
		begin = append(begin, b...)
	}
	return begin[:size], nil
}

// serves looks whether a new initiator can log in and read.
func serves(ctx context.Context, r *foreign.TargetRun) (err error) {
	target, err := targetOf(r)
	if err != nil {
		return err
	}
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	_, err = c.ReadAt(ctx, target.LUNs[0], 0, 1)
	return err
}

// TargetSpecs are all specs for a target.
func TargetSpecs() []foreign.Spec {
	var all []foreign.Spec
	for _, a := range attacks.All() {
		all = append(all, ofAttack(a))
	}
	return append(all,
		waiting("a login that is never confirmed is freed", "SRP-TGT-003", longestHalfOpen, attacks.HalfOpen),
		waiting("an initiator that vanishes is given up", "SRP-LOGOUT-007", longestVanished, attacks.Vanished),
	)
}

// quick is about how long an attack takes that waits for no timer.
const quick = 300 * time.Millisecond

// ofAttack makes a spec of an attack.
func ofAttack(a attacks.Attack) foreign.Spec {
	return foreign.Spec{
		Name: a.Spec(), Clauses: append([]string{attacks.Survival, attacks.Undisturbed}, a.Clauses...), Survival: attacks.Survival,
		Takes: max(quick, a.Takes), Addresses: max(1, a.Rails), Does: a.Does, MayEnd: a.MayEnd, Needs: a.Needs,
		OnTarget: func(ctx context.Context, r *foreign.TargetRun) error {
			target, err := targetOf(r)
			if err != nil {
				return err
			}
			return attacks.Execute(ctx, target, a)
		},
	}
}

// How long a target may take for what it does by itself: with an unconfirmed login, and with an initiator that has vanished. Its
// owner may set the latter.
const (
	longestHalfOpen = time.Minute
	longestVanished = 2 * time.Minute
)

// waiting is a spec of what a target does by itself within a time.
func waiting(name, clause string, within time.Duration, run func(context.Context, *tester.Tester, time.Duration) error) foreign.Spec {
	return foreign.Spec{
		Name: name, Clauses: []string{clause}, Takes: within, Addresses: 1,
		OnTarget: func(ctx context.Context, r *foreign.TargetRun) (err error) {
			target, err := targetOf(r)
			if err != nil {
				return err
			}
			t := tester.New(target)
			defer func() { err = errors.Join(err, t.Close()) }()
			return run(ctx, t, within)
		},
	}
}
