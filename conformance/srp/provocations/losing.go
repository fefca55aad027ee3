// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/conformance/srp/script"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/srp"
)

func losing() []Provocation {
	return []Provocation{
		{Name: "a target disconnects and is there again", Clauses: []string{"SRP-STATE-001", "SRP-STATE-002", "SRP-RECON-001", "SRP-RECON-016"}, Run: disconnected},
		{Name: "a target is away for longer than fast_io_fail_tmo", Takes: 6 * time.Second, Run: failedFast, Clauses: []string{
			"SRP-STATE-001", "SRP-TMO-004", "SRP-TMO-011", "SRP-STATE-014", "SRP-STATE-005", "SRP-STATE-007",
		}},
		{Name: "fast_io_fail_tmo is 1 s", Clauses: []string{"SRP-TMO-004"}, Run: failsSoon},
		{Name: "a login is not answered while fast_io_fail_tmo passes", Clauses: []string{"SRP-TMO-010"}, Takes: 4 * time.Second, Run: failsWhileAttempting},
		{Name: "a target is back before fast_io_fail_tmo", Clauses: []string{"SRP-STATE-015", "SRP-TMO-011"}, Takes: 2 * time.Second, Run: waitsWhileBlocked},
		{Name: "dev_loss_tmo passes while a target is back", Clauses: []string{"SRP-STATE-011"}, Takes: 6 * time.Second, Run: lossCancelled},
		{Name: "dev_loss_tmo is left as it is", Clauses: []string{"SRP-STATE-010"}, Run: lossOff},
		{Name: "a target rejects twelve logins", Takes: 45 * time.Second, Run: longOutage, Clauses: []string{
			"SRP-RECON-002", "SRP-RECON-014", "SRP-RECON-006", "SRP-RECON-029", "SRP-RECON-010", "SRP-STATE-008", "SRP-STATE-009", "SRP-STATE-006",
		}},
		{Name: "commands are in flight while a target disconnects", Clauses: []string{"SRP-RECON-022", "SRP-RECON-021"}, Takes: 2 * time.Second, Run: inFlight},
		{Name: "a target falls silent while nothing is asked of it", Targets: 2, Clauses: []string{"SRP-TMO-013"}, Takes: 16 * time.Second, Run: silentWhileIdle},
		{Name: "a target falls silent while it is read", Targets: 2, Clauses: []string{"SRP-TMO-004"}, Takes: 20 * time.Second, Run: silentWhileRead},
		{Name: "a target answers no command", Clauses: []string{"SRP-TM-008"}, Takes: 20 * time.Second, Run: answersNothing},
		{Name: "an abort is not answered", Clauses: []string{"SRP-TM-007"}, Takes: 8 * time.Second, Run: abortUnanswered},
		{Name: "a port is deleted whose target is silent", Targets: 2, Clauses: []string{"SRP-LOGOUT-008"}, Takes: 2 * time.Second, Run: deletedInSilence},
	}
}

// disconnected goes, is disabled for an attempt, and is there again before fast_io_fail_tmo.
func disconnected(ctx context.Context, e *Execution) error {
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = func(l *script.Login) { l.Reject(srp.RejectNoResources) } })
	e.hangup(ctx, v)
	if err := e.awaitState(ctx, "SRP-STATE-002", d, Blocked, 0); err != nil {
		return err
	}
	if err := e.attempt(ctx, "SRP-RECON-001", v, 2, e.seconds(1)); err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = nil })
	if err := e.awaitState(ctx, "SRP-RECON-016", d, Running, e.seconds(1)); err != nil {
		return err
	}
	return broken("SRP-RECON-016", Usable(ctx, d))
}

