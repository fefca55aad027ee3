// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"math"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// answers is a script that answers messages of a kind with what a function makes of the conforming answer.
func answers(kind uint16, change func(r *script.Request, a *script.Answer)) script.Script {
	return script.Script{Serve: func(r *script.Request) {
		a := r.DefaultAnswer()
		if r.Kind == kind {
			change(r, &a)
		}
		r.Send(a)
	}}
}

// withErrno answers with an error number instead of data.
func withErrno(errno ibtrs.Errno) func(*script.Request, *script.Answer) {
	return func(r *script.Request, a *script.Answer) { *a = r.Outcome(errno) }
}

// adapts is a script that changes the properties of its disk.
func adapts(change func(r *script.OpenResponse)) script.Script { return script.Script{Adapt: change} }

// odd is a disk of which nobody knows whether it can be used.
type odd struct {
	name   string
	change func(r *script.OpenResponse)
}

var oddities = []odd{
	{"a disk has no capacity", func(r *script.OpenResponse) { r.Capacity = 0 }},
	{"a disk is as large as can be", func(r *script.OpenResponse) { r.Capacity = math.MaxUint64 }},
	{"a disk has blocks of three bytes", func(r *script.OpenResponse) { r.LogicalBlockSize, r.PhysicalBlockSize = 3, 3 }},
	{"a disk has blocks as large as can be", func(r *script.OpenResponse) { r.LogicalBlockSize, r.PhysicalBlockSize = math.MaxUint16, math.MaxUint16 }},
	{"a disk has physical blocks of no size", func(r *script.OpenResponse) { r.PhysicalBlockSize = 0 }},
	{"a disk has no room for sectors in a request", func(r *script.OpenResponse) { r.MaxHWSectors = 0 }},
	{"a disk has no segments in a request", func(r *script.OpenResponse) { r.MaxSegments = 0 }},
	{"a disk has all limits at their largest", func(r *script.OpenResponse) {
		r.MaxHWSectors, r.MaxSegments, r.MaxWriteZeroesSectors = math.MaxUint32, math.MaxUint16, math.MaxUint32
		r.MaxDiscardSectors, r.DiscardGranularity, r.DiscardAlignment = math.MaxUint32, math.MaxUint32, math.MaxUint32
		r.SecureErase, r.CachePolicy = math.MaxUint16, math.MaxUint8
	}},
	{"a disk can discard without a granularity", func(r *script.OpenResponse) { r.MaxDiscardSectors = 8 }},
}

