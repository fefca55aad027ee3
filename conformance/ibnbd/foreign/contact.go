// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// targetOf is the target of a run as the tester sees it.
func targetOf(r *foreign.TargetRun) tester.Target {
	c := r.Config()
	t := tester.Target{
		Exports: [2]string{c.Exports[0], c.Exports[len(c.Exports)-1]}, Patience: c.Patience, Limit: limit(c.Consent, c.Exports),
		Seed: uint64(c.Seed), Sequence: c.Sequence,
	}
	for _, rail := range r.Rails() {
		t.Rails = append(t.Rails, tester.Rail{Device: rail.Device, Addr: rail.Addr})
	}
	return t
}

// limit is what the tester keeps to.
func limit(c foreign.Consent, exports []string) *tester.Limit {
	switch {
	case c.Everything(exports):
		return nil
	case c.Writes:
		return &tester.Limit{Writes: true, First: c.Scratch.First, Count: c.Scratch.Count}
	}
	return &tester.Limit{}
}

// contact uses the target as an ordinary client, without writing, and learns what it is.
func contact(ctx context.Context, r *foreign.TargetRun) (found foreign.Found, err error) {
	target := targetOf(r)
	target.Limit = &tester.Limit{}
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	for rail, way := range target.Rails {
		p := t.NewSession().NewPath(rail)
		if err := p.Connect(ctx); err != nil {
			return found, fmt.Errorf("no session with the target at %s: %w", way.Addr, err)
		}
		found = foreign.Found{
			Abilities:  map[clauses.Ability]bool{clauses.KeyRefresh: p.KeyRefresh(), clauses.StaticKeys: !p.KeyRefresh()},
			QueueDepth: int(p.Geometry.QueueDepth),
		}
	}
	for _, export := range r.Config().Exports {
		if err := inspect(ctx, r, t, export); err != nil {
			return found, err
		}
	}
	return found, nil
}

// leastExport is what the attacks need of an export, in bytes.
const leastExport = 1 << 20

// inspect opens an export for reading, and has the run check it.
func inspect(ctx context.Context, r *foreign.TargetRun, t *tester.Tester, export string) error {
	p, opened, err := t.NewSession().Ready(ctx, export, ibnbd.ReadOnly)
	if err != nil {
		return fmt.Errorf("export %s: %w", export, err)
	}
	return r.CheckExport(ctx, foreign.Export{
		Name: export, Sectors: opened.Capacity,
		ReadStart: func(ctx context.Context, size int) ([]byte, error) { return readStart(ctx, p, opened.DeviceID, size) },
	})
}

// readStart reads so many bytes from the begin of a device.
func readStart(ctx context.Context, p *tester.Path, device uint32, size int) ([]byte, error) {
	step := int(min(p.Geometry.MaxIOSize&^4095, 64<<10))
	var begin []byte
	for len(begin) < size {
		b, err := p.ReadAt(ctx, device, uint64(len(begin)/ibnbd.SectorSize), uint32(min(step, size-len(begin))))
		if err != nil {
			return nil, err
		}
		begin = append(begin, b...)
	}
	return begin, nil
}

// serves looks whether a new client can open the exports as specs do, and read.
func serves(ctx context.Context, r *foreign.TargetRun) (err error) {
	target := targetOf(r)
	t := tester.New(target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, target.Exports[0], t.Access())
	if err != nil {
		return err
	}
	if _, err := p.ReadAt(ctx, opened.DeviceID, 0, 4096); err != nil {
		return err
	}
	if target.Exports[1] == target.Exports[0] {
		return nil
	}
	if opened, err = p.OpenFree(ctx, target.Exports[1], t.Access()); err != nil {
		return fmt.Errorf("open %s: %w", target.Exports[1], err)
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, 4096)
	return err
}
