// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// failed judges an error that must be there, with one of some numbers; without numbers any will do. ErrNoNumber says that the error is
// there, and that its number is not known.
func failed(clause, what string, err error, want ...syscall.Errno) error {
	switch {
	case err == nil:
		return finding.Broken(clause, "%s succeeded, it must fail", what)
	case errors.Is(err, errStuck):
		return finding.Broken(clause, "%s, it must fail: %v", what, err)
	case len(want) > 0 && errors.Is(err, ErrNoNumber):
		return untold(fmt.Errorf("%s failed, which is right, and must with %v: %w", what, want, err))
	case len(want) > 0 && !slices.ContainsFunc(want, func(n syscall.Errno) bool { return errors.Is(err, n) }):
		return finding.Broken(clause, "%s failed with %v, it must fail with %v", what, err, want)
	}
	return nil
}

// errUntold is that of a clause that goes by the number of an error.
var errUntold error = &finding.Undecided{Reason: verdict.NoHook, Text: "the clause goes by the number of an error", Survived: true}

// untold leaves undecided what goes by the number of an error that has none.
func untold(err error) error { return fmt.Errorf("%w: %w", errUntold, err) }

// reasonPattern finds a reject reason in what an initiator tells its user.
var reasonPattern = regexp.MustCompile(`(?i)\b0x0*1000[0-9a-f]\b`)

// reasonOf is the reject reason that an error tells; 0 if it tells none.
func reasonOf(err error) srp.RejectReason {
	n, failed := strconv.ParseUint(reasonPattern.FindString(err.Error()), 0, 32)
	if failed != nil {
		return 0
	}
	return srp.RejectReason(n)
}

// refused judges that an initiator does not get the disk of a target, and leaves no channel open.
func (e *Execution) refused(ctx context.Context, clause string, v *script.Target) (told, violation error) {
	_, err := e.Add(ctx, v, e.usual())
	if err != nil && v.Asked() == 0 {
		return err, unasked(err)
	}
	if violation := failed(clause, "the login", err); violation != nil {
		return err, violation
	}
	return err, e.abandoned(ctx, clause, v)
}

// unasked is for a login that has failed before it came.
func unasked(err error) error { return fmt.Errorf("the target was not asked for a login: %w", err) }

// abandoned judges that the initiator ends every channel that a target has accepted.
func (e *Execution) abandoned(ctx context.Context, clause string, v *script.Target) error {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	return broken(clause, v.Await(ctx, "the initiator has ended all its channels", func() bool { return open(v) == 0 }))
}

// open counts channels that live. It runs in the event loop.
func open(v *script.Target) (n int) {
	for _, c := range v.Channels {
		if !c.Lost {
			n++
		}
	}
	return n
}

// onceAt makes a script do something with the first read of the probe. The disk has contents there.
func onceAt(v *script.Target, do func(c *script.Command)) error {
	if err := prepare(v, 1); err != nil {
		return err
	}
	v.Do(func() {
		v.Script.Serve = func(c *script.Command) {
			if !c.Reads(probeOffset) {
				c.Answer()
				return
			}
			v.Script.Serve = nil
			do(c)
		}
	})
	return nil
}

// onceWriting is onceAt for a write.
func onceWriting(v *script.Target, do func(c *script.Command)) {
	v.Do(func() {
		v.Script.Serve = func(c *script.Command) {
			if !c.Writes(probeOffset) {
				c.Answer()
				return
			}
			v.Script.Serve = nil
			do(c)
		}
	})
}

// undisturbed judges that what a target does about a read has no influence on it, nor on the channel.
func (e *Execution) undisturbed(ctx context.Context, clause string, s script.Script, do func(c *script.Command)) error {
	v, d, err := e.begin(ctx, s)
	if err != nil {
		return err
	}
	if err := onceAt(v, do); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx)
	defer cancel()
	if err := readBack(patience, d, probeOffset, 1); err != nil {
		return broken(clause, err)
	}
	if err := Usable(patience, d); err != nil {
		return finding.Broken(clause, "afterwards: %v", err)
	}
	if n := v.Asked(); n != 1 {
		return finding.Broken(clause, "the initiator has logged in %d times, it must keep its channel", n)
	}
	return nil
}

// notTaken judges that a read which the target has not served as it should is not taken for one that has: it fails, or is asked for
// again. Afterwards the disk can be used, perhaps after a reconnect.
func (e *Execution) notTaken(ctx context.Context, clause string, do func(c *script.Command)) error {
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := onceAt(v, do); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx, e.seconds(2))
	defer cancel()
	b, err := d.Read(patience, probeOffset, probeSize)
	if err = bounded(patience, err); errors.Is(err, errStuck) {
		return finding.Broken(clause, "the read: %v", err)
	}
	if err == nil && !slices.Equal(b, contents(probeOffset, probeSize, 1)) {
		return finding.Broken(clause, "the read has succeeded, with data that the target has not sent")
	}
	return e.usableAgain(ctx, clause, d)
}

// usableAgain judges that a disk can be used, perhaps after a reconnect.
func (e *Execution) usableAgain(ctx context.Context, clause string, d Disk) error {
	if err := e.awaitState(ctx, clause, d, Running, e.seconds(2)); err != nil {
		return err
	}
	ctx, cancel := e.patient(ctx, e.seconds(2)) // a loss may not have been noticed
	defer cancel()
	if err := Usable(ctx, d); err != nil {
		return finding.Broken(clause, "afterwards: %v", err)
	}
	return nil
}

// awaitState judges that a port comes into a state, which takes no longer than a timer.
func (e *Execution) awaitState(ctx context.Context, clause string, d Disk, state string, timer time.Duration) error {
	ctx, cancel := e.patient(ctx, timer)
	defer cancel()
	if err := d.AwaitState(ctx, state); err != nil {
		return finding.Broken(clause, "the port does not become %s within %s and %s: %v", state, timer, e.setup.Patience, err)
	}
	return nil
}

// hangup disconnects all initiators of a target.
func (e *Execution) hangup(ctx context.Context, v *script.Target) {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	v.Hangup(ctx)
}

// lose takes a target away: it disconnects, and refuses logins until it is opened again.
func (e *Execution) lose(ctx context.Context, v *script.Target) error {
	if err := v.Shut(); err != nil {
		return err
	}
	e.hangup(ctx, v)
	return nil
}

// last is the channel that was accepted last. It runs in the event loop.
func last(v *script.Target) *script.Channel { return v.Channels[len(v.Channels)-1] }
