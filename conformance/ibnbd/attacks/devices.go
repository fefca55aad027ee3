// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// Clauses of what sessions and devices are told apart by.
const (
	ownID       = "IBNBD-OPEN-014"
	twoNames    = "IBNBD-OPEN-024"
	otherNames  = "IBTRS-INFO-027"
	joins       = "IBTRS-CONN-028"
	otherSource = "IBTRS-CONN-053"
)

// errOneExport is wrapped by the error of an attack that needs two.
var errOneExport error = &finding.Undecided{Reason: verdict.NoDevice, Text: "it needs two exports"}

// twoDevices opens both exports in one session, and writes to each by turns; another session looks where the blocks are.
func twoDevices(ctx context.Context, t *tester.Tester) error {
	const size, first = 4096, 24 // behind what a bystander uses
	exports := t.Target().Exports
	if exports[0] == exports[1] {
		return errOneExport
	}
	p := t.NewSession().NewPath(0)
	looks := t.NewSession().NewPath(0)
	var ids, seen [2]uint32
	for _, path := range []*tester.Path{p, looks} {
		if err := path.Connect(ctx); err != nil {
			return err
		}
		if _, err := path.SessInfo(ctx, ibnbd.Version); err != nil {
			return err
		}
	}
	for i, export := range exports {
		opened, err := p.Open(ctx, export, [2]ibnbd.AccessMode{ibnbd.ReadWrite, ibnbd.Migration}[i]) // the bystander writes to the second
		if err != nil {
			return fmt.Errorf("open %s: %w", export, err)
		}
		shown, err := looks.Open(ctx, export, ibnbd.ReadOnly)
		if err != nil {
			return fmt.Errorf("open %s in another session: %w", export, err)
		}
		ids[i], seen[i] = opened.DeviceID, shown.DeviceID
	}
	if ids[0] == ids[1] {
		return tester.Broken(ownID, "two devices of one session have the id %d", ids[0])
	}
	for round := range uint64(2) {
		for i := range ids {
			if err := p.WriteAt(ctx, ids[i], first, tester.Stamped(first, size, 30+2*round+uint64(i))); err != nil {
				return tester.Broken(exactly, "a write to device %d of a session: %s", ids[i], tester.Outcome(err))
			}
		}
		for i := range ids {
			if err := looks.CheckStamped(ctx, seen[i], first, size, 30+2*round+uint64(i)); err != nil {
				return tester.Broken(exactly, "behind writes to two devices of a session, %s: %v", exports[i], err)
			}
			if err := p.CheckStamped(ctx, ids[i], first, size, 30+2*round+uint64(i)); err != nil {
				return tester.Broken(exactly, "behind writes to two devices of a session, %s as that session reads it: %v", exports[i], err)
			}
		}
	}
	return nil
}

// Reasons why a target cannot be asked.
var (
	errOneName error = &finding.Undecided{Reason: verdict.AbilityMissing, Text: "the target knows the export under one name only"}
	errOneWay  error = &finding.Undecided{Reason: verdict.NoSecondPath, Text: "both paths would begin at one address"}
)

// underTwoNames has a writer of a device, and another who has another name for it. No session has it open under both: some target
// does not survive that.
func underTwoNames(ctx context.Context, t *tester.Tester) error {
	other := "//" + t.Target().Exports[0]
	second := t.NewSession().NewPath(0)
	if err := second.Connect(ctx); err != nil {
		return err
	}
	opened, err := second.Open(ctx, other, ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("open %s: %s: %w", other, tester.Outcome(err), errOneName)
	}
	if err := second.CloseDevice(ctx, opened.DeviceID); err != nil {
		return err
	}
	if _, _, err := t.Ready(ctx); err != nil {
		return err
	}
	_, err = second.Open(ctx, other, ibnbd.ReadWrite)
	return answered(twoNames, err, ibtrs.EPERM)
}

// joinAsFirst adds a path to a session by requests that might create one, and uses there what the session has open.
func joinAsFirst(ctx context.Context, t *tester.Tester) error {
	first, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	second := first.Session.NewPath(1)
	second.Request.FirstConnection = ibtrs.FirstConnection
	return usedBeside(ctx, joins, second, opened.DeviceID)
}