// failedFast goes while a read waits, and is there again after it has failed.
func failedFast(ctx context.Context, e *Execution) error {
	t := e.usual()
	v, d, err := e.beginWith(ctx, script.Script{}, t)
	if err != nil {
		return err
	}
	if err := onceAt(v, func(*script.Command) {}); err != nil {
		return err
	}
	read := async(func() error { return readBack(ctx, d, probeOffset, 1) })
	if err := e.seen(ctx, v, probeOffset); err != nil {
		return err
	}
	began := time.Now()
	if err := e.lose(ctx, v); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx, t.FastIOFail)
	defer cancel()
	err = outcome(patience, read)
	took := time.Since(began)
	if err := failed("SRP-TMO-004", fmt.Sprintf("a read whose target is away for longer than fast_io_fail_tmo, %s,", t.FastIOFail), err, syscall.EIO, syscall.ENOLINK); err != nil {
		return err
	}
	if took < t.FastIOFail {
		return finding.Broken("SRP-TMO-011", "a read fails %s after the loss, before fast_io_fail_tmo, %s", took.Round(time.Millisecond), t.FastIOFail)
	}
	if err := e.awaitState(ctx, "SRP-STATE-001", d, FailFast, 0); err != nil {
		return err
	}
	patience, cancel = e.patient(ctx)
	defer cancel()
	_, err = d.Read(patience, probeOffset, probeSize)
	if err := failed("SRP-STATE-014", "a read from a port that is fail-fast", bounded(patience, err), syscall.EIO); err != nil {
		return err
	}
	if err := v.Open(); err != nil {
		return err
	}
	if err := e.awaitState(ctx, "SRP-STATE-001", d, Running, e.seconds(2)); err != nil {
		return err
	}
	if err := Usable(ctx, d); err != nil {
		return errors.Join(finding.Broken("SRP-STATE-007", "%v", err), finding.Broken("SRP-STATE-005", "%v", err))
	}
	return nil
}

// seen waits until a read of a place has come.
func (e *Execution) seen(ctx context.Context, v *script.Target, offset int64) error {
	ctx, cancel := e.patient(ctx)
	defer cancel()
	return v.Await(ctx, "a read has come", func() bool {
		for _, c := range v.Seen {
			if c.Reads(offset) {
				return true
			}
		}
		return false
	})
}

// failsSoon goes from an initiator whose fast_io_fail_tmo is a second.
func failsSoon(ctx context.Context, e *Execution) error {
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(1), DevLoss: Off, ReconnectDelay: e.seconds(30)})
	if err != nil {
		return err
	}
	e.hangup(ctx, v)
	patience, cancel := e.patient(ctx, e.seconds(1))
	defer cancel()
	_, err = d.Read(patience, probeOffset, probeSize)
	return failed("SRP-TMO-004", "a read whose target is away for longer than fast_io_fail_tmo", bounded(patience, err), syscall.EIO, syscall.ENOLINK)
}

// failsWhileAttempting leaves the attempt to log in without an answer.
func failsWhileAttempting(ctx context.Context, e *Execution) error {
	const clause = "SRP-TMO-010"
	t := Times{FastIOFail: e.seconds(2), DevLoss: Off, ReconnectDelay: e.seconds(1)}
	v, d, err := e.beginWith(ctx, script.Script{}, t)
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Login = (*script.Login).Ignore })
	e.hangup(ctx, v)
	if err := e.awaitState(ctx, clause, d, Blocked, 0); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx, t.FastIOFail)
	defer cancel()
	_, err = d.Read(patience, probeOffset, probeSize)
	if err := failed(clause, fmt.Sprintf("a read at fast_io_fail_tmo, %s, while an attempt is made,", t.FastIOFail), bounded(patience, err), syscall.EIO, syscall.ENOLINK); err != nil {
		return err
	}
	failedAt := time.Now()
	if n := v.Asked(); n < 2 {
		return errors.New("the initiator has not asked for another login before fast_io_fail_tmo")
	}
	return e.duringAttempt(clause, "a read at fast_io_fail_tmo, "+t.FastIOFail.String()+",", v, failedAt)
}

