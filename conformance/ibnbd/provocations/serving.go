// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func serving() []Provocation {
	var all []Provocation
	for _, f := range []struct {
		name  string
		op    ibnbd.Op
		errno ibtrs.Errno
	}{
		{"a read fails with EIO", ibnbd.OpRead, ibtrs.EIO},
		{"a read fails with a number that nobody knows", ibnbd.OpRead, ibtrs.MaxWireErrno},
		{"a write fails with ENOSPC", ibnbd.OpWrite, ibtrs.ENOSPC},
	} {
		clauses := []string{"IBNBD-IO-023"}
		if f.errno == ibtrs.ENOSPC {
			clauses = append(clauses, passedOn)
		}
		all = append(all, Provocation{Name: f.name, Clauses: clauses, Run: func(ctx context.Context, p *Execution) error {
			return ioFails(ctx, p, f.op, f.errno)
		}})
	}
	for _, g := range []struct {
		name    string
		clauses []string
		g       ibtrs.Geometry
	}{
		{"a server has chunks of 8 KiB", []string{"IBTRS-IO-028", "IBNBD-LIM-002"}, ibtrs.Geometry{QueueDepth: 16, MaxIOSize: 4096, MaxHeaderSize: 4096}},
		{"a server has 2048 chunks", []string{"IBTRS-IO-028", "IBNBD-LIM-001"}, ibtrs.Geometry{QueueDepth: 2048, MaxIOSize: 4096, MaxHeaderSize: 4096}},
		{"a server has chunks of 128 KiB", []string{"IBTRS-IO-028", "IBNBD-LIM-002"}, ibtrs.Geometry{QueueDepth: 16, MaxIOSize: 126976, MaxHeaderSize: 4096}},
		{"a server has headers of 64 KiB", []string{"IBTRS-IO-028", "IBNBD-LIM-003"}, ibtrs.Geometry{QueueDepth: 16, MaxIOSize: 65536, MaxHeaderSize: 65536}},
		{"a server has 288 bytes for headers", []string{"IBTRS-IO-028"}, ibtrs.Geometry{QueueDepth: 16, MaxIOSize: 65536 - 288, MaxHeaderSize: 288}},
	} {
		all = append(all, Provocation{Name: g.name, Clauses: g.clauses, Run: func(ctx context.Context, p *Execution) error {
			return split(ctx, p, g.clauses, g.g)
		}})
	}
	return append(all,
		Provocation{Name: "a read is answered with success and half its data", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.Data = a.Data[:len(a.Data)/2]
				r.Send(a)
			})
		}},
		Provocation{Name: "a read is answered with success and no data", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.Data = nil
				r.Send(a)
			})
		}},
		Provocation{Name: "a read is answered with an error and data", Run: func(ctx context.Context, p *Execution) error {
			return disturbed(ctx, p, script.Script{}, func(r *script.Request) {
				a := r.DefaultAnswer()
				a.Immediate, _ = ibtrs.ResponseImmediate(r.Chunk, ibtrs.EIO, a.InvalidateKey != 0)
				r.Send(a)
			})
		}},
		Provocation{Name: "CLOSE is refused", Run: func(ctx context.Context, p *Execution) error {
			_, d, err := p.begin(ctx, answers(ibnbd.TypeClose, withErrno(ibtrs.EINVAL)))
			if err != nil {
				return err
			}
			_ = p.unmap(ctx, d) // what the user is told is not laid down; that the disk is gone shows afterwards
			return nil
		}},
	)
}

// passedOn is the clause that the user of an I/O is told the error that the server gave.
const passedOn = "IBNBD-IO-028"

// ioFails judges that one I/O fails, and nothing else.
func ioFails(ctx context.Context, p *Execution, op ibnbd.Op, errno ibtrs.Errno) error {
	const clause = "IBNBD-IO-023"
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	v.Do(func() {
		v.Script.Serve = func(r *script.Request) {
			if !r.Is(op, probeSector) {
				r.Answer()
				return
			}
			v.Script.Serve = nil
			r.Send(r.Outcome(errno))
		}
	})
	do := p.read
	if op == ibnbd.OpWrite {
		do = p.write
	}
	ended := do(ctx, d)
	if err := failed(clause, op.String(), ended); err != nil {
		return err
	}
	if err := Usable(ctx, d); err != nil {
		return tester.Broken(clause, "afterwards: %v", err)
	}
	if err := unbroken(clause, v); err != nil || errno != ibtrs.ENOSPC {
		return err
	}
	return failed(passedOn, op.String(), ended, errno)
}

// roomForSplitting is the size of headers, in bytes, below which an initiator may refuse a read that it could split, if the
// pages of its buffer lie so scattered that the list of them is longer: the clause allows either.
const roomForSplitting = 512

// split writes and reads more than fits into a request, and looks at the requests. The last of the clauses is the one that
// wants the initiator to use a server with this geometry at all.
func split(ctx context.Context, p *Execution, decided []string, g ibtrs.Geometry) error {
	const clause = "IBTRS-IO-028"
	const size = 256 << 10
	v, d, err := p.begin(ctx, script.Script{Geometry: g, KeyRefresh: true})
	if errors.Is(err, errStuck) {
		return err
	}
	if err != nil {
		return tester.Broken(decided[len(decided)-1], "%v", err)
	}
	want := tester.Stamped(probeSector, size, 1)
	if err := d.Write(ctx, probeOffset, want); err != nil {
		return tester.Broken(clause, "write of %d bytes: %v", size, err)
	}
	got, err := d.Read(ctx, probeOffset, size)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("other data than was written")
	}
	if err != nil && !(g.MaxHeaderSize < roomForSplitting && ibtrs.ErrnoOf(err) == ibtrs.EIO) {
		return tester.Broken(clause, "read of %d bytes: %v", size, err)
	}
	largest := 0
	v.Do(func() {
		for _, r := range v.Seen {
			largest = max(largest, len(r.Data))
		}
	})
	if largest > int(g.MaxIOSize) {
		return tester.Broken(clause, "a request has %d bytes of data, at most %d are allowed", largest, g.MaxIOSize)
	}
	return unbroken(clause, v)
}
