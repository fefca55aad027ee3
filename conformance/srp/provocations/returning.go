// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func returning() []Provocation {
	return []Provocation{
		{Name: "a target is restarted", Clauses: []string{"SRP-RECON-015"}, Takes: 2 * time.Second, Run: restarted},
		{Name: "a target disconnects at the begin of each of five channels", Clauses: []string{"SRP-RECON-019"}, Takes: 6 * time.Second, Run: lostAtBegin},
		{Name: "a port is deleted while its login is not answered", Clauses: []string{"SRP-RECON-018"}, Takes: 2 * time.Second, Run: deletedWhileAttempting},
		{Name: "logins are not answered", Clauses: []string{"SRP-RECON-009", "SRP-RECON-030"}, Takes: 12 * time.Second, Run: attemptsEnd},
		{Name: "one of two targets does not answer logins", Targets: 2, Clauses: []string{"SRP-RECON-007", "SRP-RECON-008"}, Takes: 12 * time.Second, Run: othersNotDelayed},
		{Name: "a target is there again after an outage", Clauses: []string{"SRP-RECON-011"}, Takes: 3 * time.Second, Run: backInTime},
		{Name: "attempts fail and then succeed, twice", Clauses: []string{"SRP-RECON-023"}, Takes: 6 * time.Second, Run: failuresCounted},
		{Name: "an attempt is asked for at once", Clauses: []string{"SRP-RECON-025"}, Run: attemptAtOnce},
		{Name: "fast_io_fail_tmo is changed while a port is blocked", Clauses: []string{"SRP-TMO-017"}, Takes: time.Second, Run: changedTimer},
		{Name: "timers are set that cannot be", Clauses: []string{"SRP-TMO-001", "SRP-TMO-002"}, Run: forbiddenTimers},
	}
}

func restarted(ctx context.Context, e *Execution) error {
	const clause = "SRP-RECON-015"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if err := Usable(ctx, d); err != nil {
		return err
	}
	if _, err := e.restart(v, script.Script{Limit: script.DefaultLimit / 2}); err != nil {
		return err
	}
	if err := e.usableAgain(ctx, clause, d); err != nil {
		return err
	}
	return broken(clause, readBack(ctx, d, probeOffset, 2))
}

// lostAtBegin disconnects whenever a channel has just begun, while a write waits.
func lostAtBegin(ctx context.Context, e *Execution) error {
	const clause, times = "SRP-RECON-019", 5
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	first := 0
	v.Do(func() { first = len(v.Channels) })
	// A command can come before it is known that its channel is established, so that the number of the channel decides.
	goes := func(c *script.Channel) bool {
		n := slices.Index(v.Channels, c)
		return n >= first && n < first+times
	}
	v.Do(func() {
		v.Script.Begin = func(c *script.Channel) {
			if goes(c) {
				c.Hangup()
			}
		}
		v.Script.Serve = func(c *script.Command) {
			if !goes(c.Channel) || !c.Writes(probeOffset) {
				c.Answer()
			}
		}
	})
	e.hangup(ctx, v)
	patience, cancel := e.patient(ctx, e.seconds(2*times))
	defer cancel()
	after := contents(probeOffset, probeSize, 7)
	if err := errors.Join(bounded(patience, d.Write(patience, probeOffset, after)), holds(v, probeOffset, after)); err != nil {
		return finding.Broken(clause, "a write during the losses: %v", err)
	}
	return e.usableAgain(ctx, clause, d)
}

// deletedWhileAttempting deletes a port while an attempt to log in waits for its answer.
func deletedWhileAttempting(ctx context.Context, e *Execution) error {
	const clause = "SRP-RECON-018"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = (*script.Login).Ignore })
	e.hangup(ctx, v)
	if err := e.attempt(ctx, Survival, v, 2, e.seconds(1)); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx, e.seconds(1))
	defer cancel()
	if err := outcome(patience, async(func() error { return e.delete(ctx, d) })); err != nil {
		return finding.Broken(clause, "the deletion during an attempt takes more than %s and %s: %v", e.seconds(1), e.setup.Patience, err)
	}
	return e.duringAttempt(clause, "the deletion", v, time.Now())
}

// attemptsEnd leaves logins without an answer.
func attemptsEnd(ctx context.Context, e *Execution) error {
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = (*script.Login).Ignore })
	e.hangup(ctx, v)
	if err := e.attempt(ctx, Survival, v, 2, e.seconds(1)); err != nil {
		return err
	}
	most := e.setup.Initiator.Timers().AttemptMax
	if err := e.attempt(ctx, "SRP-RECON-009", v, 3, most+e.seconds(1)); err != nil {
		return errors.Join(err, finding.Broken("SRP-RECON-030", "the attempt does not end within %s", most))
	}
	v.Do(func() { v.Script.Login = nil })
	return e.usableAfter(ctx, Survival, d, most)
}

