// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// changedRequest is a connection request with one field changed.
type changedRequest struct {
	name   string
	clause string
	change func(*ibtrs.ConnRequest)
	want   ibtrs.Errno // 0: it is accepted
}

// changedRequests are requests for a session that does not exist.
var changedRequests = []changedRequest{
	{"connection request with another magic", "IBTRS-CONN-021", func(r *ibtrs.ConnRequest) { r.Magic++ }, ibtrs.ECONNRESET},
	{"connection request with its magic in the other byte order", "IBTRS-CONN-021", func(r *ibtrs.ConnRequest) { r.Magic = 0xBD1B }, ibtrs.ECONNRESET},
	{"connection request of major version 1", "IBTRS-CONN-022", func(r *ibtrs.ConnRequest) { r.Version = 0x0100 }, ibtrs.ECONNRESET},
	{"connection request of major version 3", "IBTRS-CONN-022", func(r *ibtrs.ConnRequest) { r.Version = 0x0300 }, ibtrs.ECONNRESET},
	{"connection request of minor version 7", "IBTRS-CONN-023", func(r *ibtrs.ConnRequest) { r.Version = 0x0207 }, 0},
	{"connection request that counts 4097 connections", "IBTRS-CONN-024", func(r *ibtrs.ConnRequest) { r.ConnectionCount = ibtrs.MaxConnections + 1 }, ibtrs.ECONNRESET},
	{"connection request that counts 65535 connections", "IBTRS-CONN-024", func(r *ibtrs.ConnRequest) { r.ConnectionCount = 0xFFFF }, ibtrs.ECONNRESET},
	{"connection request with the connection count as cid", "IBTRS-CONN-025", func(r *ibtrs.ConnRequest) { r.CID = r.ConnectionCount }, ibtrs.ECONNRESET},
	{"connection request with cid 65535", "IBTRS-CONN-025", func(r *ibtrs.ConnRequest) { r.CID = 0xFFFF }, ibtrs.ECONNRESET},
	{"connection request that counts no connections", "IBTRS-CONN-026", func(r *ibtrs.ConnRequest) { r.ConnectionCount = 0 }, ibtrs.ECONNRESET},
	{"connection request to join a session that is not there", "IBTRS-CONN-027", func(r *ibtrs.ConnRequest) { r.FirstConnection = 0 }, ibtrs.ENXIO},
	{"connection request with all reserved bits set", "IBTRS-CONN-055", func(r *ibtrs.ConnRequest) {
		r.FirstConnection = 0xFF
		copy(r.Reserved[:], bytes.Repeat([]byte{0xFF}, len(r.Reserved)))
	}, 0},
	{"connection request with zero UUIDs", "IBTRS-CONN-055", func(r *ibtrs.ConnRequest) { r.PathUUID, r.GroupUUID = ibtrs.UUID{}, ibtrs.UUID{} }, 0},
}

// attack makes such a request.
func (q changedRequest) attack() Attack {
	return Attack{Name: q.name, Clauses: []string{q.clause}, Run: func(ctx context.Context, t *tester.Tester) error {
		p := t.NewSession().NewPath(0)
		q.change(&p.Request)
		return q.judge(ctx, p)
	}}
}

// judge sends the request of a path as it is.
func (q changedRequest) judge(ctx context.Context, p *tester.Path) error {
	c, err := p.DialRaw(ctx, tester.Marshal(p.Request))
	if c != nil {
		p.Keep(c)
	}
	if q.want == 0 {
		return succeeded(q.clause, err)
	}
	return rejected(q.clause, err, q.want)
}

func connecting() []Attack {
	var all []Attack
	for _, k := range changedRequests {
		all = append(all, k.attack())
	}
	return append(all,
		Attack{Name: "fields of the accepts of a path", Clauses: []string{
			"IBTRS-CONN-015", "IBTRS-CONN-016", "IBTRS-CONN-017", "IBTRS-CONN-018", "IBTRS-CONN-019", "IBTRS-CONN-020",
		}, Run: readAccepts},
		Attack{Name: "two connection requests with one cid", Clauses: []string{"IBTRS-CONN-029"}, Run: func(ctx context.Context, t *tester.Tester) error {
			return again(ctx, t, "IBTRS-CONN-029", func(r *ibtrs.ConnRequest) {}, ibtrs.ECONNRESET)
		}},
		Attack{Name: "connection count that changes while a path is built", Clauses: []string{"IBTRS-CONN-030"}, Run: func(ctx context.Context, t *tester.Tester) error {
			return again(ctx, t, "IBTRS-CONN-030", func(r *ibtrs.ConnRequest) { r.CID, r.ConnectionCount = 1, r.ConnectionCount+1 }, ibtrs.ECONNRESET)
		}},
		Attack{Name: "incarnation that changes while a path is built, for a cid that is connected", Clauses: []string{"IBTRS-CONN-032"}, Run: func(ctx context.Context, t *tester.Tester) error {
			return again(ctx, t, "IBTRS-CONN-032", func(r *ibtrs.ConnRequest) { r.Incarnation++ })
		}},
		Attack{Name: "incarnation that changes while a path is built, for a cid that is free", Clauses: []string{"IBTRS-CONN-032"}, Run: func(ctx context.Context, t *tester.Tester) error {
			return again(ctx, t, "IBTRS-CONN-032", func(r *ibtrs.ConnRequest) { r.CID = 1; r.Incarnation++ })
		}},
		Attack{Name: "connection request for a path that is connected", Clauses: []string{"IBTRS-CONN-031"}, Run: joinConnected},
		Attack{Name: "second path with the addresses of the first", Clauses: []string{"IBTRS-CONN-033"}, Run: sameAddresses},
		Attack{Name: "second path with other addresses", Rails: 2, Clauses: []string{"IBTRS-INFO-013"}, Run: secondPath},
		Attack{Name: "connections of a path in reverse order", Clauses: []string{"IBTRS-CONN-036"}, Run: reverseOrder},
		Attack{Name: "several paths left half-open", Run: leaveHalfOpen},
	)
}

