// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"errors"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/stamp"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// idle is a chunk that the initiator does not use while there is but one request at a time.
const idle = 11

// success is the immediate of a response that says so.
func success(chunk uint32) ibtrs.Immediate {
	imm, _ := ibtrs.ResponseImmediate(chunk, 0, false)
	return imm
}

// everywhere does something on each connection of a request's path.
func everywhere(r *script.Request, do func(c *script.Conn)) {
	for _, c := range r.Conn.Path.Conns {
		do(c)
	}
}

// noise is something that a server sends in front of its answer, and that must have no influence.
type noise struct {
	name   string
	clause string
	s      script.Script
	make   func(r *script.Request)
}

var noises = []noise{
	{"responses name the chunk behind the last, and the largest", "IBTRS-IMM-009", script.Script{}, func(r *script.Request) {
		everywhere(r, func(c *script.Conn) {
			c.Immediate(success(uint32(script.DefaultGeometry.QueueDepth)))
			c.Immediate(success(ibtrs.MaxMessageID))
		})
	}},
	{"a response names a chunk that has no request", "IBTRS-IMM-010", script.Script{}, func(r *script.Request) {
		everywhere(r, func(c *script.Conn) { c.Immediate(success(idle)) })
	}},
	{"a key response names a chunk that has no request", "IBTRS-IMM-010", script.Script{KeyRefresh: true}, func(r *script.Request) {
		r.Conn.SendImmediate(success(idle), tester.Marshal(ibtrs.KeyResponse{Type: ibtrs.TypeKeyResponse, Chunk: idle, RKey: r.Conn.Path.Regions()[idle].RKey}))
	}},
	{"immediates of unknown types come", "IBTRS-IMM-008", script.Script{}, func(r *script.Request) {
		for _, kind := range []ibtrs.ImmediateType{3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15} {
			everywhere(r, func(c *script.Conn) {
				c.Immediate(ibtrs.MakeImmediate(kind, 0))
				c.Immediate(ibtrs.MakeImmediate(kind, 1<<28-1))
			})
		}
	}},
	{"heartbeats are acknowledged that were never sent", "IBTRS-IMM-008", script.Script{}, func(r *script.Request) {
		for range 16 {
			r.Conn.Path.Conns[0].Acknowledge()
		}
	}},
	{"a heartbeat is acknowledged on a connection for I/O", "IBTRS-IMM-008", script.Script{}, func(r *script.Request) {
		r.Conn.Acknowledge()
	}},
}

func (n noise) provocation() Provocation {
	return Provocation{Name: n.name, Clauses: []string{n.clause}, Run: func(ctx context.Context, p *Execution) error {
		return undisturbed(ctx, p, n.clause, n.s, func(r *script.Request) { n.make(r); r.Answer() })
	}}
}

func responding() []Provocation {
	var all []Provocation
	for _, n := range noises {
		all = append(all, n.provocation())
	}
	for _, m := range []struct {
		name string
		s    script.Script
	}{{"a request is answered four times", script.Script{}}, {"a request is answered four times, each with the new key", script.Script{KeyRefresh: true}}} {
		all = append(all, Provocation{Name: m.name, Clauses: []string{"IBTRS-IMM-010"}, Run: func(ctx context.Context, p *Execution) error {
			return undisturbed(ctx, p, "IBTRS-IMM-010", m.s, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.Copies, a.InvalidateKey, a.Immediate = 3, 0, success(r.Chunk)
				r.Send(a)
			})
		}})
	}
	return append(all,
		Provocation{Name: "requests are announced to the client", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				everywhere(r, func(c *script.Conn) { c.Immediate(ibtrs.MakeImmediate(ibtrs.ImmRequest, 520)) })
				r.Answer()
			})
		}},
		Provocation{Name: "a request is answered on another connection", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.CID, a.InvalidateKey, a.Immediate = 0, 0, success(r.Chunk)
				r.Send(a)
			})
		}},
		Provocation{Name: "a response claims to have taken a key back and has not", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.InvalidateKey = 0
				r.Send(a)
			})
		}},
		Provocation{Name: "a key is taken back that the client never gave", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.InvalidateKey ^= 0xA5A5A500
				r.Send(a)
			})
		}},
		Provocation{Name: "heartbeats come", Clauses: []string{"IBTRS-HB-002"}, Run: func(ctx context.Context, p *Execution) error { return beaten(ctx, p, 0) }},
		Provocation{Name: "heartbeats come on a connection for I/O", Clauses: []string{"IBTRS-HB-012"}, Run: func(ctx context.Context, p *Execution) error { return beaten(ctx, p, 1) }},
		Provocation{Name: "requests are answered in reverse order", Clauses: []string{"IBTRS-IMM-014"}, Run: reversed},
		Provocation{Name: "a request is answered when its path has been built anew", Clauses: []string{"IBTRS-IMM-010", "IBNBD-FAIL-006"}, Run: answeredLate},
	)
}