// othersNotDelayed loses two targets, of which one answers no login. The other one goes later, so that its turn is behind.
func othersNotDelayed(ctx context.Context, e *Execution) error {
	v, _, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	w, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = (*script.Login).Ignore })
	e.hangup(ctx, v)
	if err := e.attempt(ctx, Survival, v, 2, e.seconds(1)); err != nil {
		return err
	}
	e.hangup(ctx, w)
	t := e.setup.Initiator.Timers()
	turn := e.seconds(1) + t.AttemptMax + t.Gap
	patience, cancel := e.patient(ctx, turn)
	defer cancel()
	if err := w.Await(patience, "the other target is asked for a login", func() bool { return len(w.Logins) >= 2 }); err != nil {
		return errors.Join(
			finding.Broken("SRP-RECON-007", "a target waits for more than reconnect_delay, %s for one attempt and %s between: %v", t.AttemptMax, t.Gap, err),
			finding.Broken("SRP-RECON-008", "a target has no attempt: %v", err))
	}
	return e.usableAgain(ctx, "SRP-RECON-007", d)
}

// backInTime is away for three attempts.
func backInTime(ctx context.Context, e *Execution) error {
	const clause = "SRP-RECON-011"
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = func(l *script.Login) { l.Reject(srp.RejectNoResources) } })
	e.hangup(ctx, v)
	if err := e.attempt(ctx, Survival, v, 4, e.seconds(3)); err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = nil })
	if err := e.awaitState(ctx, clause, d, Running, e.seconds(2)); err != nil {
		return err
	}
	return broken(clause, Usable(ctx, d))
}

// failuresCounted looks at the number of failures after some, and after a success.
func failuresCounted(ctx context.Context, e *Execution) error {
	const clause, some = "SRP-RECON-023", 2
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	for range 2 {
		before := v.Asked()
		v.Do(func() { v.Script.Login = func(l *script.Login) { l.Reject(srp.RejectNoResources) } })
		e.hangup(ctx, v)
		if err := e.attempt(ctx, Survival, v, before+some+1, e.seconds(2*some)); err != nil {
			return err
		}
		p, err := d.Port(ctx)
		most := v.Asked() - before // attempts go on while the port is looked at
		switch {
		case err != nil:
			return err
		case p.Failures < 0:
			return ErrNoFailures
		case p.Failures < some || p.Failures > most:
			return finding.Broken(clause, "%d failures are told, and %d to %d attempts have failed since the last success", p.Failures, some, most)
		}
		v.Do(func() { v.Script.Login = nil })
		if err := e.usableAgain(ctx, Survival, d); err != nil {
			return err
		}
		if p, err = d.Port(ctx); err != nil || p.Failures != 0 {
			return errors.Join(err, finding.Broken(clause, "%d failures are told after a success, it must be 0", p.Failures))
		}
	}
	return nil
}

// attemptAtOnce does not wait for reconnect_delay.
func attemptAtOnce(ctx context.Context, e *Execution) error {
	const clause = "SRP-RECON-025"
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(600)})
	if err != nil {
		return err
	}
	e.hangup(ctx, v)
	if err := e.awaitState(ctx, Survival, d, Blocked, 0); err != nil {
		return err
	}
	if err := d.Reconnect(ctx); err != nil {
		return broken(clause, err)
	}
	if err := e.awaitState(ctx, clause, d, Running, 0); err != nil {
		return err
	}
	return broken(clause, Usable(ctx, d))
}

// changedTimer makes fast_io_fail_tmo shorter after a loss.
func changedTimer(ctx context.Context, e *Execution) error {
	const clause = "SRP-TMO-017"
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(500), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	if err := e.lose(ctx, v); err != nil {
		return err
	}
	if err := e.awaitState(ctx, Survival, d, Blocked, 0); err != nil {
		return err
	}
	if err := d.Set(ctx, Times{FastIOFail: e.seconds(1)}); err != nil {
		return broken(clause, err)
	}
	if err := e.awaitState(ctx, clause, d, FailFast, e.seconds(1)); err != nil {
		return err
	}
	return v.Open()
}

// forbiddenTimers sets combinations that must be refused, and must leave the timers as they were.
func forbiddenTimers(ctx context.Context, e *Execution) error {
	const clause = "SRP-TMO-002"
	_, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	start := Times{FastIOFail: 15 * time.Second, DevLoss: 30 * time.Second, ReconnectDelay: 10 * time.Second}
	if err := d.Set(ctx, start); err != nil {
		return broken("SRP-TMO-001", err)
	}
	if p, err := d.Port(ctx); err != nil || p.Times != start && p.Times != (Times{}) {
		return errors.Join(err, finding.Broken("SRP-TMO-001", "the timers are %v, and were set to %v", p.Times, start))
	}
	for _, t := range []Times{
		{FastIOFail: Off, DevLoss: Off, ReconnectDelay: Off},
		{FastIOFail: 601 * time.Second, DevLoss: Off},
		{FastIOFail: Off, DevLoss: 601 * time.Second},
		{FastIOFail: 30 * time.Second},
		{DevLoss: 15 * time.Second},
	} {
		what := fmt.Sprintf("setting fast_io_fail_tmo, dev_loss_tmo and reconnect_delay to %v", t)
		if err := failed(clause, what, d.Set(ctx, t), syscall.EINVAL); err != nil {
			return err
		}
		p, err := d.Port(ctx)
		switch {
		case err != nil:
			return err
		case p.Times == Times{}:
			return ErrNoTimes
		case p.Times != start:
			return finding.Broken(clause, "after %s, which was refused, they are %v, and were %v", what, p.Times, start)
		}
	}
	return nil
}
