// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/tester"
	"github.com/ibnbd/ibnbd/reference/scsi"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func management() []Attack {
	return []Attack{
		{Name: "the abort of a command that waits for its data", Clauses: []string{"SRP-TM-002", "SRP-CRED-009"}, Does: foreign.Writes, Run: abortWaiting},
		{Name: "aborts right behind their commands", Clauses: []string{"SRP-TM-002"}, Does: foreign.Writes, Run: abortAtOnce},
		{Name: "aborts of commands that are not there", Clauses: []string{"SRP-TM-003"}, Run: abortUnknown},
		{Name: "a reset of a logical unit", Clauses: []string{"SRP-TM-004", "SRP-CRED-009"}, Does: foreign.Writes, Run: reset},
		{Name: "task management functions that do not exist", Clauses: []string{"SRP-TM-005"}, Run: unknownFunctions},
	}
}

// manage has a function carried out, and gives its response code.
func manage(ctx context.Context, clause string, c *tester.Channel, f srp.TaskFunction, lun srp.LUN, managed srp.Tag) (srp.ResponseCode, error) {
	m, err := c.Do(ctx, c.Manage(f, lun, managed))
	if err != nil {
		return 0, tester.Broken(clause, "%s: %v, it must be answered", f, err)
	}
	code, ok := m.ResponseCode()
	if !ok {
		return 0, tester.Broken(clause, "%s is answered with flags %#02x, without a response code", f, uint8(m.Flags))
	}
	return code, nil
}

// silentAfter looks whether a command that has ended is answered nevertheless, while others are.
func silentAfter(ctx context.Context, clause string, c *tester.Channel, lun srp.LUN, tag srp.Tag) error {
	for range 4 {
		if _, err := c.Execute(ctx, lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil {
			return err
		}
	}
	if c.Kept(tag) {
		return tester.Broken(clause, "a command is answered after the answer to its abort")
	}
	return nil
}

// restored looks whether all credits are back after some commands.
func restored(ctx context.Context, c *tester.Channel, lun srp.LUN) error {
	const more = 8
	for range more {
		if c.Limit() == int64(c.Initial) {
			return nil
		}
		if _, err := c.Execute(ctx, lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}); err != nil {
			return err
		}
	}
	return tester.Broken("SRP-CRED-009", "after a command without a response, and %d with one, the request limit is %d instead of %d", more, c.Limit(), c.Initial)
}

func abortWaiting(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun, tag := t.Target().LUNs[0], c.Tag()
	if err := outstanding(c, tag, lun, 0, 130); err != nil {
		return err
	}
	code, err := manage(ctx, "SRP-TM-002", c, srp.AbortTask, lun, tag)
	if err != nil {
		return err
	}
	if code != srp.ResponseOK {
		return tester.Broken("SRP-TM-002", "the abort of a command that waits for its data is answered with code %d", code)
	}
	if c.Kept(tag) {
		return fmt.Errorf("the command was answered before its abort: %w", tester.ErrInapplicable)
	}
	if err := silentAfter(ctx, "SRP-TM-002", c, lun, tag); err != nil {
		return err
	}
	return restored(ctx, c, lun)
}

// abortAtOnce sends a write and its abort together, many times: a response comes before the answer to the abort, or never.
func abortAtOnce(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	size := c.Geometry(lun).Block
	data, err := c.Memory()
	if err != nil {
		return err
	}
	copy(data, c.Stamped(lun, 0, 1, 140))
	write, err := scsi.Write10.AppendIO(nil, c.Base(lun), 1, false)
	if err != nil {
		return err
	}
	for i := range 16 {
		tag := c.Tag()
		command, abort := c.Tagged(tag, lun, write, srp.DirectBuffer(c.Piece(0, size)), srp.Buffer{}), c.Manage(srp.AbortTask, lun, tag)
		if err := c.Post(command, abort); err != nil {
			return err
		}
		m, err := c.Answer(ctx, srp.Tag(abort[8:16]))
		if err != nil {
			return tester.Broken("SRP-TM-002", "abort %d right behind its command: %v, it must be answered", i+1, err)
		}
		if code, ok := m.ResponseCode(); !ok || code != srp.ResponseOK {
			return tester.Broken("SRP-TM-002", "abort %d right behind its command is answered with code %d (%v)", i+1, code, ok)
		}
		if c.Kept(tag) { // it had ended by then
			if _, err := c.Answer(ctx, tag); err != nil {
				return err
			}
			continue
		}
		if err := silentAfter(ctx, "SRP-TM-002", c, lun, tag); err != nil {
			return err
		}
	}
	return nil
}

