// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

func returning() []Provocation {
	return []Provocation{
		{Name: "a server returns with another device id", Clauses: []string{"IBNBD-FAIL-002"}, Run: func(ctx context.Context, p *Execution) error {
			return changed(ctx, p, "IBNBD-FAIL-002", script.Script{}, func(v *script.Server) { v.Disk.Open.DeviceID = 0x01020304 }, 0)
		}},
		{Name: "a server returns with a larger disk", Clauses: []string{"IBNBD-FAIL-003"}, Run: func(ctx context.Context, p *Execution) error {
			return changed(ctx, p, "IBNBD-FAIL-003", script.Script{}, func(v *script.Server) { v.Disk.Open.Capacity *= 2 }, 2<<20)
		}},
		{Name: "a server returns with a smaller disk", Clauses: []string{"IBNBD-FAIL-003"}, Run: func(ctx context.Context, p *Execution) error {
			const size = probeOffset + probeSize
			return changed(ctx, p, "IBNBD-FAIL-003", script.Script{}, func(v *script.Server) { v.Disk.Open.Capacity = size / ibnbd.SectorSize }, size)
		}},
		{Name: "a server returns without key refresh", Clauses: []string{"IBTRS-INV-015"}, Run: func(ctx context.Context, p *Execution) error {
			return changed(ctx, p, "IBTRS-INV-015", refreshing, func(v *script.Server) { v.Script.KeyRefresh = false }, 0)
		}},
		{Name: "a server returns with key refresh", Clauses: []string{"IBTRS-INV-015"}, Run: func(ctx context.Context, p *Execution) error {
			return changed(ctx, p, "IBTRS-INV-015", script.Script{}, func(v *script.Server) { v.Script.KeyRefresh = true }, 0)
		}},
		{Name: "a server returns with another block size", Run: func(ctx context.Context, p *Execution) error {
			v, d, err := p.begin(ctx, script.Script{})
			if err != nil {
				return err
			}
			p.hangup(ctx, v)
			v.Do(func() { v.Disk.Open.LogicalBlockSize, v.Disk.Open.PhysicalBlockSize = 4096, 4096 })
			return returned(ctx, p, Survival, v, d)
		}},
		{Name: "a server returns with smaller chunks", Run: func(ctx context.Context, p *Execution) error {
			v, d, err := p.begin(ctx, script.Script{})
			if err != nil {
				return err
			}
			p.hangup(ctx, v)
			v.Do(func() { v.Script.Geometry.MaxIOSize = 8192 - 4096 })
			_ = p.reconnect(ctx, v, d) // whether it takes that is its own affair
			return nil
		}},
		{Name: "a server returns with another queue depth", Clauses: []string{"IBTRS-SYSFS-011"}, Run: func(ctx context.Context, p *Execution) error {
			v, d, err := p.begin(ctx, script.Script{})
			if err != nil {
				return err
			}
			p.hangup(ctx, v)
			v.Do(func() { v.Script.Geometry.QueueDepth *= 2 })
			return notReconnected(ctx, p, v, d)
		}},
		{Name: "a server returns and rejects at first", Clauses: []string{"IBTRS-SYSFS-011", "IBTRS-PATH-018"}, Run: rejectsAtFirst},
		{Name: "a server returns and refuses OPEN", Clauses: []string{"IBNBD-FAIL-004"}, Run: refusesAfterwards},
	}
}

// changed has a server go away and return as somebody else, and judges that the disk can be used then, and has a size unless
// that is 0.
func changed(ctx context.Context, p *Execution, clause string, s script.Script, change func(*script.Server), size int64) error {
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	p.hangup(ctx, v)
	v.Do(func() { change(v) })
	if err := returned(ctx, p, clause, v, d); err != nil || size == 0 {
		return err
	}
	is, err := d.Size(ctx)
	if err != nil {
		return err
	}
	if is != size {
		return tester.Broken(clause, "the disk has %d bytes, it must have %d", is, size)
	}
	return nil
}

// notReconnected judges that a reconnect by hand fails, and with which number.
func notReconnected(ctx context.Context, p *Execution, v *script.Server, d Disk) error {
	const clause = "IBTRS-SYSFS-011"
	if err := p.awaitState(ctx, d, closed); err != nil {
		return err
	}
	return failed(clause, "the reconnect", p.rebuild(ctx, v, d), ibtrs.ENOTCONN)
}

// rejectsAtFirst returns, rejects with EBUSY, and lets the client in when it asks again.
func rejectsAtFirst(ctx context.Context, p *Execution) error {
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	p.hangup(ctx, v)
	v.Do(func() {
		v.Script.Connect = func(k *script.ConnRequest) {
			v.Script.Connect = nil
			k.RejectErrno(-int16(ibtrs.EBUSY))
		}
	})
	if err := notReconnected(ctx, p, v, d); err != nil {
		return err
	}
	return returned(ctx, p, "IBTRS-PATH-018", v, d)
}

// refusesAfterwards returns and refuses to open the disk, which must stay closed.
func refusesAfterwards(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-FAIL-004"
	v, d, err := p.begin(ctx, script.Script{})
	if err != nil {
		return err
	}
	p.hangup(ctx, v)
	if err := p.awaitState(ctx, d, closed); err != nil {
		return err
	}
	opens := 0
	v.Do(func() {
		v.Script = answers(ibnbd.TypeOpen, func(r *script.Request, a *script.Answer) {
			opens++
			*a = r.Outcome(ibtrs.ENOENT)
		})
		v.Script.Geometry = script.DefaultGeometry
	})
	if err := p.rebuild(ctx, v, d); err != nil {
		return err
	}
	patience, cancel := p.patient(ctx)
	defer cancel()
	if err := v.Await(patience, "the client asks for its disk again", func() bool { return opens > 0 }); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	if err := failed(clause, "a read of a disk that was not opened again", p.read(ctx, d), ibtrs.EIO); err != nil {
		return err
	}
	if err := p.unmap(ctx, d); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	return nil
}
