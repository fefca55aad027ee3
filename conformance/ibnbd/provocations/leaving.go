// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

func leaving() []Provocation {
	var all []Provocation
	for _, m := range []struct {
		name string
		kind uint16
	}{{"SESS_INFO", ibnbd.TypeSessInfo}, {"OPEN", ibnbd.TypeOpen}} {
		all = append(all, Provocation{Name: "a server disconnects instead of answering " + m.name, Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, Survival, goneAt(m.kind))
		}})
	}
	for _, cid := range []uint16{0, 1} {
		all = append(all, Provocation{
			Name: fmt.Sprintf("a server disconnects connection %d alone", cid), Clauses: []string{"IBTRS-PATH-003"},
			Run: func(ctx context.Context, p *Execution) error { return alone(ctx, p, cid) },
		})
	}
	return append(all,
		Provocation{Name: "a server disconnects instead of answering CLOSE", Run: func(ctx context.Context, p *Execution) error {
			_, d, err := p.begin(ctx, goneAt(ibnbd.TypeClose))
			if err != nil {
				return err
			}
			return p.unmap(ctx, d)
		}},
		Provocation{Name: "a server disconnects instead of answering a read", Clauses: []string{"IBNBD-FAIL-006"}, Run: func(ctx context.Context, p *Execution) error {
			return recovered(ctx, p, "IBNBD-FAIL-006", script.Script{}, func(r *script.Request) { r.Conn.Path.Hangup() })
		}},
		Provocation{Name: "a server disconnects behind its answer to a read", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, refreshing, func(r *script.Request) {
				r.Answer()
				r.Conn.Path.Hangup()
			})
		}},
		Provocation{Name: "a server goes and comes many times", Clauses: []string{"IBTRS-PATH-004"}, Run: comeAndGo},
	)
}

// goneAt is a script that disconnects instead of answering messages of a kind.
func goneAt(kind uint16) script.Script {
	return script.Script{Serve: func(r *script.Request) {
		if r.Kind == kind {
			r.Conn.Path.Hangup()
			return
		}
		r.Answer()
	}}
}

// alone disconnects one connection of a path. The initiator must take down the others, and build the path anew.
func alone(ctx context.Context, p *Execution, cid uint16) error {
	const clause = "IBTRS-PATH-003"
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	v.Do(func() { v.Paths[0].Conns[cid].Hangup() })
	if err := abandoned(ctx, p, clause, v); err != nil {
		return err
	}
	return returned(ctx, p, clause, v, d)
}

// comeAndGo disconnects a client as often as it comes, and counts on it that each build has a higher incarnation.
func comeAndGo(ctx context.Context, p *Execution) error {
	const times = 3
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	for range times {
		p.hangup(ctx, v)
		if err := returned(ctx, p, Survival, v, d); err != nil {
			return err
		}
	}
	var before uint16
	v.Do(func() {
		for _, path := range v.Paths {
			if path.Request.Incarnation <= before {
				err = tester.Broken("IBTRS-PATH-004", "incarnation %d after %d", path.Request.Incarnation, before)
			}
			before = path.Request.Incarnation
		}
	})
	return err
}
