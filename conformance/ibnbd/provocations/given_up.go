// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// givingUp are about writes whose application is gone while they are under way.
func givingUp() []Provocation {
	const clause = "IBNBD-FAIL-029"
	return []Provocation{
		{
			Name: "an application goes whose write is on a path that is lost", Servers: 2, Clauses: []string{clause},
			Run: func(ctx context.Context, p *Execution) error { return overtaken(ctx, p, clause, goes, (*unseen).lose) },
		},
		{
			Name: "an application goes whose write comes late", Servers: 2, Clauses: []string{clause},
			Run: func(ctx context.Context, p *Execution) error { return overtaken(ctx, p, clause, goes, (*unseen).see) },
		},
		{
			Name: "a disk is unmapped whose write is on a path that is lost", Servers: 2, Clauses: []string{clause},
			Run: func(ctx context.Context, p *Execution) error {
				return overtaken(ctx, p, clause, unmaps, (*unseen).lose)
			},
		},
		{
			Name: "a disk is unmapped whose write comes late", Servers: 2, Clauses: []string{clause},
			Run: func(ctx context.Context, p *Execution) error { return overtaken(ctx, p, clause, unmaps, (*unseen).see) },
		},
	}
}

// unseen are requests that have come to a server on one of its paths, which it has not looked at: as if they were still on
// their way. Heartbeats are answered.
type unseen struct {
	server   *script.Server
	path     *script.Path // belongs to the server's event loop, as the rest
	requests []*script.Request
}

// overlook has a server look at nothing that comes on the path of the next write to the probe.
func overlook(v *script.Server) *unseen {
	u := &unseen{server: v}
	v.Do(func() {
		v.Script.Serve = func(r *script.Request) {
			if u.path == nil && r.Is(ibnbd.OpWrite, probeSector) {
				u.path = r.Conn.Path
			}
			if u.path != nil && r.Conn.Path == u.path {
				u.requests = append(u.requests, r)
				return
			}
			r.Answer()
		}
	})
	return u
}

// sent waits until the write is on its way.
func (u *unseen) sent(ctx context.Context) error {
	return u.server.Await(ctx, "a write has come", func() bool { return u.path != nil })
}

// see has the server look at what has come, and at what comes.
func (u *unseen) see(context.Context) error {
	u.server.Do(func() {
		u.server.Script.Serve = nil
		for _, r := range u.requests {
			r.Answer()
		}
	})
	return nil
}

// lose has the server disconnect the path, whose requests it never sees, and let nobody in any more. It returns when the path is
// over.
func (u *unseen) lose(ctx context.Context) error {
	turnAway(u.server)
	u.server.Do(u.path.Hangup)
	return u.server.Await(ctx, "the client has ended the lost path", u.path.Over)
}

// The writes to the probe.
const (
	oldWrite   = 20
	newerWrite = 21
)

// leaver is an application that writes and goes.
type leaver func(ctx context.Context, p *Execution, d Disk, u *unseen) (next func(context.Context) (Disk, error), err error)

// goes is an application that is ended while it writes. The next one uses the same disk.
func goes(ctx context.Context, p *Execution, d Disk, u *unseen) (next func(context.Context) (Disk, error), err error) {
	life, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = d.Write(life, probeOffset, contents(oldWrite)) // nobody is there to hear how it ended
	}()
	err = u.sent(ctx)
	end()
	select {
	case <-ended:
	case <-ctx.Done():
		return nil, fmt.Errorf("an application whose write is ended: %w", errStuck)
	}
	return func(context.Context) (Disk, error) { return d, nil }, err
}

// unmaps is an application whose disk is unmapped by force while it writes, and mapped again for the next one. Another disk keeps
// the session.
func unmaps(ctx context.Context, p *Execution, d Disk, u *unseen) (next func(context.Context) (Disk, error), err error) {
	mapped, err := p.take(ctx, d.MapAnother)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer end()
		_ = mapped.Write(life, probeOffset, contents(oldWrite)) // it may fail, or not
	}()
	return func(ctx context.Context) (Disk, error) {
		if err := p.unmap(ctx, mapped); err != nil {
			return nil, err
		}
		return p.take(ctx, d.MapAnother)
	}, u.sent(ctx)
}

// overtaken has an application go whose write is on its way, and another write the same block, while the old write is not seen;
// then that comes late, or its path is lost. The newer write must be what the disk has from its acknowledgement on. An initiator
// may have it wait for the end of the old one.
func overtaken(ctx context.Context, p *Execution, clause string, leave leaver, end func(*unseen, context.Context) error) error {
	v, d, err := p.beginOnTwo(ctx, 2)
	if err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	u := overlook(v)
	next, err := leave(patience, p, d, u)
	if err != nil {
		return err
	}
	var newer Disk
	written := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		disk, err := next(ctx)
		if newer = disk; err == nil {
			err = newer.Write(ctx, probeOffset, contents(newerWrite))
		}
		written <- bounded(ctx, err)
	}()
	waiting := time.NewTimer(p.setup.Patience / 2)
	defer waiting.Stop()
	var early bool
	select {
	case err = <-written:
		early = true
	case <-waiting.C:
	}
	patience, cancel = p.patient(ctx)
	defer cancel()
	if err := end(u, patience); err != nil {
		return err
	}
	if !early {
		err = <-written
	}
	if err != nil {
		return tester.Broken(clause, "the newer write: %v", err)
	}
	return p.stays(ctx, clause, newer)
}

// stays judges that a disk has the newer write, and keeps it for a while: an initiator may be a little later with what it sends
// again than with the end of the path.
func (p *Execution) stays(ctx context.Context, clause string, d Disk) error {
	const rounds, period = 10, 50 * time.Millisecond
	ctx, cancel := p.patient(ctx)
	defer cancel()
	next := time.NewTicker(period)
	defer next.Stop()
	for range rounds {
		if err := readBack(ctx, d, newerWrite); err != nil {
			return tester.Broken(clause, "after a newer write was acknowledged: %v", err)
		}
		<-next.C
	}
	return nil
}