// fromElsewhere adds a path between the address of the target that the first has, and another of this side.
func fromElsewhere(ctx context.Context, t *tester.Tester) error {
	rails := t.Target().Rails
	if rails[0].Device == rails[1].Device {
		return errOneWay
	}
	first, opened, err := t.NewSession().Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	second := first.Session.NewPathOver(tester.Rail{Device: rails[1].Device, Addr: rails[0].Addr})
	if _, err := second.Dial(ctx, 0); errors.Is(err, tester.ErrSilent) {
		return fmt.Errorf("%w: %w", errOneWay, err) // perhaps there is no way
	} else if err != nil {
		return tester.Broken(otherSource, "%v", err)
	}
	for cid := uint16(1); cid < second.Request.ConnectionCount; cid++ {
		if _, err := second.Dial(ctx, cid); err != nil {
			return tester.Broken(otherSource, "%v", err)
		}
	}
	if err := second.Info(ctx); err != nil {
		return tester.Broken(otherSource, "%v", err)
	}
	_, err = second.ReadAt(ctx, opened.DeviceID, 0, readSize)
	return succeeded(otherSource, err)
}

// usedBeside connects another path of a session, and reads there a device that the session has open: ids are those of a session.
func usedBeside(ctx context.Context, clause string, p *tester.Path, device uint32) error {
	if err := p.Connect(ctx); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	_, err := p.ReadAt(ctx, device, 0, readSize)
	return succeeded(clause, err)
}

// similarNames has a session, and beside it one after the other whose names are almost its own.
func similarNames(ctx context.Context, t *tester.Tester) error {
	session := t.NewSession()
	session.Name += "-name"
	if err := session.NewPath(0).Connect(ctx); err != nil {
		return err
	}
	for _, name := range []string{
		strings.ToUpper(session.Name), session.Name[:len(session.Name)-1] + "E", session.Name[:len(session.Name)-1], session.Name + "0", " " + session.Name,
	} {
		other := t.NewSession()
		other.Name = name
		p, opened, err := other.Ready(ctx, t.Target().Exports[0], ibnbd.ReadOnly)
		if err == nil {
			_, err = p.ReadAt(ctx, opened.DeviceID, 0, readSize)
		}
		if err != nil {
			return tester.Broken(otherNames, "beside a session %q, one with the name %q: %s", session.Name, name, tester.Outcome(err))
		}
		if err := p.Disconnect(ctx); err != nil {
			return err
		}
	}
	return nil
}

// errAlike says that the owner has not given what would show one export being taken for the other.
var errAlike error = &finding.Undecided{
	Reason: verdict.NoDevice, Survived: true,
	Text: "both exports have the same size, blocks and cache, so that what is told of one for the other would not show: give exports of different sizes",
}

// told are fields of an OPEN response, with the clause that says what they are.
var told = []struct {
	clause, what string
	of           func(ibnbd.OpenResponse) any
}{
	{capacity, "sectors", func(r ibnbd.OpenResponse) any { return r.Capacity }},
	{"IBNBD-OPEN-002", "bytes in a logical and a physical block", func(r ibnbd.OpenResponse) any { return [2]uint16{r.LogicalBlockSize, r.PhysicalBlockSize} }},
	{"IBNBD-COMPAT-004", "rotational, cache policy", func(r ibnbd.OpenResponse) any { return [2]uint8{r.Rotational, uint8(r.CachePolicy)} }},
}

// tellApart opens each export in a session of its own, and both in one, in either order: what is told of an export is always the same.
func tellApart(ctx context.Context, t *tester.Tester) error {
	exports := t.Target().Exports
	if exports[0] == exports[1] {
		return errOneExport
	}
	var alone [2]ibnbd.OpenResponse
	for i, export := range exports {
		var err error
		if _, alone[i], err = t.NewSession().Ready(ctx, export, ibnbd.ReadOnly); err != nil {
			return err
		}
	}
	differ := false
	for _, field := range told {
		differ = differ || field.of(alone[0]) != field.of(alone[1])
	}
	if !differ {
		return errAlike
	}
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		p, _, err := t.NewSession().Ready(ctx, exports[order[0]], ibnbd.ReadOnly)
		if err != nil {
			return err
		}
		for _, i := range []int{order[1], order[0]} {
			opened, err := p.Open(ctx, exports[i], ibnbd.ReadOnly)
			if err != nil {
				return fmt.Errorf("open %s: %w", exports[i], err)
			}
			for _, field := range told {
				if is, must := field.of(opened), field.of(alone[i]); is != must {
					return tester.Broken(field.clause, "%s: %v of %s in a session that opened %s first, and %v in one of its own",
						field.what, is, exports[i], exports[order[0]], must)
				}
			}
		}
	}
	return nil
}
