// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// response is what an accept says.
type response = ibtrs.ConnResponse

// badAccept is an accept that must not be taken.
type badAccept struct {
	name   string
	clause string
	change func(cid uint16, r *response)
}

var badAccepts = []badAccept{
	{"an accept has another magic", "IBTRS-CONN-037", func(_ uint16, r *response) { r.Magic++ }},
	{"an accept has its magic in the other byte order", "IBTRS-CONN-037", func(_ uint16, r *response) { r.Magic = 0xBD1B }},
	{"an accept has major version 3", "IBTRS-CONN-037", func(_ uint16, r *response) { r.Version = 0x0300 }},
	{"an accept has an error number", "IBTRS-CONN-037", func(_ uint16, r *response) { r.Errno = -5 }},
	{"the accept of a later connection has an error number", "IBTRS-CONN-037", func(cid uint16, r *response) { r.Errno = -5 * int16(min(cid, 1)) }},
	{"the accept of a later connection has another magic", "IBTRS-CONN-037", func(cid uint16, r *response) { r.Magic += min(cid, 1) }},
	{"an accept has queue depth 0", "IBTRS-CONN-038", func(_ uint16, r *response) { r.QueueDepth = 0 }},
	{"an accept has no room for headers", "IBTRS-CONN-051", func(_ uint16, r *response) { r.MaxIOSize, r.MaxHeaderSize = r.MaxIOSize+r.MaxHeaderSize, 0 }},
	{"an accept has too little room for headers", "IBTRS-CONN-051", func(_ uint16, r *response) { r.MaxIOSize, r.MaxHeaderSize = 65536-256, 256 }},
	{"an accept has no room for data", "IBTRS-CONN-051", func(_ uint16, r *response) { r.MaxIOSize = 0 }},
	{"an accept has chunks of no power of two", "IBTRS-CONN-051", func(_ uint16, r *response) { r.MaxIOSize += 512 }},
	{"an accept has a huge header size", "IBTRS-CONN-051", func(_ uint16, r *response) { r.MaxHeaderSize = 1<<32 - 1 }},
	{"an accept has sizes that overflow together", "IBTRS-CONN-051", func(_ uint16, r *response) { r.MaxIOSize = 1<<32 - 4096 }},
	{"an accept has everything at its largest", "IBTRS-CONN-051", func(_ uint16, r *response) {
		r.QueueDepth, r.MaxIOSize, r.MaxHeaderSize = 1<<16-1, 1<<32-1, 1<<32-1
	}},
}

func (b badAccept) provocation() Provocation {
	return Provocation{Name: b.name, Clauses: []string{b.clause}, Run: func(ctx context.Context, p *Execution) error {
		return refused(ctx, p, b.clause, accepts(b.change))
	}}
}

// accepts is a script that changes its accepts.
func accepts(change func(cid uint16, r *response)) script.Script {
	return script.Script{Connect: func(k *script.ConnRequest) {
		change(k.Request.CID, &k.Response)
		k.Accept()
	}}
}

