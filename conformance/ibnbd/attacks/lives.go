// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// exit is a point of the exchange at which a client goes away.
type exit struct {
	name string
	does Effect
	come func(ctx context.Context, t *tester.Tester, p *tester.Path) error
}

var exits = []exit{
	{"after its first connection", Reads, func(ctx context.Context, _ *tester.Tester, p *tester.Path) error {
		_, err := p.Dial(ctx, 0)
		return err
	}},
	{"after all connections", Reads, func(ctx context.Context, _ *tester.Tester, p *tester.Path) error { return p.DialAll(ctx) }},
	{"with its INFO request", Reads, func(ctx context.Context, _ *tester.Tester, p *tester.Path) error {
		if err := p.DialAll(ctx); err != nil {
			return err
		}
		return p.SendInfo(p.InfoRequest())
	}},
	{"after INFO", Reads, func(ctx context.Context, _ *tester.Tester, p *tester.Path) error { return p.Connect(ctx) }},
	{"with its OPEN", Reads, func(ctx context.Context, t *tester.Tester, p *tester.Path) error {
		if err := p.Connect(ctx); err != nil {
			return err
		}
		return p.Post(p.Read(tester.OpenMessage(t.Target().Exports[0], t.Access()), ibnbd.OpenResponseSize))
	}},
	{"with a device open", Reads, func(ctx context.Context, t *tester.Tester, p *tester.Path) error {
		if err := p.Connect(ctx); err != nil {
			return err
		}
		_, err := p.Open(ctx, t.Target().Exports[0], t.Access())
		return err
	}},
	{"with a write on its way", Writes, func(ctx context.Context, t *tester.Tester, p *tester.Path) error {
		if err := p.Connect(ctx); err != nil {
			return err
		}
		opened, err := p.Open(ctx, t.Target().Exports[0], ibnbd.ReadWrite)
		if err != nil {
			return err
		}
		message := tester.Marshal(ibnbd.NewIORequest(ibnbd.OpWrite, 0, opened.DeviceID, t.Base(), 4096))
		return p.Post(p.Write(message, tester.Stamped(0, 4096, 1)))
	}},
}

func lives() []Attack {
	var all []Attack
	for _, e := range exits {
		all = append(all, Attack{Name: "client that goes away " + e.name, Does: e.does, Run: func(ctx context.Context, t *tester.Tester) error {
			p := t.NewSession().NewPath(0)
			if err := e.come(ctx, t, p); err != nil {
				return err
			}
			return p.Disconnect(ctx)
		}})
	}
	for _, cid := range []uint16{0, 1} {
		all = append(all, Attack{
			Name: fmt.Sprintf("disconnect of connection %d alone", cid), Clauses: []string{"IBTRS-PATH-003"},
			Run: func(ctx context.Context, t *tester.Tester) error { return giveUp(ctx, t, cid) },
		})
	}
	return append(all, Attack{Name: "a hundred connects and disconnects", Run: comeAndGo})
}

// giveUp disconnects one connection of a path. The target must take down the others.
func giveUp(ctx context.Context, t *tester.Tester, cid uint16) error {
	p, _, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := p.Conns[cid].Disconnect(ctx); err != nil {
		return err
	}
	return closed(ctx, "IBTRS-PATH-003", p)
}

// comeAndGo asks for the first connection of a session and gives it up, again and again.
func comeAndGo(ctx context.Context, t *tester.Tester) error {
	const times = 100
	for i := range times {
		p := t.NewSession().NewPath(0)
		if _, err := p.Dial(ctx, 0); err != nil {
			return tester.Broken(Survival, "connection %d of %d: %v", i, times, err)
		}
		if err := p.Disconnect(ctx); err != nil {
			return tester.Broken(Survival, "disconnect %d of %d: %v", i, times, err)
		}
	}
	return nil
}
