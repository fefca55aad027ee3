// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/attacks"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/loopback"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// serverSpec is a spec of servers that is no attack, because it needs a server, or a way to it, that attacks do not have.
type serverSpec struct {
	name string
	run  func(ctx context.Context, start starter) error
}

// starter starts the server that a spec is run on, once, with what the spec changes in its configuration.
type starter func(change func(*ibnbd.ServerConfig)) (*loopback.Loopback, tester.Target, error)

// specTrial is a server and the spec that must find what it breaks.
type specTrial struct {
	spec  serverSpec
	spoil func(b *brokenServer)
}

// judgedBy makes a mutant of a server that a spec must find.
func judgedBy(spec serverSpec, name, what, clause string, spoil func(b *brokenServer)) row {
	return row{mutant.Mutant{Name: name, What: what, Breaks: []string{clause}, Kind: matrix.Server, Trial: specTrial{spec, spoil}}}
}

// Specs is the one that the mutant names.
func (t specTrial) Specs([]string) []mutant.Spec {
	return []mutant.Spec{{Name: t.spec.name, Run: t.run}}
}

// run puts a server of its own to the spec.
func (t specTrial) run(ctx context.Context, on mutant.Subject) (mutant.Findings, error) {
	var l *loopback.Loopback
	err := t.spec.run(ctx, func(change func(*ibnbd.ServerConfig)) (_ *loopback.Loopback, target tester.Target, err error) {
		l, err = loopback.Start(func(cfg *ibnbd.ServerConfig) {
			change(cfg)
			if on.Broken {
				t.spoil(newBrokenServer(cfg))
			}
		})
		if err != nil {
			return nil, target, fmt.Errorf("start a server: %w", err)
		}
		target = l.Target()
		target.Patience = on.Patience
		return l, target, nil
	})
	if l == nil {
		return nil, err
	}
	if closed := l.Close(); closed != nil && !on.Broken {
		err = errors.Join(err, fmt.Errorf("the server has left something behind: %w", closed))
	}
	return mutant.FindingsOf(ctx, err, on)
}

// silence is a spec whose timers are shorter than the real ones.
var silence = serverSpec{"a client that falls silent is given up", func(ctx context.Context, start starter) error {
	_, target, err := start(func(cfg *ibnbd.ServerConfig) { cfg.Transport.Timers = slowTimers })
	if err != nil {
		return err
	}
	return attacks.Silence{Timers: slowTimers}.Run(ctx, target)
}}

// halfOpen is a spec whose limit is shorter than the real one.
var halfOpen = serverSpec{"a target ends a path on which INFO does not come", func(ctx context.Context, start starter) (err error) {
	_, target, err := start(func(cfg *ibnbd.ServerConfig) { cfg.Transport.Timers.HalfOpen = mutant.ShortWait / 3 })
	if err != nil {
		return err
	}
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	return attacks.HalfOpen(ctx, t)
}}

var tooManyPaths = serverSpec{"a target rejects the 129th path of a session", func(ctx context.Context, start starter) (err error) {
	l, target, err := start(func(*ibnbd.ServerConfig) {})
	if err != nil {
		return err
	}
	if target.Rails, err = l.Ways(ibtrs.MaxPaths + 1); err != nil {
		return err
	}
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	return attacks.TooManyPaths(ctx, t)
}}

// closing is a path that its server closes while a write is with the disk.
type closing struct {
	*tester.Path
	target tester.Target
	device uint32
	disk   *gatedDisk
	gone   chan struct{} // a token when the path has come to its end
}

// write is a write of a sector, in its chunk.
func (c *closing) write(sector uint64, chunk uint32) tester.Request {
	message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, 0, c.device, sector, ibnbd.SectorSize))
	return c.ToChunk(c.Write(message, make([]byte, ibnbd.SectorSize)), chunk)
}

