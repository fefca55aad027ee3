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
		Attack{Name: "second OPEN of a device in a session, with more access", Does: Writes, Clauses: []string{"IBNBD-OPEN-033"}, Run: openForMore},
		Attack{Name: "OPEN in each I/O mode", Clauses: []string{"IBNBD-OPEN-035"}, Run: eachIOMode},
		Attack{Name: "CLOSE of devices that nobody opened", Clauses: []string{"IBNBD-OPEN-022"}, Run: closeUnknown},
		Attack{Name: "I/O and CLOSE with the device id of another session", Clauses: []string{"IBNBD-IO-002", "IBNBD-OPEN-022", "IBNBD-OPEN-032"}, Run: foreignDevice},
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
			return tester.Broken("IBNBD-COMPAT-005", "byte %d: the reply is % x, at first it was % x",
				mode, tester.Marshal(opened), tester.Marshal(first))
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

// Reasons why a target cannot be asked how it opens.
var (
	errWritesAnyway error = &finding.Undecided{
		Reason: verdict.NotSeen, Text: "the target writes through a mapping that was opened read-only, so that no OPEN can give more (IBNBD-IO-015)",
	}
	errInOtherMode error = &finding.Undecided{Reason: verdict.NoDevice, Text: "somebody has the export open in the other I/O mode"}
)

// openForMore opens a device for reading, and then for writing in the same session. The target may refuse that.
func openForMore(ctx context.Context, t *tester.Tester) error {
	export := t.Target().Exports[0]
	p, first, err := t.NewSession().Ready(ctx, export, ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	content, err := p.ReadAt(ctx, first.DeviceID, 0, readSize)
	if err != nil {
		return err
	}
	if err := p.WriteAt(ctx, first.DeviceID, 0, content); err == nil {
		return errWritesAnyway
	}
	again, err := p.Open(ctx, export, ibnbd.ReadWrite)
	if err != nil {
		return nil
	}
	for _, id := range []uint32{first.DeviceID, again.DeviceID} {
		if err := p.WriteAt(ctx, id, 0, content); err == nil {
			return tester.Broken("IBNBD-OPEN-033", "device %d was opened for reading, then again for writing, and can be written to", id)
		}
	}
	return nil
}

// eachIOMode opens a device in both I/O modes, one after the other, and looks which one is in use.
func eachIOMode(ctx context.Context, t *tester.Tester) error {
	for _, mode := range []ibnbd.IOMode{ibnbd.FileIO, ibnbd.BlockIO} {
		p, opened, err := openFreeIn(ctx, t, mode, ibnbd.ReadOnly)
		if err != nil {
			return err
		}
		if opened.IOMode != mode {
			return tester.Broken("IBNBD-OPEN-035", "asked for %s, the target says that %s is in use", mode, opened.IOMode)
		}
		if err := p.CloseDevice(ctx, opened.DeviceID); err != nil {
			return err
		}
	}
	return nil
}

// openIn opens the device in an I/O mode, in a session of its own that has agreed on having them.
func openIn(ctx context.Context, t *tester.Tester, mode ibnbd.IOMode, access ibnbd.AccessMode) (*tester.Path, ibnbd.OpenResponse, error) {
	p, err := agree(ctx, t, ibnbd.FeatureIOMode)
	if err != nil {
		return nil, ibnbd.OpenResponse{}, err
	}
	request, err := ibnbd.NewOpenRequest(t.Target().Exports[0], access, mode)
	if err != nil {
		return nil, ibnbd.OpenResponse{}, err
	}
	opened, err := p.OpenRaw(ctx, tester.Marshal(request))
	return p, opened, err
}

// openFreeIn is openIn of an export that nobody else may have open.
func openFreeIn(ctx context.Context, t *tester.Tester, mode ibnbd.IOMode, access ibnbd.AccessMode) (*tester.Path, ibnbd.OpenResponse, error) {
	p, opened, err := openIn(ctx, t, mode, access)
	if errors.Is(err, ibtrs.EPERM) {
		return nil, opened, fmt.Errorf("%w: %w", errInOtherMode, err)
	}
	return p, opened, err
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
	if err == nil {
		return tester.Broken("IBNBD-OPEN-032", "a session reads from the device of another")
	}
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
