// SPDX-License-Identifier: Apache-2.0

package provocations

import (
	"context"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// closedOnce judges that a disk which is unmapped is closed, by its number and once.
func closedOnce(ctx context.Context, p *Execution) error {
	const clause, id = "IBNBD-MSG-018", 7
	var closes []uint32
	v, err := p.Serve(script.Script{Serve: func(r *script.Request) {
		if r.Kind == ibnbd.TypeClose {
			closes = append(closes, r.Closes)
		}
		r.Answer()
	}})
	if err != nil {
		return err
	}
	v.Do(func() { v.Disk.Open.DeviceID = id })
	d, err := p.Map(ctx, v)
	if err != nil {
		return err
	}
	if err := p.unmap(ctx, d); err != nil {
		return err
	}
	var seen []uint32
	v.Do(func() { seen = closes })
	if len(seen) != 1 || seen[0] != id {
		return tester.Broken(clause, "device %d was unmapped, and CLOSE came for %v", id, seen)
	}
	return nil
}

// early is how long a flush may take to be ended too early.
const early = time.Second

// awaitsFlush judges that a flush of the user ends when the server has answered it, and not before.
func awaitsFlush(ctx context.Context, p *Execution) error {
	const clause = "IBNBD-IO-026"
	var held *script.Request
	holds := false
	s := script.Script{
		Adapt: func(r *script.OpenResponse) { r.CachePolicy |= ibnbd.CacheWriteBack },
		Serve: func(r *script.Request) {
			if holds && held == nil && r.Kind == ibnbd.TypeIO && r.IO.Op() == ibnbd.OpFlush {
				held = r
				return
			}
			r.Answer()
		},
	}
	v, d, err := p.begin(ctx, s)
	if err != nil {
		return err
	}
	if err := p.write(ctx, d); err != nil {
		return err
	}
	v.Do(func() { holds = true })
	ended := make(chan error, 1)
	go func() { ended <- d.Flush(ctx) }()
	patience, cancel := p.patient(ctx)
	defer cancel()
	if err := v.Await(patience, "the flush", func() bool { return held != nil }); err != nil {
		return tester.Broken(clause, "%v", err)
	}
	select {
	case err := <-ended:
		return tester.Broken(clause, "the user is told that the flush has ended (%v) before it is answered", err)
	case <-time.After(early):
	}
	v.Do(func() { held.Answer() })
	select {
	case err := <-ended:
		if err != nil {
			return tester.Broken(clause, "a flush that was answered fails: %v", err)
		}
		return nil
	case <-patience.Done():
		return tester.Broken(clause, "a flush that was answered does not end")
	}
}
