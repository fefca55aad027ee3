// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// What an initiator promises its user of a failover.
const (
	kept     = "IBTRS-PATH-025" // the promise is kept
	notLoose = "IBTRS-PATH-026" // it is no longer than what follows from the timers
)

// promising are about the times that an initiator tells its user.
func promising() []Provocation {
	return []Provocation{
		{Name: "nothing happens, and the initiator tells how long a failover takes", Clauses: []string{notLoose}, Run: tellsNoMore},
		{Name: "servers fall silent, and the initiator has told how long that takes", Servers: 3, Slow: true, Clauses: []string{kept}, Run: keepsWhatItTells},
	}
}

// tellsNoMore holds what an initiator tells against what follows from its timers.
func tellsNoMore(ctx context.Context, p *Execution) error {
	_, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	promises, err := d.Promises(ctx)
	if err != nil {
		return err
	}
	if loose := p.setup.Initiator.Timers().Loose(promises, 1); len(loose) > 0 {
		return tester.Broken(notLoose, "%s", strings.Join(loose, "; "))
	}
	return nil
}

// keepsWhatItTells measures all times that an initiator tells: one server is silent on one of two paths, another on its only one.
func keepsWhatItTells(ctx context.Context, p *Execution) error {
	two, one := &Execution{setup: p.setup}, &Execution{setup: p.setup}
	two.setup.Devices, one.setup.Devices = p.setup.Devices[:2], p.setup.Devices[2:]
	var errs [2]error
	var both sync.WaitGroup
	both.Go(func() { errs[0] = errors.Join(silentOnOneOfTwo(ctx, two), two.close(ctx)) })
	both.Go(func() { errs[1] = errors.Join(silentAltogether(ctx, one), one.close(ctx)) })
	both.Wait()
	return errors.Join(errs[:]...)
}

// promise is the longest that something may take which the initiator has promised to take so long at most.
func (p *Execution) promise(d time.Duration) time.Duration {
	return late(d, p.setup.Initiator.Timers().Lateness) + slack
}

// silentOnOneOfTwo judges how long a write takes whose path falls silent when it arrives.
func silentOnOneOfTwo(ctx context.Context, p *Execution) error {
	v, d, err := p.beginOnTwo(ctx, 2)
	if err != nil {
		return err
	}
	promises, err := d.Promises(ctx)
	if err != nil {
		return err
	}
	var silent *script.Path
	delay(v, func(r *script.Request) bool {
		if silent == nil {
			silent = r.Conn.Path
		}
		return r.Conn.Path == silent
	})
	v.Do(func() {
		v.Script.Heartbeat = func(c *script.Conn) {
			if c.Path != silent {
				c.Acknowledge()
			}
		}
	})
	most := p.promise(promises.StallWithPath)
	return p.timed(ctx, "a write whose path falls silent while another is whole", most, func(ctx context.Context) error {
		return d.Write(ctx, probeOffset, contents(1))
	})
}

// timed judges how long something takes, which must succeed.
func (p *Execution) timed(ctx context.Context, what string, most time.Duration, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	begin := time.Now()
	if err := bounded(ctx, do(ctx)); err != nil {
		return tester.Broken(kept, "%s: after %s of the %s that the initiator promises: %v", what, time.Since(begin).Round(time.Millisecond), most, err)
	}
	return nil
}

// silentAltogether judges how long a write takes to fail whose only path falls silent, and how long the initiator takes to return
// when the server answers again.
func silentAltogether(ctx context.Context, p *Execution) error {
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	promises, err := d.Promises(ctx)
	if err != nil {
		return err
	}
	delay(v, every)
	lost := latest(v)
	v.Do(func() { v.Script.Heartbeat = func(*script.Conn) {} })
	err = p.timed(ctx, "a write whose only path falls silent fails", p.promise(promises.ErrorWithoutPath), func(ctx context.Context) error {
		err := d.Write(ctx, probeOffset, contents(1))
		if err == nil {
			return errors.New("it has succeeded")
		}
		return context.Cause(ctx)
	})
	if err != nil {
		return err
	}
	v.Do(func() { v.Script.Heartbeat, v.Script.Serve = nil, nil })
	return p.timed(ctx, "the path is connected again", p.promise(promises.Reconnect), func(ctx context.Context) error {
		return v.Await(ctx, "the client asks for its disk over another build of the path", func() bool {
			return slices.ContainsFunc(v.Seen, func(r *script.Request) bool { return r.Kind == ibnbd.TypeOpen && r.Conn.Path != lost })
		})
	})
}
