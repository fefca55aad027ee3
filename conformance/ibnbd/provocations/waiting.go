// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// quiet is a way of saying nothing.
type quiet struct {
	clause string
	judge  func(ctx context.Context, p *Execution, s script.Script) error
	s      script.Script
}

// slack is what a machine may need beside a timer.
const slack = 4 * time.Second

var quiets = []quiet{
	{"IBTRS-CONN-045", unanswered, script.Script{Connect: (*script.ConnRequest).Ignore}},
	{"IBTRS-INFO-021", uninformed, script.Script{Inform: func(*script.Path) {}}},
	{"IBTRS-HB-006", withoutHeartbeats, script.Script{}},
	{"IBTRS-HB-007", silentAgain, script.Script{}},
	{"IBTRS-CONN-039", deeper, script.Script{}},
	{"IBTRS-HB-009", silentOnce, script.Script{}},
	{"IBTRS-PATH-006", turnedAway, script.Script{}},
}

// waiting are the provocations that take as long as the initiator's timers: one, in which they all run side by side.
func waiting() []Provocation {
	c := Provocation{Name: "servers say nothing, each at another point", Servers: len(quiets), Slow: true, Run: allQuiet}
	for _, q := range quiets {
		c.Clauses = append(c.Clauses, q.clause)
	}
	return []Provocation{c}
}

// allQuiet judges every way at once, each with a server of its own.
func allQuiet(ctx context.Context, p *Execution) error {
	errs := make([]error, len(quiets))
	var all sync.WaitGroup
	for i, q := range quiets {
		setup := p.setup
		setup.Devices = setup.Devices[i : i+1]
		all.Go(func() {
			one := &Execution{setup: setup}
			errs[i] = errors.Join(q.judge(ctx, one, q.s), one.close(ctx))
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// unanswered judges when an initiator gives up a server that does not answer its connection request.
func unanswered(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-CONN-045"
	begin := time.Now()
	if err := refused(ctx, p, clause, s); err != nil {
		return err
	}
	timers := p.setup.Initiator.Timers()
	return within(clause, "giving up", time.Since(begin), timers.Connect, late(timers.Connect, timers.Lateness)+slack)
}

// uninformed judges when an initiator gives up a server that does not answer INFO.
func uninformed(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-INFO-021"
	begin := time.Now()
	if err := refused(ctx, p, clause, s); err != nil {
		return err
	}
	timers := p.setup.Initiator.Timers()
	return within(clause, "giving up", time.Since(begin), timers.Connect, late(timers.Connect, timers.Lateness)+slack)
}

// late is how long a timer may take.
func late(d time.Duration, percent int) time.Duration { return d + d*time.Duration(percent)/100 }

// withoutHeartbeats judges that a server which acknowledges heartbeats and sends none itself is not given up.
func withoutHeartbeats(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-HB-006"
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	detection := p.setup.Initiator.Timers().Detection().Limit
	if err := unless(ctx, v, detection+slack, latest(v).Broken); err != nil {
		return tester.Broken(clause, "the client gave the path up: %v", err)
	}
	if err := Usable(ctx, d); err != nil {
		return tester.Broken(clause, "after %s: %v", detection, err)
	}
	return unbroken(clause, v)
}

// errHappened says that something happened that should not.
var errHappened = errors.New("it happened")

// unless waits for a time in which something must not happen.
func unless(ctx context.Context, v *script.Server, d time.Duration, happens func() bool) error {
	bounded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if v.Await(bounded, "something forbidden", happens) == nil {
		return errHappened
	}
	return ctx.Err()
}

// silentAgain judges when an initiator notices that a server has died to which it had to reconnect before.
func silentAgain(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-HB-007"
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	p.hangup(ctx, v)
	if err := returned(ctx, p, clause, v, d); err != nil {
		return err
	}
	v.Do(func() { v.Script.Heartbeat = func(*script.Conn) {} })
	begin := time.Now()
	patience := p.setup.Initiator.Timers().Patience()
	bounded, cancel := context.WithTimeout(ctx, patience.Limit+slack)
	defer cancel()
	if err := v.Await(bounded, "the client gives the silent server up", latest(v).Broken); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return within(clause, "noticing", time.Since(begin), patience.AtLeast-slack, patience.Limit+slack)
}

// silentOnce judges that an initiator tries to recover when a server has died.
func silentOnce(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-HB-009"
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Heartbeat = func(*script.Conn) {} })
	timers := p.setup.Initiator.Timers()
	bounded, cancel := context.WithTimeout(ctx, timers.Patience().Limit+slack)
	defer cancel()
	if err := v.Await(bounded, "the client gives the silent server up", latest(v).Broken); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	lost := latest(v)
	v.Do(func() { v.Script.Heartbeat = nil })
	if err := p.comesBack(ctx, v, d, lost, 1); err != nil {
		return tester.Broken(clause, "a server that was silent: %v", err)
	}
	return nil
}

// turnedAway judges that an initiator goes on trying when a server turns it away.
func turnedAway(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-PATH-006"
	const times = 2
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	left := times
	v.Do(func() {
		v.Script.Connect = func(k *script.ConnRequest) {
			if left == 0 {
				k.Accept()
				return
			}
			left--
			k.RejectErrno(-int16(ibtrs.EBUSY))
		}
	})
	lost := latest(v)
	p.hangup(ctx, v)
	if err := p.comesBack(ctx, v, d, lost, 1+times); err != nil {
		return tester.Broken(clause, "a server that has turned it away %d times: %v", times, err)
	}
	return nil
}

// comesBack waits until the initiator has its disk open again over another build of a lost path, by itself, after so many
// attempts. That the disk is open says nothing before the initiator has asked for it over the new build: a server sees a path
// end before the state of the disk shows it.
func (p *Execution) comesBack(ctx context.Context, v *script.Server, d Disk, lost *script.Path, attempts int) error {
	bounded, cancel := context.WithTimeout(ctx, time.Duration(attempts)*p.pause()+slack)
	defer cancel()
	err := v.Await(bounded, "the client asks for its disk over another build of the path", func() bool {
		return slices.ContainsFunc(v.Seen, func(r *script.Request) bool { return r.Kind == ibnbd.TypeOpen && r.Conn.Path != lost })
	})
	if err == nil {
		err = d.AwaitState(bounded, open)
	}
	if err != nil {
		return fmt.Errorf("the disk is not open again after the time of %d attempts: %w", attempts, err)
	}
	return Usable(ctx, d)
}

// pause is the longest time between two attempts to connect a path again.
func (p *Execution) pause() time.Duration {
	t := p.setup.Initiator.Timers()
	return late(t.ReconnectDelay+t.ReconnectSettle+t.ReconnectSpread, t.Lateness) + slack
}

// deeper judges that an initiator does not use a path whose queue depth has changed. It may ask for it again.
func deeper(ctx context.Context, p *Execution, s script.Script) error {
	const clause = "IBTRS-CONN-039"
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	p.hangup(ctx, v)
	v.Do(func() { v.Script.Geometry.QueueDepth *= 2 })
	if err := p.awaitState(ctx, d, closed); err != nil {
		return err
	}
	if p.rebuild(ctx, v, d) == nil {
		return tester.Broken(clause, "the client uses a path of another depth when it is told to reconnect")
	}
	used := func() bool {
		return slices.ContainsFunc(v.Paths[1:], func(path *script.Path) bool { return path.Informed })
	}
	if err := unless(ctx, v, p.pause(), used); err != nil {
		return tester.Broken(clause, "the client goes on with a path of another depth: %v", err)
	}
	return nil
}