// readAccepts builds a path and compares what each connection was accepted with. That the depth is at least 1, the chunk
// size a power of two, and both together fit into an immediate, is checked by the parser of the first accept.
func readAccepts(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.DialAll(ctx); err != nil {
		return fmt.Errorf("a conforming path: %w", err)
	}
	first := p.Conns[0].Accept
	for cid, c := range p.Conns {
		a := c.Accept
		switch {
		case a.Errno != 0 || a.Version>>8 != ibtrs.Version>>8:
			return tester.Broken("IBTRS-CONN-015", "connection %d was accepted with version %#x and errno %s", cid, a.Version, ibtrs.Errno(max(int32(a.Errno), -int32(a.Errno))))
		case a.QueueDepth != first.QueueDepth || a.MaxIOSize != first.MaxIOSize || a.MaxHeaderSize != first.MaxHeaderSize:
			return tester.Broken("IBTRS-CONN-016", "connection %d was accepted with %s, connection 0 with %s", cid, sizesOf(a), sizesOf(first))
		case a.Reserved != [36]byte{}:
			return tester.Broken("IBTRS-CONN-020", "connection %d was accepted with reserved bytes % x", cid, a.Reserved)
		}
	}
	return nil
}

// sizesOf are the parameters of an accept that are the same for all connections of a session, for a message.
func sizesOf(a ibtrs.ConnResponse) string {
	return fmt.Sprintf("queue depth %d, I/O size %d and header size %d", a.QueueDepth, a.MaxIOSize, a.MaxHeaderSize)
}

// again begins a path with its connection 0 and asks for a changed one of it.
func again(ctx context.Context, t *tester.Tester, clause string, change func(*ibtrs.ConnRequest), want ...ibtrs.Errno) error {
	p := t.NewSession().NewPath(0)
	if _, err := p.Dial(ctx, 0); err != nil {
		return err
	}
	change(&p.Request)
	c, err := p.DialRaw(ctx, tester.Marshal(p.Request))
	if c != nil {
		p.Keep(c)
	}
	return rejected(clause, err, want...)
}

func joinConnected(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	c, err := p.DialRaw(ctx, tester.Marshal(p.Request))
	if c != nil {
		p.Keep(c)
	}
	if err := rejected("IBTRS-CONN-031", err, ibtrs.ECONNRESET); err != nil {
		return err
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, 4096)
	return succeeded("IBTRS-CONN-031", err)
}

func sameAddresses(ctx context.Context, t *tester.Tester) error {
	s := t.NewSession()
	if err := s.NewPath(0).Connect(ctx); err != nil {
		return err
	}
	return changedRequest{"", "IBTRS-CONN-033", nil, ibtrs.EEXIST}.judge(ctx, s.NewPath(0))
}

func secondPath(ctx context.Context, t *tester.Tester) error {
	s := t.NewSession()
	if err := s.NewPath(0).Connect(ctx); err != nil {
		return err
	}
	p := s.NewPath(1)
	if err := succeeded("IBTRS-INFO-013", p.DialAll(ctx)); err != nil {
		return err
	}
	return succeeded("IBTRS-INFO-013", p.Info(ctx))
}

// reverseOrder builds a path from its last connection on. Whether the target serves such a path is its own affair.
func reverseOrder(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	for cid := int(p.Request.ConnectionCount) - 1; cid >= 0; cid-- {
		if _, err := p.Dial(ctx, uint16(cid)); err != nil {
			return nil
		}
	}
	if err := p.Info(ctx); err != nil {
		return nil
	}
	_, err := p.SessInfo(ctx, 2)
	return succeeded("IBTRS-CONN-036", err)
}

// leaveHalfOpen begins as many paths as a small target has memory for, and leaves them without INFO. They are there while
// the bystander and the new client are served.
func leaveHalfOpen(ctx context.Context, t *tester.Tester) error {
	const paths = 4
	for range paths {
		if _, err := t.NewSession().NewPath(0).Dial(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}
