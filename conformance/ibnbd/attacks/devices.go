// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Clauses of what sessions and devices are told apart by.
const (
	ownID      = "IBNBD-OPEN-014"
	otherNames = "IBTRS-INFO-027"
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
