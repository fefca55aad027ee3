// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// wrongInfo is an INFO request after which the target must close the path.
type wrongInfo struct {
	name    string
	clause  string
	edit    func(message []byte) []byte
	instead string // of Survival
}

// named puts bytes into the field of the session name.
func named(name string) func([]byte) []byte {
	return func(b []byte) []byte {
		clear(b[2:257])
		copy(b[2:257], name)
		return b
	}
}

func typed(kind byte) func([]byte) []byte {
	return func(b []byte) []byte { b[0] = kind; return b }
}

func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

var wrongInfos = []wrongInfo{
	{"INFO request with the type of its response", "IBTRS-INFO-009", typed(ibtrs.TypeInfoResponse), ""},
	{"INFO request with the type of a write", "IBTRS-INFO-009", typed(ibtrs.TypeWrite), ""},
	{"INFO request with an unknown type", "IBTRS-INFO-009", typed(0xFF), ""},
	{"INFO request without its last byte", "IBTRS-INFO-010", cut(ibtrs.InfoRequestSize - 1), ""},
	{"INFO request of its type alone", "IBTRS-INFO-010", cut(2), ""},
	{"session name that begins with a slash", "IBTRS-INFO-011", named("/tester"), ""},
	{"session name with .. in it", "IBTRS-INFO-011", named("../../tester"), ""},
	{"session name that is ..", "IBTRS-INFO-011", named(".."), ""},
	{"empty session name", "IBTRS-INFO-014", named(""), SurvivalDeadly},
	{"session name without a NUL", "IBTRS-INFO-014", named(strings.Repeat("x", 255)), SurvivalDeadly},
}

func (w wrongInfo) attack() Attack {
	return Attack{Name: w.name, Clauses: []string{w.clause}, Instead: w.instead, Run: func(ctx context.Context, t *tester.Tester) error {
		p := t.NewSession().NewPath(0)
		if err := p.DialAll(ctx); err != nil {
			return err
		}
		if err := p.SendInfo(w.edit(p.InfoRequest())); err != nil {
			return err
		}
		return refusedInfo(ctx, w.clause, p)
	}}
}

// refusedInfo judges that a path is closed without an INFO response.
func refusedInfo(ctx context.Context, clause string, p *tester.Path) error {
	m, err := p.Conns[0].Receive(ctx)
	switch {
	case err == nil:
		return tester.Broken(clause, "the target answers with a %s, it must close the path", m)
	case !errors.Is(err, tester.ErrClosed):
		return tester.Broken(clause, "%v, it must close the path", err)
	}
	return closed(ctx, clause, p)
}

func information() []Attack {
	var all []Attack
	for _, w := range wrongInfos {
		all = append(all, w.attack())
	}
	return append(all,
		Attack{Name: "INFO request before all connections are there", Clauses: []string{"IBTRS-INFO-015"}, Run: earlyInfo},
		Attack{Name: "heartbeat instead of the INFO request", Clauses: []string{"IBTRS-INFO-022"}, Instead: SurvivalWarning, Run: heartbeatForInfo},
		Attack{Name: "session name with a dot in it", Run: dottedName},
		Attack{Name: "INFO request that is one byte too long", Clauses: []string{"IBTRS-INFO-025"}, Run: longInfo},
		Attack{Name: "second INFO request on a path", Clauses: []string{"IBTRS-INFO-025"}, Run: infoTwice},
		Attack{Name: "session with the name of another", Clauses: []string{"IBTRS-INFO-012"}, Run: takenName},
		Attack{Name: "use of chunks all over the INFO response", Clauses: []string{
			"IBTRS-INFO-005", "IBTRS-INFO-006", "IBTRS-INFO-007", "IBTRS-INFO-008", "IBTRS-INV-001",
		}, Run: useChunks},
	)
}

func earlyInfo(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	for cid := range p.Request.ConnectionCount - 1 {
		if _, err := p.Dial(ctx, cid); err != nil {
			return err
		}
	}
	if err := p.SendInfo(p.InfoRequest()); err != nil {
		return err
	}
	return refusedInfo(ctx, "IBTRS-INFO-015", p)
}