// disturbed lets a server do something about a read of which nobody knows how it ends. The initiator may give up its path,
// but not more.
func disturbed(ctx context.Context, p *Execution, s script.Script, do func(r *script.Request)) error {
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	atProbe(v, do)
	_ = p.read(ctx, d)
	p.hangup(ctx, v)
	return returned(ctx, p, Survival, v, d)
}

// beaten sends heartbeats on a connection and waits for their acknowledges on connection 0.
func beaten(ctx context.Context, p *Execution, cid uint16) error {
	clause := "IBTRS-HB-002"
	if cid != 0 {
		clause = "IBTRS-HB-012"
	}
	const times = 3
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	path := latest(v)
	v.Do(func() {
		for range times {
			path.Conns[cid].Immediate(ibtrs.Heartbeat)
		}
	})
	patience, cancel := p.patient(ctx)
	defer cancel()
	err = v.Await(patience, "the heartbeats are acknowledged", func() bool { return path.Conns[0].Acks == times })
	if err == nil {
		err = Usable(ctx, d)
	}
	if err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}

// reversed holds some reads back and answers them, the last first.
func reversed(ctx context.Context, p *Execution) error {
	const clause = "IBTRS-IMM-014"
	const reads = 4
	v, d, err := p.begin(ctx, script.Script{KeyRefresh: true})
	if err != nil {
		return err
	}
	var held []*script.Request
	v.Do(func() {
		for i := range reads {
			place := placeOf(i)
			copy(v.Disk.Content[place:], tester.Stamped(uint64(place/stamp.Sector), probeSize, 1))
		}
		v.Script.Serve = func(r *script.Request) {
			if len(held) == reads || r.IO.Sector < probeSector {
				r.Answer()
				return
			}
			if held = append(held, r); len(held) < reads {
				return
			}
			for i := range held {
				held[reads-1-i].Answer()
			}
		}
	})
	patience, cancel := p.patient(ctx)
	defer cancel()
	errs := make([]error, reads)
	var all sync.WaitGroup
	for i := range reads {
		all.Go(func() {
			b, err := d.Read(patience, placeOf(i), probeSize)
			if err == nil {
				err = stamp.Check(b, uint64(placeOf(i)/stamp.Sector), stamp.Stamp{Writer: 1, Sequence: 1})
			}
			errs[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}

// answeredLate answers a read on the connection of a path that was built after the one which the read came on was lost.
// answeredLate has the late answer name a chunk that is not the first to be used again: one that meets the next request of its
// permit answers that, and nothing in the protocol tells them apart.
func answeredLate(ctx context.Context, p *Execution) error {
	const clause = "IBTRS-IMM-010"
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	var first, old *script.Request
	v.Do(func() {
		v.Script.Serve = func(r *script.Request) {
			switch {
			case r.Is(ibnbd.OpRead, uint64(placeOf(1)/stamp.Sector)):
				first = r
			case r.Is(ibnbd.OpRead, probeSector):
				v.Script.Serve = nil
				old = r
				r.Conn.Path.Hangup()
			default:
				r.Answer()
			}
		}
	})
	ended := make(chan error, 1)
	go func() {
		_, err := d.Read(ctx, placeOf(1), probeSize)
		ended <- bounded(ctx, err)
	}()
	if err := v.Await(ctx, "a read waits for its answer", func() bool { return first != nil }); err != nil {
		return err
	}
	if err := failed("IBNBD-FAIL-006", "a read whose path is lost", p.read(ctx, d), ibtrs.EIO); err != nil {
		return err
	}
	if err := failed("IBNBD-FAIL-006", "another read whose path is lost", <-ended, ibtrs.EIO); err != nil {
		return err
	}
	if err := p.reconnect(ctx, v, d); err != nil {
		return err
	}
	v.Do(func() {
		for _, c := range v.Paths[len(v.Paths)-1].Conns {
			c.Immediate(success(old.Chunk))
		}
	})
	if err := Usable(ctx, d); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}