func connecting() []Provocation {
	var all []Provocation
	for _, b := range badAccepts {
		all = append(all, b.provocation())
	}
	return append(all,
		Provocation{Name: "an accept has no private data", Clauses: []string{"IBTRS-CONN-037"}, Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, "IBTRS-CONN-037", script.Script{Connect: func(k *script.ConnRequest) { k.AcceptWith(nil) }})
		}},
		Provocation{Name: "an accept has unknown flags", Clauses: []string{"IBTRS-CONN-040"}, Run: func(ctx context.Context, p *Execution) error {
			return accepted(ctx, p, "IBTRS-CONN-040", accepts(func(_ uint16, r *response) { r.Flags |= ^uint32(ibtrs.KeyRefresh) }), nil)
		}},
		Provocation{Name: "an accept has a higher minor version and reserved bytes set", Clauses: []string{"IBTRS-CONN-056"}, Run: func(ctx context.Context, p *Execution) error {
			return accepted(ctx, p, "IBTRS-CONN-056", accepts(func(_ uint16, r *response) {
				r.Version = 0x0207
				for i := range r.Reserved {
					r.Reserved[i] = 0xFF
				}
			}), nil)
		}},
		Provocation{Name: "the accepts of later connections tell other sizes", Run: func(ctx context.Context, p *Execution) error {
			return endured(ctx, p, accepts(func(cid uint16, r *response) {
				r.QueueDepth <<= min(cid, 1)
				r.MaxIOSize += 1 << 20 * uint32(min(cid, 1))
			}), nil)
		}},
		Provocation{Name: "an accept tells more chunks than an immediate can name", Clauses: []string{"IBTRS-INFO-018"}, Run: tooManyChunks},
		Provocation{Name: "a server rejects with an error number", Clauses: []string{"IBTRS-CONN-047"}, Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, "IBTRS-CONN-047", script.Script{Connect: func(k *script.ConnRequest) { k.RejectErrno(-int16(ibtrs.EACCES)) }}, ibtrs.EACCES)
		}},
		Provocation{Name: "a server rejects a later connection", Clauses: []string{"IBTRS-CONN-047"}, Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, "IBTRS-CONN-047", script.Script{Connect: func(k *script.ConnRequest) {
				if k.Request.CID == 0 {
					k.Accept()
					return
				}
				k.RejectErrno(-int16(ibtrs.EBUSY))
			}}, ibtrs.EBUSY)
		}},
		numberless("a server rejects with error number 0", func(k *script.ConnRequest) { k.RejectErrno(0) }),
		Provocation{Name: "a server rejects with an error number that is not negated", Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, Survival, script.Script{Connect: func(k *script.ConnRequest) { k.RejectErrno(int16(ibtrs.EINVAL)) }})
		}},
		numberless("a server rejects without private data", func(k *script.ConnRequest) { k.Reject(nil) }),
		Provocation{Name: "nobody listens", Clauses: []string{"IBTRS-CONN-046"}, Run: nobodyListens},
		Provocation{Name: "a server disconnects with its first accept", Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, Survival, script.Script{Connect: func(k *script.ConnRequest) {
				k.Accept()
				if k.Request.CID == 0 {
					k.Path.Hangup()
				}
			}})
		}},
	)
}

// numberless is a provocation whose reject has no error number that could be reported. It must fail the initiator at once.
func numberless(name string, connect func(*script.ConnRequest)) Provocation {
	const clause = "IBTRS-CONN-048"
	return Provocation{Name: name, Clauses: []string{clause}, Run: func(ctx context.Context, p *Execution) error {
		begin := time.Now()
		if err := refused(ctx, p, clause, script.Script{Connect: connect}, ibtrs.ECONNRESET); err != nil {
			return err
		}
		return within(clause, "the failure", time.Since(begin), 0, p.setup.Initiator.Timers().Connect/2)
	}}
}

func nobodyListens(ctx context.Context, p *Execution) error {
	v, err := p.Serve(script.Script{})
	if err != nil {
		return err
	}
	if err := v.StopListening(); err != nil {
		return err
	}
	_, err = p.Map(ctx, v)
	return failed("IBTRS-CONN-046", "mapping the disk", err, ibtrs.ECONNRESET)
}

// tooManyChunks announces 32 chunks of 16 MiB, whose numbers and offsets have 29 bits together, and describes them.
func tooManyChunks(ctx context.Context, p *Execution) error {
	const clause = "IBTRS-INFO-018"
	const depth, size = 32, 16 << 20
	s := accepts(func(_ uint16, r *response) { r.QueueDepth, r.MaxIOSize = depth, size-r.MaxHeaderSize })
	s.Inform = func(p *script.Path) {
		region := p.Regions()[0]
		region.Length = depth * size
		p.Conns[0].Send(tester.Marshal(ibtrs.NewInfoResponse(ibtrs.Descriptors{}.Append(region))))
	}
	return refused(ctx, p, clause, s)
}