func heartbeatForInfo(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.DialAll(ctx); err != nil {
		return err
	}
	if err := p.Conns[0].SendImmediate(ibtrs.Heartbeat); err != nil {
		return err
	}
	return ignoredInfo(ctx, "IBTRS-INFO-022", p)
}

// ignoredInfo judges that no INFO response comes. Whether the path is closed is left to the target.
func ignoredInfo(ctx context.Context, clause string, p *tester.Path) error {
	m, err := p.Conns[0].Receive(ctx)
	if err == nil {
		return tester.Broken(clause, "the target answers with a %s", m)
	}
	return context.Cause(ctx)
}

// longInfo sends an INFO request that is longer than the receive for it has to be.
func longInfo(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.DialAll(ctx); err != nil {
		return err
	}
	if err := p.SendInfo(append(p.InfoRequest(), 0)); err != nil {
		return err
	}
	return ignoredInfo(ctx, "IBTRS-INFO-025", p)
}

// dottedName asks for a name that a target may refuse.
func dottedName(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.DialAll(ctx); err != nil {
		return err
	}
	if err := p.SendInfo(named("tes.ter")(p.InfoRequest())); err != nil {
		return err
	}
	_, _ = p.Conns[0].Receive(ctx) // what becomes of it is the target's choice
	return context.Cause(ctx)
}

// infoTwice sends a message where the target has receives without room.
func infoTwice(ctx context.Context, t *tester.Tester) error {
	p, _, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := p.SendInfo(p.InfoRequest()); err != nil {
		return err
	}
	return ignoredInfo(ctx, "IBTRS-INFO-025", p)
}

func takenName(ctx context.Context, t *tester.Tester) error {
	owner, thief := t.NewSession(), t.NewSession()
	p, opened, err := owner.Ready(ctx, t.Target().Exports[0], t.Access())
	if err != nil {
		return err
	}
	thief.Name = owner.Name
	q := thief.NewPath(0)
	if err := q.DialAll(ctx); err != nil {
		return err
	}
	if err := q.SendInfo(q.InfoRequest()); err != nil {
		return err
	}
	if err := refusedInfo(ctx, "IBTRS-INFO-012", q); err != nil {
		return err
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, 4096)
	return succeeded("IBTRS-INFO-012", err)
}

// useChunks reads through the first and the last chunk and some between. That the regions make up all chunks is checked by
// the parser of the INFO response.
func useChunks(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.DialAll(ctx); err != nil {
		return err
	}
	if err := p.SendInfo(p.InfoRequest()); err != nil {
		return err
	}
	r, err := p.AwaitInfo(ctx)
	depth := p.Geometry.QueueDepth
	switch {
	case err != nil:
		return tester.Broken("IBTRS-INFO-006", "%v", err)
	case p.KeyRefresh() && r.Count != depth:
		return tester.Broken("IBTRS-INFO-007", "%d regions for %d chunks with key refresh", r.Count, depth)
	}
	opened, err := p.Open(ctx, t.Target().Exports[0], t.Access())
	if err != nil {
		return err
	}
	const probes = 8
	for i := range uint32(probes) {
		chunk := i * uint32(depth-1) / (probes - 1)
		if _, err := p.Call(ctx, p.ToChunk(readOf(p, opened.DeviceID, 0, 4096), chunk), 4096); err != nil {
			return tester.Broken("IBTRS-INFO-008", "read through chunk %d: %s", chunk, tester.Outcome(err))
		}
	}
	return againOverKey(ctx, p, opened.DeviceID)
}

// againOverKey compares the form of a response with the announced key mode.
func againOverKey(ctx context.Context, p *tester.Path, device uint32) error {
	a, err := p.Do(ctx, readOf(p, device, 0, 4096))
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if form := formOf(p); a.Op != form {
		return tester.Broken("IBTRS-INV-001", "a response is a %s, with the announced flags %#x it must be a %s", a.Message, p.Flags, form)
	}
	return nil
}