// duringAttempt judges that something has ended before the attempt to log in that came first after a loss, and that is not answered:
// what waits for the attempt ends no sooner. The login has come a while after the attempt began, so that a second counts as its end.
func (e *Execution) duringAttempt(clause, what string, v *script.Target, ended time.Time) error {
	var began time.Time
	v.Do(func() { began = v.Logins[1].At })
	most := e.setup.Initiator.Timers().AttemptMax - e.seconds(1)
	if took := ended.Sub(began); took > most {
		return finding.Broken(clause, "%s ends %s after the login has come, it must not wait for the attempt, which may take %s",
			what, took.Round(time.Millisecond), e.setup.Initiator.Timers().AttemptMax)
	}
	return nil
}

// waitsWhileBlocked is there again while a read waits that came after the loss.
func waitsWhileBlocked(ctx context.Context, e *Execution) error {
	const clause = "SRP-STATE-015"
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	if err := prepare(v, 1); err != nil {
		return err
	}
	v.Do(func() {
		rejects := 0
		v.Script.Login = func(l *script.Login) {
			if rejects++; rejects > 2 {
				l.Accept()
				return
			}
			l.Reject(srp.RejectNoResources)
		}
	})
	e.hangup(ctx, v)
	if err := e.awaitState(ctx, "SRP-TMO-011", d, Blocked, 0); err != nil {
		return err
	}
	patience, cancel := e.patient(ctx, e.seconds(4))
	defer cancel()
	return broken(clause, readBack(patience, d, probeOffset, 1))
}

