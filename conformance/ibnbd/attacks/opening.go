// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// badName is a device path that must not be opened.
type badName struct {
	name    string
	clause  string
	path    string
	want    ibtrs.Errno
	instead string // of Survival
}

var badNames = []badName{
	{"OPEN of a device that is not there", "IBNBD-OPEN-003", "dev/nosuch", ibtrs.ENOENT, ""},
	{"OPEN of a path that begins with ..", "IBNBD-OPEN-005", "../../dev/ram0", ibtrs.EINVAL, ""},
	{"OPEN of a path with .. in its middle", "IBNBD-OPEN-005", "dev/../etc/passwd", ibtrs.EINVAL, ""},
	{"OPEN of an empty path", "IBNBD-OPEN-018", "", ibtrs.EINVAL, ""},
	{"OPEN of a path without a NUL", "IBNBD-OPEN-018", strings.Repeat("x", 255), ibtrs.EINVAL, SurvivalDeadly},
}

func (b badName) attack() Attack {
	return Attack{Name: b.name, Clauses: []string{b.clause}, Instead: b.instead, Run: func(ctx context.Context, t *tester.Tester) error {
		p := t.NewSession().NewPath(0)
		if err := p.Connect(ctx); err != nil {
			return err
		}
		message := tester.OpenMessage(b.path, ibnbd.ReadOnly)
		if len(b.path) == 255 {
			fill(message, 261, len(message)) // no zero ends it behind the field either
		}
		_, err := p.OpenRaw(ctx, message)
		return answered(b.clause, err, b.want)
	}}
}

func opening() []Attack {
	var all []Attack
	for _, b := range badNames {
		all = append(all, b.attack())
	}
	return append(all,
		Attack{Name: "OPEN of a path with two dots inside a name", Clauses: []string{"IBNBD-OPEN-005"}, Run: dotsInName},
		Attack{Name: "OPEN with an unknown access mode", Does: Writes, Clauses: []string{"IBNBD-OPEN-012"}, Run: badAccess},
		Attack{Name: "OPEN with any byte as I/O mode", Clauses: []string{"IBNBD-COMPAT-005"}, Run: anyIOMode},
		Attack{Name: "second OPEN of a device in a session", Does: Writes, Clauses: []string{"IBNBD-OPEN-013"}, Run: openTwice},
		Attack{Name: "CLOSE of devices that nobody opened", Clauses: []string{"IBNBD-OPEN-022"}, Run: closeUnknown},
		Attack{Name: "I/O and CLOSE with the device id of another session", Clauses: []string{"IBNBD-IO-002", "IBNBD-OPEN-022"}, Run: foreignDevice},
		Attack{Name: "OPEN for writing of a device that another session writes", Does: Writes, Clauses: []string{"IBNBD-OPEN-007"}, Run: secondWriter},
	)
}

// dotsInName opens a path that leads nowhere else, and that a target may refuse all the same.
func dotsInName(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	_, err := p.Open(ctx, "dev/a..b", ibnbd.ReadOnly)
	return answered("IBNBD-OPEN-005", err, ibtrs.EINVAL, ibtrs.ENOENT)
}

func badAccess(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	for _, mode := range []ibnbd.AccessMode{3, 0xFF} {
		_, err := p.Open(ctx, t.Target().Exports[0], mode)
		if err := answered("IBNBD-OPEN-012", err, ibtrs.EINVAL); err != nil {
			return fmt.Errorf("access mode %d: %w", mode, err)
		}
	}
	_, err := p.Open(ctx, t.Target().Exports[0], ibnbd.ReadWrite) // none of them counts as a writer
	return succeeded("IBNBD-OPEN-012", err)
}

// anyIOMode opens and closes with each value of the byte that version 2 does not have.
func anyIOMode(ctx context.Context, t *tester.Tester) error {
	p, first, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	first.DeviceID = 0
	if err := p.CloseDevice(ctx, 0); err != nil {
		return err
	}
	for mode := range 256 {
		message := tester.OpenMessage(t.Target().Exports[0], t.Access())
		message[5] = byte(mode)
		opened, err := p.OpenRaw(ctx, message)
		if err != nil {
			return tester.Broken("IBNBD-COMPAT-005", "byte %d: %s", mode, tester.Outcome(err))
		}
		id := opened.DeviceID
		opened.DeviceID = 0
		if opened != first {
			return tester.Broken("IBNBD-COMPAT-005", "byte %d: the reply is %+v, at first it was %+v", mode, opened, first)
		}
		if err := p.CloseDevice(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func openTwice(ctx context.Context, t *tester.Tester) error {
	p, first, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, mode := range []ibnbd.AccessMode{ibnbd.ReadWrite, ibnbd.ReadOnly, ibnbd.Migration} {
		again, err := p.Open(ctx, t.Target().Exports[0], mode)
		if err != nil || again.DeviceID != first.DeviceID {
			return tester.Broken("IBNBD-OPEN-013", "access mode %s: %s, device %d, it must be device %d", mode, tester.Outcome(err), again.DeviceID, first.DeviceID)
		}
	}
	return nil
}

func closeUnknown(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, id := range []uint32{opened.DeviceID + 1, nobody, 1 << 31, 0xFFFFFFFF} {
		if err := p.CloseDevice(ctx, id); err != nil {
			return tester.Broken("IBNBD-OPEN-022", "CLOSE of device %d: %s", id, tester.Outcome(err))
		}
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, readSize)
	return succeeded("IBNBD-OPEN-022", err)
}

// foreignDevice reads from, and closes, a device that only another session has opened.
func foreignDevice(ctx context.Context, t *tester.Tester) error {
	owner, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, readSize)
	if err := answered("IBNBD-IO-002", err, ibtrs.ENOTCONN); err != nil {
		return err
	}
	if err := p.CloseDevice(ctx, opened.DeviceID); err != nil {
		return tester.Broken("IBNBD-OPEN-022", "CLOSE of a device of another session: %s", tester.Outcome(err))
	}
	_, err = owner.ReadAt(ctx, opened.DeviceID, 0, readSize)
	return succeeded("IBNBD-OPEN-022", err)
}

func secondWriter(ctx context.Context, t *tester.Tester) error {
	if _, _, err := t.Ready(ctx); err != nil {
		return err
	}
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	_, err := p.Open(ctx, t.Target().Exports[0], ibnbd.ReadWrite)
	return answered("IBNBD-OPEN-007", err, ibtrs.EPERM)
}