// abortUnknown aborts tags that no command has had, and one whose command has ended.
func abortUnknown(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	unit := c.Command(lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{})
	if _, err := c.Do(ctx, unit); err != nil {
		return err
	}
	for _, tag := range append([]srp.Tag{srp.Tag(unit[8:16])}, strangeTags...) {
		code, err := manage(ctx, "SRP-TM-003", c, srp.AbortTask, lun, tag)
		if err != nil {
			return err
		}
		if code != srp.ResponseOK {
			return tester.Broken("SRP-TM-003", "the abort of tag %s, which no command has, is answered with code %d", tag, code)
		}
	}
	return nil
}

// reset has a command of one initiator outstanding while another resets the unit.
func reset(ctx context.Context, t *tester.Tester) error {
	const clause = "SRP-TM-004"
	victim, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun, tag := t.Target().LUNs[0], victim.Tag()
	if err := outstanding(victim, tag, lun, 0, 150); err != nil {
		return err
	}
	code, err := manage(ctx, clause, c, srp.LogicalUnitReset, lun, srp.Tag{})
	if err != nil {
		return err
	}
	if code != srp.ResponseOK {
		return tester.Broken(clause, "a reset is answered with code %d", code)
	}
	m, err := victim.Do(ctx, victim.Command(lun, scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
	if err != nil {
		return err
	}
	s, ok := tester.Sensed(tester.FailureOf(m))
	if !ok || s.Key != scsi.UnitAttention || s.Code&0xff00 != scsi.PowerOnOrReset {
		return tester.Broken(clause, "after a reset by another initiator, a command is %s, it must be UNIT ATTENTION, reset", outcome(tester.FailureOf(m)))
	}
	if victim.Kept(tag) {
		m, err := victim.Answer(ctx, tag)
		if err != nil {
			return err
		}
		if s := scsi.Status(m.Status); s != scsi.TaskAborted {
			return tester.Broken(clause, "a command that waited for its data during a reset is %s", outcome(tester.FailureOf(m)))
		}
		return nil
	}
	return restored(ctx, victim, lun)
}

func unknownFunctions(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, f := range []srp.TaskFunction{0, 3, 5, 7, 9, 0x10, 0x41, 0x80, 0xff} {
		code, err := manage(ctx, "SRP-TM-005", c, f, t.Target().LUNs[0], srp.Tag{})
		if err != nil {
			return err
		}
		if code != srp.ResponseTMUnsupported {
			return tester.Broken("SRP-TM-005", "function %#02x is answered with code %d", uint8(f), code)
		}
	}
	return nil
}

func sessions() []Attack {
	return []Attack{
		{Name: "a logout without credit", Clauses: []string{"SRP-LOGOUT-002"}, Run: logoutWithoutCredit},
		{Name: "commands behind a logout", Clauses: []string{"SRP-LOGOUT-009"}, Run: commandsAfterLogout},
		{Name: "a disconnect, and a login of another channel", Clauses: []string{"SRP-LOGOUT-005"}, Run: disconnected},
		{Name: "a login of an initiator that had vanished", Clauses: []string{"SRP-LOGOUT-006"}, Does: foreign.Writes, Run: vanished},
		{Name: "many logins and disconnects", Run: manyLogins},
	}
}

func logoutUnit(tag srp.Tag) []byte {
	b, _ := srp.ILogout{Type: srp.TypeILogout, Tag: tag}.AppendBinary(nil)
	return b
}

// logoutWithoutCredit uses all credits, logs out behind them, and waits for the end.
func logoutWithoutCredit(ctx context.Context, t *tester.Tester) error {
	const clause = "SRP-LOGOUT-002"
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := post(c, t.Target().LUNs[0], int(c.Limit())); err != nil {
		return err
	}
	tag := c.Tag()
	if err := c.Post(logoutUnit(tag)); err != nil {
		return err
	}
	if err := c.Settle(ctx); err != nil {
		return err
	}
	if c.Kept(tag) {
		return tester.Broken(clause, "a logout is answered")
	}
	if !c.Lost() {
		if err := c.Disconnect(ctx); err != nil {
			return tester.Broken(clause, "a disconnect after a logout: %v", err)
		}
	}
	return freed(ctx, clause, c)
}

// freed looks whether a nexus has no channel any more: a login of another channel does not find one. Nothing tells when a target has got so
// far, and each login that is made to see that gives it another channel to free, so that pauses grow: to more than a second in sum.
func freed(ctx context.Context, clause string, c *tester.Channel) error {
	const attempts = 8
	pause := 10 * time.Millisecond
	for range attempts {
		other, err := c.Another(ctx)
		if err != nil {
			return fmt.Errorf("login of another channel after the last: %w", err)
		}
		if result(other) != srp.ChannelsKept {
			return nil
		}
		if err := other.Disconnect(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause *= 2
	}
	return tester.Broken(clause, "the channel of a nexus has ended, and a login of another finds it again and again")
}

func commandsAfterLogout(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	units := [][]byte{logoutUnit(c.Tag())}
	for range 3 {
		units = append(units, c.Command(t.Target().LUNs[0], scsi.TestUnitReady.New(), srp.Buffer{}, srp.Buffer{}))
	}
	if err := c.Post(units...); err != nil {
		return err
	}
	if err := c.Settle(ctx); err != nil {
		return err
	}
	for _, unit := range units[1:] {
		if tag := srp.Tag(unit[8:16]); c.Kept(tag) {
			return tester.Broken("SRP-LOGOUT-009", "a command behind a logout is answered, with tag %s", tag)
		}
	}
	return nil
}

func disconnected(ctx context.Context, t *tester.Tester) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := c.Disconnect(ctx); err != nil {
		return tester.Broken("SRP-LOGOUT-005", "a disconnect: %v", err)
	}
	return freed(ctx, "SRP-LOGOUT-005", c)
}

// vanished has an initiator vanish with a command outstanding, and log in again.
func vanished(ctx context.Context, t *tester.Tester) error {
	const clause = "SRP-LOGOUT-006"
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	lun := t.Target().LUNs[0]
	if err := outstanding(c, c.Tag(), lun, 0, 160); err != nil {
		return err
	}
	if err := c.Vanish(); err != nil {
		return err
	}
	back, err := t.ConnectAs(ctx, c.Request.InitiatorPort)
	if err := accepted(clause, back, err); err != nil {
		return err
	}
	if r := result(back); r == srp.ChannelsKept {
		return tester.Broken(clause, "the login of an initiator that had vanished is answered with multi-channel result %d", r)
	}
	if err := back.MakeReady(ctx, lun); err != nil {
		return tester.Broken(clause, "after the login of an initiator that had vanished: %v", err)
	}
	if err := back.WriteAt(ctx, lun, 0, back.Stamped(lun, 0, 1, 161)); err != nil {
		return tester.Broken(clause, "after the login of an initiator that had vanished: %v", err)
	}
	return back.CheckStamped(ctx, lun, 0, 1, 161)
}

func manyLogins(ctx context.Context, t *tester.Tester) error {
	for i := range 40 {
		c, err := t.Connect(ctx)
		if err != nil {
			return fmt.Errorf("login %d: %w", i+1, err)
		}
		if err := c.Disconnect(ctx); err != nil {
			return fmt.Errorf("disconnect %d: %w", i+1, err)
		}
	}
	return nil
}

// Vanished decides that the session of an initiator that has vanished is freed within a time, without a new login.
func Vanished(ctx context.Context, t *tester.Tester, within time.Duration) error {
	c, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := c.Vanish(); err != nil { // messages of the connection manager still come
		return err
	}
	began := time.Now()
	for time.Since(began) < within {
		if err := c.AwaitClosed(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return tester.Broken("SRP-LOGOUT-007", "the session of an initiator that has vanished is still there after %s", within)
}