// lossCancelled is back before dev_loss_tmo, and the disk is still there when that has passed.
func lossCancelled(ctx context.Context, e *Execution) error {
	const clause = "SRP-STATE-011"
	t := Times{FastIOFail: e.seconds(3), DevLoss: e.seconds(5), ReconnectDelay: e.seconds(1)}
	v, d, err := e.beginWith(ctx, script.Script{}, t)
	if err != nil {
		return err
	}
	e.hangup(ctx, v)
	passed := time.NewTimer(t.DevLoss + t.ReconnectDelay)
	defer passed.Stop()
	if err := e.usableAgain(ctx, Survival, d); err != nil {
		return err
	}
	select {
	case <-passed.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return broken(clause, Usable(ctx, d))
}

// lossOff looks at a port whose dev_loss_tmo nobody has set.
func lossOff(ctx context.Context, e *Execution) error {
	_, d, err := e.beginWith(ctx, script.Script{}, Times{})
	if err != nil {
		return err
	}
	p, err := d.Port(ctx)
	switch {
	case err != nil:
		return err
	case p.Times.DevLoss == 0:
		return ErrNoTimes
	case p.Times.DevLoss != Off:
		return finding.Broken("SRP-STATE-010", "dev_loss_tmo is %s by default, it must be off", p.Times.DevLoss)
	}
	return nil
}

// outage is how many logins are rejected in a long one: more than those after which some initiator pauses for longer.
const outage = 12

// longOutage rejects logins, and judges when they come.
func longOutage(ctx context.Context, e *Execution) error {
	t := Times{FastIOFail: e.seconds(2), DevLoss: Off, ReconnectDelay: e.seconds(1)}
	v, d, err := e.beginWith(ctx, script.Script{}, t)
	if err != nil {
		return err
	}
	most := e.setup.Initiator.Timers().ReconnectDelayMax
	v.Do(func() { v.Script.Login = func(l *script.Login) { l.Reject(srp.RejectNoResources) } })
	e.hangup(ctx, v)
	for n := 1; n <= outage; n++ {
		clause, pause := "SRP-RECON-006", max(most, t.ReconnectDelay)
		switch n {
		case 1:
			clause, pause = "SRP-RECON-010", t.ReconnectDelay
		case 2:
			clause = "SRP-RECON-014"
		case 3, 4, 5, 6, 7, 8:
			pause = 2 * t.ReconnectDelay // it does not grow that early
		}
		if err := e.attempt(ctx, clause, v, n+1, pause); err != nil {
			return err
		}
		if n == outage-1 {
			v.Do(func() { v.Script.Login = nil })
		}
	}
	if err := e.awaitState(ctx, "SRP-RECON-002", d, Running, e.seconds(1)); err != nil {
		return errors.Join(err, e.kept(ctx, d))
	}
	return broken("SRP-STATE-006", Usable(ctx, d))
}

// kept judges that a port is there.
func (e *Execution) kept(ctx context.Context, d Disk) error {
	p, err := d.Port(ctx)
	if err != nil || p.State != Lost {
		return err
	}
	return errors.Join(finding.Broken("SRP-STATE-008", "the port is lost, and nobody has deleted it"),
		finding.Broken("SRP-STATE-009", "the port is lost, and dev_loss_tmo is off"))
}

// attempt judges that login number n comes within a pause.
func (e *Execution) attempt(ctx context.Context, clause string, v *script.Target, n int, pause time.Duration) error {
	patience, cancel := e.patient(ctx, pause)
	defer cancel()
	err := v.Await(patience, fmt.Sprintf("login number %d comes, within %s and %s", n, pause, e.setup.Patience), func() bool { return len(v.Logins) >= n })
	if err == nil {
		return nil
	}
	if gone := e.kept(ctx, e.disks[0]); gone != nil {
		return gone
	}
	if clause == "SRP-RECON-006" {
		return errors.Join(finding.Broken(clause, "%v", err), finding.Broken("SRP-RECON-029", "%v", err), finding.Broken("SRP-RECON-002", "%v", err))
	}
	return finding.Broken(clause, "%v", err)
}

// inFlight disconnects while a write and a read wait, which go on after the return.
func inFlight(ctx context.Context, e *Execution) error {
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	before := contents(placeOf(1), probeSize, 5)
	if err := d.Write(ctx, placeOf(1), before); err != nil {
		return err
	}
	came := 0
	v.Do(func() {
		v.Script.Serve = func(c *script.Command) {
			if !c.Writes(probeOffset) && !c.Reads(placeOf(1)) {
				c.Answer()
				return
			}
			if came++; came == 2 {
				v.Script.Serve = nil
				c.Channel.Hangup()
			}
		}
	})
	patience, cancel := e.patient(ctx, e.seconds(3))
	defer cancel()
	after := contents(probeOffset, probeSize, 6)
	write := async(func() error { return d.Write(patience, probeOffset, after) })
	read := async(func() error { return readBack(patience, d, placeOf(1), 5) })
	if err := errors.Join(outcome(patience, write), holds(v, probeOffset, after)); err != nil {
		return finding.Broken("SRP-RECON-022", "a write that was in flight: %v", err)
	}
	if err := outcome(patience, read); err != nil {
		return finding.Broken("SRP-RECON-022", "a read that was in flight: %v", err)
	}
	if err := errors.Join(readBack(ctx, d, placeOf(1), 5), readBack(ctx, d, probeOffset, 6)); err != nil {
		return finding.Broken("SRP-RECON-021", "%v", err)
	}
	return nil
}

// silentWhileIdle loses all packets while the initiator has nothing to do.
func silentWhileIdle(ctx context.Context, e *Execution) error {
	e.apart()
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	end, err := e.silence(v)
	if err != nil {
		return err
	}
	t := e.setup.Initiator.Timers()
	if err := e.awaitState(ctx, "SRP-TMO-013", d, Blocked, t.Probe+t.Deadline); err != nil {
		return err
	}
	end()
	return e.usableAfter(ctx, Survival, d, t.AttemptMax)
}

// usableAfter is usableAgain when an attempt may be under way that has to end first.
func (e *Execution) usableAfter(ctx context.Context, clause string, d Disk, attempt time.Duration) error {
	if err := e.awaitState(ctx, clause, d, Running, attempt+e.seconds(2)); err != nil {
		return err
	}
	return broken(clause, Usable(ctx, d))
}

// silentWhileRead loses all packets, and reads then.
func silentWhileRead(ctx context.Context, e *Execution) error {
	const clause = "SRP-TMO-004"
	e.apart()
	t := e.usual()
	v, d, err := e.beginWith(ctx, script.Script{}, t)
	if err != nil {
		return err
	}
	end, err := e.silence(v)
	if err != nil {
		return err
	}
	timers := e.setup.Initiator.Timers()
	patience, cancel := e.patient(ctx, timers.Probe, timers.Deadline, t.FastIOFail)
	defer cancel()
	_, err = d.Read(patience, probeOffset, probeSize)
	if err := failed(clause, "a read whose target is silent", bounded(patience, err), syscall.EIO, syscall.ENOLINK); err != nil {
		return err
	}
	end()
	return e.usableAfter(ctx, Survival, d, timers.AttemptMax)
}

// silentReads are how many commands are not answered at a time.
const silentReads = 8

// answersNothing answers none of several reads, nor what is asked about them.
func answersNothing(ctx context.Context, e *Execution) error {
	const clause = "SRP-TM-008"
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	if err := prepare(v, silentReads); err != nil {
		return err
	}
	v.Do(func() {
		v.Script.Serve, v.Script.Manage = func(*script.Command) {}, func(*script.Management) {}
		v.Script.Login = func(l *script.Login) {
			v.Script.Serve, v.Script.Manage = nil, nil
			l.Accept()
		}
	})
	timers := e.setup.Initiator.Timers()
	patience, cancel := e.patient(ctx, timers.Deadline, timers.Task, timers.AttemptMax, e.seconds(2))
	defer cancel()
	var reads []<-chan error
	for i := range silentReads {
		reads = append(reads, async(func() error { return readBack(patience, d, placeOf(i), 1) }))
	}
	var errs []error
	for _, r := range reads {
		errs = append(errs, outcome(patience, r))
	}
	return broken(clause, errors.Join(errs...))
}

// abortUnanswered answers neither a write that is given up nor its abort.
func abortUnanswered(ctx context.Context, e *Execution) error {
	const clause = "SRP-TM-007"
	v, d, err := e.beginWith(ctx, script.Script{}, Times{FastIOFail: e.seconds(60), DevLoss: Off, ReconnectDelay: e.seconds(1)})
	if err != nil {
		return err
	}
	waits := false
	onceWriting(v, func(*script.Command) { waits = true })
	v.Do(func() { v.Script.Manage = func(*script.Management) {} })
	application, giveUp := context.WithCancel(ctx)
	defer giveUp()
	write := async(func() error { return d.Write(application, probeOffset, contents(probeOffset, probeSize, 1)) })
	timers := e.setup.Initiator.Timers()
	patience, cancel := e.patient(ctx, timers.Deadline)
	defer cancel()
	if err := v.Await(patience, "a write has come", func() bool { return waits }); err != nil {
		return err
	}
	giveUp()
	if err := v.Await(patience, "the write is aborted", func() bool { return len(v.Managed) > 0 || v.Channels[0].Lost }); err != nil {
		return ErrNoAbort
	}
	patience, cancel = e.patient(ctx, timers.Task)
	defer cancel()
	if err := v.Await(patience, fmt.Sprintf("the initiator ends the channel within %s and %s", timers.Task, e.setup.Patience), func() bool { return v.Channels[0].Lost }); err != nil {
		return finding.Broken(clause, "an abort is not answered: %v", err)
	}
	aborts := 0
	v.Do(func() { aborts = len(v.Managed) })
	switch {
	case aborts == 0:
		return ErrNoAbort
	case aborts > 1:
		return finding.Broken(clause, "%d requests of task management have come, and the first was not answered", aborts)
	}
	_ = outcome(patience, write) // it was given up
	return e.usableAgain(ctx, clause, d)
}

// deletedInSilence deletes a port whose target answers nothing.
func deletedInSilence(ctx context.Context, e *Execution) error {
	const clause = "SRP-LOGOUT-008"
	e.apart()
	v, d, err := e.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	if _, err := e.silence(v); err != nil {
		return err
	}
	logout := e.setup.Initiator.Timers().Logout
	patience, cancel := e.patient(ctx, logout, logout)
	defer cancel()
	if err := outcome(patience, async(func() error { return e.delete(ctx, d) })); err != nil {
		return finding.Broken(clause, "the deletion takes more than twice %s, and %s: %v", logout, e.setup.Patience, err)
	}
	return nil
}