func opening() []Provocation {
	var all []Provocation
	for _, o := range oddities {
		all = append(all, Provocation{Name: o.name, Run: func(ctx context.Context, p *Execution) error {
			return endured(ctx, p, adapts(o.change), nil)
		}})
	}
	const reply, refusal = "IBNBD-OPEN-027", "IBNBD-OPEN-026"
	unusable := func(name, clause string, s script.Script, want ...ibtrs.Errno) {
		all = append(all, Provocation{Name: name, Clauses: []string{clause}, Run: func(ctx context.Context, p *Execution) error {
			return refused(ctx, p, clause, s, want...)
		}})
	}
	nothing := func(_ *script.Request, a *script.Answer) { a.Data = nil }
	otherType := func(_ *script.Request, a *script.Answer) { a.Data[0] += 4 }
	unusable("OPEN is refused with ENOENT", refusal, answers(ibnbd.TypeOpen, withErrno(ibtrs.ENOENT)), ibtrs.ENOENT)
	unusable("OPEN is refused with a number that nobody knows", refusal, answers(ibnbd.TypeOpen, withErrno(ibtrs.MaxWireErrno)))
	unusable("OPEN is answered with another type", reply, answers(ibnbd.TypeOpen, otherType))
	unusable("OPEN is answered without a reply", reply, answers(ibnbd.TypeOpen, nothing))
	unusable("OPEN is answered with half a reply", reply, answers(ibnbd.TypeOpen, func(_ *script.Request, a *script.Answer) { a.Data = a.Data[:28] }))
	unusable("SESS_INFO is answered with another type", reply, answers(ibnbd.TypeSessInfo, otherType))
	unusable("SESS_INFO is answered without a reply", reply, answers(ibnbd.TypeSessInfo, nothing))
	unusable("SESS_INFO is refused", refusal, answers(ibnbd.TypeSessInfo, withErrno(ibtrs.EINVAL)))
	return append(all,
		Provocation{Name: "a disk has blocks of no size", Clauses: []string{"IBNBD-OPEN-020"}, Run: noBlock},
		Provocation{Name: "a disk has number 0", Clauses: []string{"IBNBD-OPEN-014"}, Run: func(ctx context.Context, p *Execution) error {
			return accepted(ctx, p, "IBNBD-OPEN-014", script.Script{}, func(v *script.Server) { v.Disk.Open.DeviceID = 0 })
		}},
		Provocation{Name: "a disk has the largest number", Clauses: []string{"IBNBD-OPEN-014"}, Run: func(ctx context.Context, p *Execution) error {
			return accepted(ctx, p, "IBNBD-OPEN-014", script.Script{}, func(v *script.Server) { v.Disk.Open.DeviceID = math.MaxUint32 })
		}},
		Provocation{Name: "SESS_INFO is answered with a higher version", Run: func(ctx context.Context, p *Execution) error {
			return endured(ctx, p, answers(ibnbd.TypeSessInfo, func(_ *script.Request, a *script.Answer) { a.Data[4] = 0xFF }), nil)
		}},
		Provocation{Name: "replies have reserved bits set", Clauses: []string{"IBNBD-MSG-010"}, Run: func(ctx context.Context, p *Execution) error {
			return accepted(ctx, p, "IBNBD-MSG-010", script.Script{Serve: withReserved}, nil)
		}},
		Provocation{Name: "a server has version 1 of the block protocol", Clauses: []string{"IBNBD-COMPAT-008"}, Run: func(ctx context.Context, p *Execution) error {
			return flushed(ctx, p, "IBNBD-COMPAT-008", script.Script{}, func(v *script.Server) { v.Disk.Version = 1 })
		}},
		Provocation{Name: "a server has a disk with a volatile cache, and takes its time to flush it", Clauses: []string{"IBNBD-IO-026"}, Run: awaitsFlush},
		Provocation{Name: "a server has a disk that is unmapped", Clauses: []string{"IBNBD-MSG-018"}, Run: closedOnce},
		Provocation{Name: "a disk is unmapped whose OPEN waits for its answer", Clauses: []string{"IBNBD-OPEN-031"}, Run: unmappedWhileOpening},
		Provocation{Name: "a disk is mapped without a word about its I/O mode", Clauses: []string{"IBNBD-SYSFS-009"}, Run: opensForBlocks},
		Provocation{Name: "a disk is mapped in file mode", Clauses: []string{"IBNBD-OPEN-034"}, Run: opensAsAsked},
		Provocation{Name: "a server answers no marker", Clauses: []string{"IBNBD-COMPAT-007"}, Run: func(ctx context.Context, p *Execution) error {
			return accepted(ctx, p, "IBNBD-COMPAT-007", answers(ibnbd.TypeSessInfo, unmarked), nil)
		}},
		Provocation{Name: "a server without marker leaves bytes of its reply uncleared", Clauses: []string{"IBNBD-COMPAT-011"}, Run: func(ctx context.Context, p *Execution) error {
			s := answers(ibnbd.TypeSessInfo, unmarked)
			s.Adapt = func(r *script.OpenResponse) { r.Reserved[8] = 0x5A }
			return flushed(ctx, p, "IBNBD-COMPAT-011", s, nil)
		}},
	)
}

// unmarked takes the marker and all behind it out of a SESS_INFO_RSP.
func unmarked(_ *script.Request, a *script.Answer) { clear(a.Data[8:]) }

// withReserved answers with all reserved bits set whose meaning no version has changed.
func withReserved(r *script.Request) {
	a := r.DefaultAnswer()
	if r.Kind == ibnbd.TypeSessInfo || r.Kind == ibnbd.TypeOpen {
		a.Data[2], a.Data[3] = 0xFF, 0xFF
	}
	if r.Kind == ibnbd.TypeSessInfo {
		for i := range 3 {
			a.Data[5+i] = 0xFF
		}
	}
	r.Send(a)
}

// noBlock judges that a disk without a block size is refused and closed again.
func noBlock(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-OPEN-020"
	closes := 0
	s := adapts(func(r *script.OpenResponse) { r.LogicalBlockSize = 0 })
	s.Serve = func(r *script.Request) {
		if r.Kind == ibnbd.TypeClose && r.Closes == r.Conn.Path.Server().Disk.Open.DeviceID {
			closes++
		}
		r.Answer()
	}
	if err := refused(ctx, p, clause, s, ibtrs.EINVAL); err != nil {
		return err
	}
	var seen int
	p.servers[0].Do(func() { seen = closes })
	if seen != 1 {
		return tester.Broken(clause, "the disk was closed %d times, it must be once", seen)
	}
	return nil
}

// flushed judges that a flush of the user reaches the server.
func flushed(ctx context.Context, p *Execution, clause string, s script.Script, change func(*script.Server)) error {
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
	if err := d.Flush(ctx); err != nil {
		return tester.Broken(clause, "flush: %v", err)
	}
	flushes := 0
	v.Do(func() {
		for _, r := range v.Seen {
			if r.Kind == ibnbd.TypeIO && r.IO.Op() == ibnbd.OpFlush {
				flushes++
			}
		}
	})
	if flushes == 0 {
		return tester.Broken(clause, "no flush was sent")
	}
	return nil
}