// closes makes a spec in which a server disconnects a path while a write is with its disk.
func closes(name string, then func(context.Context, *closing) error) serverSpec {
	return serverSpec{name, func(ctx context.Context, start starter) (err error) {
		c := &closing{disk: newGatedDisk(), gone: make(chan struct{}, 1)}
		begun := make(chan struct{}, 1)
		l, target, err := start(func(cfg *ibnbd.ServerConfig) {
			c.disk.Backend = cfg.Exports[0].Backend
			cfg.Exports[0].Backend = c.disk
			cfg.Transport.Transition = func(_ *ibtrs.ServerPath, _, to ibtrs.PathState) {
				switch to {
				case ibtrs.StateClosing:
					mark(begun)
				case ibtrs.StateClosed:
					mark(c.gone)
				}
			}
		})
		if err != nil {
			return err
		}
		t := tester.New(target)
		defer func() { err = errors.Join(err, t.Close()) }()
		defer c.disk.release()
		p, opened, err := t.Ready(ctx)
		if err != nil {
			return err
		}
		c.Path, c.target, c.device = p, target, opened.DeviceID
		if err := p.Session.NewPath(1).Connect(ctx); err != nil { // so that the session, which waits for its devices, lives on
			return err
		}
		if err := p.Post(c.write(0, 0)); err != nil {
			return err
		}
		if err := await(ctx, c.disk.begun); err != nil {
			return err
		}
		for _, path := range l.Server.Transport().Sessions()[0].Paths() {
			if path.Local() == target.Rails[0].Addr.Addr() {
				path.Disconnect()
			}
		}
		if err := await(ctx, begun); err != nil {
			return err
		}
		return then(ctx, c)
	}}
}

// await waits for a token.
func await(ctx context.Context, token <-chan struct{}) error {
	select {
	case <-token:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var closesLater = closes("a target waits for the disk before a path ends", func(ctx context.Context, c *closing) error {
	if err := c.AwaitClosed(ctx); err != nil {
		return err
	}
	select {
	case <-c.gone:
		return tester.Broken("IBTRS-PATH-021", "the path has come to its end while the disk had a write of it")
	case <-time.After(c.target.Patience / 5):
		return nil
	}
})

var closesSilently = closes("a target answers nothing that comes while it closes the path", func(ctx context.Context, c *closing) error {
	const late = 1 // the chunk of what comes then
	err := c.Post(c.write(1, late))
	if errors.Is(err, tester.ErrClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-c.disk.begun: // which is no answer yet
	case <-time.After(c.target.Patience / 20):
	}
	c.disk.release()
	for {
		switch answer, err := c.Answer(ctx, 1); {
		case errors.Is(err, tester.ErrClosed):
			return nil
		case err != nil:
			return err
		case answer.Chunk == late:
			return tester.Broken("IBTRS-PATH-020", "a write that came while the path was being closed is answered with %s", answer.Errno)
		}
	}
})

// mark puts a token into a channel, unless there is one.
func mark(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// serverSpecs are mutants of what a server does when it hears nothing, and of what it must bound.
func serverSpecs() []row {
	return []row{
		judgedBy(silence, "never-gives-up", "never declares a client dead", "IBTRS-PATH-016", func(b *brokenServer) { b.rules().IgnoreSilence = true }).slowly(),
		judgedBy(silence, "gives-up-too-soon", "declares a client dead after two intervals", "IBTRS-HB-004",
			func(b *brokenServer) { b.Transport.Timers.HeartbeatMisses = 2 }).slowly(),
		judgedBy(silence, "keeps-the-device-of-the-dead", "counts a writer whose session is gone", "IBNBD-FAIL-008",
			rule(func(r *ibnbd.ServerRules) { r.KeepWriter = true })).slowly(),
		judgedBy(halfOpen, "half-open-without-limit", "keeps a path on which INFO does not come", "IBTRS-CONN-050",
			func(b *brokenServer) { b.rules().NoHalfOpenLimit = true }),
		judgedBy(tooManyPaths, "any-number-of-paths", "takes any number of paths", "IBTRS-CONN-060", func(b *brokenServer) { b.rules().NoPathLimit = true }),
		judgedBy(closesLater, "forgets-what-is-in-flight", "ends a path while its disk is at work", "IBTRS-PATH-021",
			func(b *brokenServer) { b.rules().ForgetInflight = true }),
		judgedBy(closesSilently, "serves-while-it-closes", "answers what comes on a path that it closes", "IBTRS-PATH-020",
			func(b *brokenServer) { b.rules().ServeClosing = true }),
	}
}
