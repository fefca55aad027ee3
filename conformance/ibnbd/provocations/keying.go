// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// refreshing is a script with key refresh.
var refreshing = script.Script{KeyRefresh: true}

// badForm is a response over which the path must be given up.
type badForm struct {
	name   string
	clause string
	s      script.Script
	change func(r *script.Request, a *script.Answer)
}

var badForms = []badForm{
	{"a key response has seven bytes", "IBTRS-INV-008", refreshing, func(_ *script.Request, a *script.Answer) { a.Body = a.Body[:7] }},
	{"a key response is empty", "IBTRS-INV-008", refreshing, func(_ *script.Request, a *script.Answer) { a.Body = nil }},
	{"a key response has another type", "IBTRS-INV-009", refreshing, func(_ *script.Request, a *script.Answer) { a.Body[0]++ }},
	{"a key response names another chunk", "IBTRS-INV-010", refreshing, func(_ *script.Request, a *script.Answer) { a.Body[2] ^= 1 }},
	{"a key response names a chunk that does not exist", "IBTRS-INV-010", refreshing, func(_ *script.Request, a *script.Answer) { a.Body[2], a.Body[3] = 0xFF, 0xFF }},
	{"a response comes by RDMA write although keys are refreshed", "IBTRS-INV-013", refreshing, func(_ *script.Request, a *script.Answer) { a.Form, a.Body = rdma.OpWriteImm, nil }},
	{"a response comes by SEND although keys are kept", "IBTRS-INV-014", script.Script{}, func(_ *script.Request, a *script.Answer) { a.Form = rdma.OpSendImm }},
	{"a key response comes although keys are kept", "IBTRS-INV-014", script.Script{}, func(r *script.Request, a *script.Answer) {
		a.Form, a.Body = rdma.OpSendImm, tester.Marshal(ibtrs.KeyResponse{Type: ibtrs.TypeKeyResponse, Chunk: uint16(r.Chunk)})
	}},
	{"a key response has more bytes than there is room for", Survival, refreshing, func(_ *script.Request, a *script.Answer) {
		a.Body = append(a.Body, make([]byte, 24)...)
	}},
}

func (b badForm) provocation() Provocation {
	var decides []string
	if b.clause != Survival {
		decides = []string{b.clause}
	}
	return Provocation{Name: b.name, Clauses: decides, Run: func(ctx context.Context, p *Execution) error {
		return recovered(ctx, p, b.clause, b.s, func(r *script.Request) {
			a := r.DefaultAnswer()
			b.change(r, &a)
			r.Send(a)
		})
	}}
}

func keying() []Provocation {
	var all []Provocation
	for _, b := range badForms {
		all = append(all, b.provocation())
	}
	for _, depth := range []uint16{3, 512} {
		all = append(all, Provocation{
			Name: fmt.Sprintf("each response brings a new key, with queue depth %d", depth), Clauses: depthClauses(depth),
			Run: func(ctx context.Context, p *Execution) error {
				return renewed(ctx, p, "IBTRS-INV-007", "IBNBD-LIM-001", depth)
			},
		})
	}
	return append(all,
		Provocation{Name: "a server has queue depth 1", Clauses: []string{"IBTRS-IMM-012", "IBTRS-IO-032"}, Run: func(ctx context.Context, p *Execution) error {
			return renewed(ctx, p, "IBTRS-IMM-012", "IBTRS-IMM-012", 1)
		}},
		Provocation{Name: "a key response brings the old key", Clauses: []string{"IBTRS-INV-011"}, Run: func(ctx context.Context, p *Execution) error {
			return undisturbed(ctx, p, "IBTRS-INV-011", refreshing, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.Renew = false
				a.Body = tester.Marshal(ibtrs.KeyResponse{Type: ibtrs.TypeKeyResponse, Chunk: uint16(r.Chunk), RKey: r.Conn.Path.Regions()[r.Chunk].RKey})
				r.Send(a)
			})
		}},
		Provocation{Name: "a key response brings a key that is none", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, refreshing, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.Body[6] ^= 0xA5
				r.Send(a)
			})
		}},
		Provocation{Name: "a server uses the key of a read when that has ended", Clauses: []string{"IBTRS-IO-015"}, Run: func(ctx context.Context, p *Execution) error {
			return keyless(ctx, p, "IBTRS-IO-015", 0)
		}},
		Provocation{Name: "a server writes behind the place for the data of a read", Clauses: []string{"IBNBD-FAIL-017"}, Run: func(ctx context.Context, p *Execution) error {
			return keyless(ctx, p, "IBNBD-FAIL-017", probeSize)
		}},
	)
}

// depthClauses are the clauses that are decided with a queue depth of more than 1.
func depthClauses(depth uint16) []string {
	decided := []string{"IBTRS-INV-007", "IBNBD-LIM-001"}
	if depth&(depth-1) != 0 {
		decided = append(decided, "IBTRS-IMM-013")
	}
	return decided
}

// renewed uses the chunks of a server again and again. A request with an old key would break its connection. An initiator
// that has sent none does not take a server of this depth at all, which another clause wants.
func renewed(ctx context.Context, p *Execution, clause, takes string, depth uint16) error {
	const times = 8
	v, d, err := p.begin(ctx, script.Script{KeyRefresh: true, Geometry: ibtrs.Geometry{QueueDepth: depth, MaxIOSize: 16384 - 4096, MaxHeaderSize: 4096}})
	if errors.Is(err, errStuck) {
		return err
	}
	if err != nil {
		return tester.Broken(blame(v, clause, takes), "%v", err)
	}
	for i := range times {
		if err := Usable(ctx, d); err != nil {
			return tester.Broken(clause, "write and read %d: %v", i, err)
		}
	}
	return unbroken(clause, v)
}

// blame chooses between a clause about requests, and another when a server has seen none.
func blame(v *script.Server, clause, otherwise string) string {
	v.Do(func() {
		if len(v.Seen) == 0 {
			clause = otherwise
		}
	})
	return clause
}

// keyless answers a read without taking its key back, and writes with that key at a distance from its place: when the read
// has ended, or if it is behind the place, while it has not. The initiator's device must refuse that, which ends the connection.
func keyless(ctx context.Context, p *Execution, clause string, distance uint64) error {
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	var read *script.Request
	end := rdma.Completion{}
	over := false
	write := func() {
		to := read.Descriptors.At(0)
		read.Conn.Write(to.Address+distance, to.RKey, []byte("overwritten"), func(c rdma.Completion) { end, over = c, true })
	}
	atProbe(v, func(r *script.Request) {
		read = r
		if distance > 0 {
			write()
			return
		}
		a := r.DefaultAnswer()
		a.InvalidateKey, a.Immediate = 0, success(r.Chunk)
		r.Send(a)
	})
	patience, cancel := p.patient(ctx)
	defer cancel()
	err = p.read(ctx, d)
	if distance == 0 {
		if err != nil {
			return tester.Broken(clause, "the read failed: %v", err)
		}
		v.Do(write)
	}
	if err := v.Await(patience, "the write has ended", func() bool { return over }); err != nil {
		return err
	}
	if end.Status != rdma.StatusRemoteAccess {
		return tester.Broken(clause, "the write ended with %q, the initiator's device must refuse it", end.Status)
	}
	p.hangup(ctx, v) // an idle initiator would notice with its next heartbeat
	return returned(ctx, p, Survival, v, d)
}
