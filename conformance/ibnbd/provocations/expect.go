// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// refused judges that the disk of a server cannot be mapped, and that the initiator leaves no connection open. Without wanted
// numbers any error will do. An initiator that has not even asked the server has refused nothing.
func refused(ctx context.Context, p *Execution, clause string, s script.Script, want ...ibtrs.Errno) error {
	v, err := p.Serve(s)
	if err != nil {
		return err
	}
	_, err = p.Map(ctx, v)
	if err != nil && v.Asked() == 0 {
		return fmt.Errorf("the server was not asked for a connection: %w", err)
	}
	if err := failed(clause, "mapping the disk", err, want...); err != nil {
		return err
	}
	return abandoned(ctx, p, clause, v)
}

// failed judges an error that must be there, with one of some numbers; without numbers any will do. ErrNoNumber says that the
// error is there, and that its number is not known.
func failed(clause, what string, err error, want ...ibtrs.Errno) error {
	switch {
	case err == nil:
		return tester.Broken(clause, "%s succeeded, it must fail", what)
	case errors.Is(err, errStuck):
		return tester.Broken(clause, "%s, it must fail: %v", what, err)
	case len(want) > 0 && errors.Is(err, ErrNoNumber):
		return fmt.Errorf("%s failed, which is right, and must with %v: %w", what, want, err)
	case len(want) > 0 && !slices.Contains(want, ibtrs.ErrnoOf(err)):
		return tester.Broken(clause, "%s failed with %v, it must fail with %v", what, err, want)
	}
	return nil
}

// abandoned judges that the initiator ends every connection that a server has accepted.
func abandoned(ctx context.Context, p *Execution, clause string, v *script.Server) error {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	err := v.Await(ctx, "the client has ended all its connections", func() bool {
		return !slices.ContainsFunc(v.Paths, func(p *script.Path) bool { return len(p.Conns) > 0 && !p.Over() })
	})
	if err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}

// accepted judges that the disk of a server can be mapped, used and unmapped.
func accepted(ctx context.Context, p *Execution, clause string, s script.Script, change func(*script.Server)) error {
	v, err := p.Serve(s)
	if err != nil {
		return err
	}
	if change != nil {
		v.Do(func() { change(v) })
	}
	d, err := p.Map(ctx, v)
	if err != nil {
		return tester.Broken(clause, "the disk cannot be mapped: %v", err)
	}
	if err := Usable(ctx, d); err != nil {
		return tester.Broken(clause, "the disk cannot be used: %v", err)
	}
	if err := p.unmap(ctx, d); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}

// endured tries to map, use and unmap a disk, and asks only that nothing of that hangs.
func endured(ctx context.Context, p *Execution, s script.Script, change func(*script.Server)) error {
	v, err := p.Serve(s)
	if err != nil {
		return err
	}
	if change != nil {
		v.Do(func() { change(v) })
	}
	d, err := p.Map(ctx, v)
	if err == nil {
		ctx, cancel := p.patient(ctx)
		defer cancel()
		_ = Usable(ctx, d)
	}
	return nil
}

// atProbe makes a script do something with the reads of the probe, once.
func atProbe(v *script.Server, do func(r *script.Request)) {
	v.Do(func() {
		copy(v.Disk.Content[probeOffset:], contents(1))
		v.Script.Serve = func(r *script.Request) {
			if !r.Is(0, probeSector) {
				r.Answer()
				return
			}
			v.Script.Serve = nil
			do(r)
		}
	})
}

// undisturbed judges that what a server does about a read has no influence on it, nor on the path.
func undisturbed(ctx context.Context, p *Execution, clause string, s script.Script, do func(r *script.Request)) error {
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	atProbe(v, do)
	patience, cancel := p.patient(ctx)
	defer cancel()
	if err := readBack(patience, d, 1); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	if err := Usable(patience, d); err != nil {
		return tester.Broken(clause, "afterwards: %v", err)
	}
	if err := p.unmap(ctx, d); err != nil { // what was sent on connection 0 has been seen now, too
		return tester.Broken(clause, "%v", err)
	}
	return unbroken(clause, v)
}

// unbroken judges that a server has seen one path, which this side has not seen fail before it was given up.
func unbroken(clause string, v *script.Server) error {
	builds := 0
	v.Do(func() { builds = len(v.Paths) })
	if builds != 1 {
		return tester.Broken(clause, "the client has built its path %d times, it must keep it", builds)
	}
	return nil
}

// recovered judges that the initiator gives its path up over what a server does about a read, fails the read, and that the
// disk can be used again when the path was built anew.
func recovered(ctx context.Context, p *Execution, clause string, s script.Script, do func(r *script.Request)) error {
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	atProbe(v, do)
	if err := failed(clause, "the read", p.read(ctx, d), ibtrs.EIO); err != nil {
		return err
	}
	if err := abandoned(ctx, p, clause, v); err != nil {
		return err
	}
	return returned(ctx, p, clause, v, d)
}

// returned judges that a disk whose path is lost can be used again.
func returned(ctx context.Context, p *Execution, clause string, v *script.Server, d Disk) error {
	if err := p.reconnect(ctx, v, d); err != nil {
		return tester.Broken(clause, "afterwards: %v", err)
	}
	if err := Usable(ctx, d); err != nil {
		return tester.Broken(clause, "after a reconnect: %v", err)
	}
	return nil
}

// reconnect builds the path of a disk anew when it is lost, and waits until the disk is open.
func (p *Execution) reconnect(ctx context.Context, v *script.Server, d Disk) error {
	if err := p.awaitState(ctx, d, closed); err != nil {
		return err
	}
	if err := p.rebuild(ctx, v, d); err != nil {
		return fmt.Errorf("reconnect: %w", err)
	}
	return p.awaitState(ctx, d, open)
}

// rebuild has the path of a disk built anew, now. An initiator that is still taking the old one down may refuse to begin, so it
// is asked until it asks for a connection.
func (p *Execution) rebuild(ctx context.Context, v *script.Server, d Disk) error {
	before := v.Asked()
	again := time.NewTicker(askAgain)
	defer again.Stop()
	patience := time.NewTimer(p.setup.Patience)
	defer patience.Stop()
	for {
		err := p.rebuildOnce(ctx, d)
		if err == nil || v.Asked() != before {
			return err
		}
		select {
		case <-again.C:
		case <-patience.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// askAgain is how often an initiator is asked to reconnect that does not begin.
const askAgain = 200 * time.Millisecond

func (p *Execution) rebuildOnce(ctx context.Context, d Disk) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return bounded(ctx, d.Reconnect(ctx))
}

func (p *Execution) awaitState(ctx context.Context, d Disk, state string) error {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	if err := d.AwaitState(ctx, state); err != nil {
		return fmt.Errorf("the device does not become %s: %w", state, err)
	}
	return nil
}

// hangup disconnects all clients of a server.
func (p *Execution) hangup(ctx context.Context, v *script.Server) {
	ctx, cancel := p.patient(ctx)
	defer cancel()
	v.Hangup(ctx)
}

// within judges how long something took.
func within(clause, what string, took, least, most time.Duration) error {
	if took < least || took > most {
		return tester.Broken(clause, "%s took %s, it must take %s to %s", what, took.Round(time.Millisecond), least, most)
	}
	return nil
}

// latest is the path that a server has seen begin last.
func latest(v *script.Server) (p *script.Path) {
	v.Do(func() { p = v.Paths[len(v.Paths)-1] })
	return p
}
