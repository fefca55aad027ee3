// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// What a sequence is run with, and where it writes: behind what a bystander and a new client use.
const (
	sequenceClients = 3
	sequenceBlocks  = 5
	sequenceSector  = 24 // sector
	sequenceBlock   = 4096
)

// Clauses that a sequence decides beside those that are named elsewhere.
const (
	freed          = "IBNBD-OPEN-019"
	sameID         = "IBNBD-OPEN-013"
	closedID       = "IBNBD-OPEN-030"
	distinct       = "IBNBD-OPEN-029"
	capacity       = "IBNBD-OPEN-001"
	noWriter       = "IBNBD-OPEN-007"
	migrates       = "IBNBD-OPEN-008"
	thirdWriter    = "IBNBD-OPEN-009"
	afterMigration = "IBNBD-OPEN-010"
	readers        = "IBNBD-OPEN-011"
	atEnd          = "IBNBD-IO-016"
	infoAgain      = "IBNBD-MSG-017"
)

// sequenceClauses are those that sequences decide.
var sequenceClauses = []string{
	exactly, capacity, noWriter, migrates, thirdWriter, afterMigration, readers, sameID, freed, distinct, closedID, atEnd, infoAgain,
}

// sequenceRun is a sequence under way: the clients, and the model of what the target has of them.
type sequenceRun struct {
	t       *tester.Tester
	clients [sequenceClients]modelClient
	disks   []modelDisk
	rails   int
	stamp   uint64 // of the last write
}

// modelClient is a client: one session, while it has a path.
type modelClient struct {
	name    string
	session *tester.Session
	paths   [2]*tester.Path
	busy    [2]bool // the target still has an earlier path there
	open    [2]*mapping
	closed  map[uint32]bool // ids that it has given back
}

// mapping is a device that a client has open.
type mapping struct {
	id   uint32
	mode ibnbd.AccessMode
}

// modelDisk is a device as the rules have it.
type modelDisk struct {
	export     string
	sectors    uint64
	writers    int                    // with a migration, too
	migrations int                    // of these
	blocks     [sequenceBlocks]uint64 // the stamp of the last write; 0: none in this sequence
}

// newSequenceRun looks at the devices before any client comes.
func newSequenceRun(ctx context.Context, t *tester.Tester) (*sequenceRun, error) {
	exports := t.Target().Exports
	p := &sequenceRun{t: t, rails: min(2, len(t.Target().Rails))}
	for i := range p.clients {
		p.clients[i].name = t.NewSession().Name
	}
	p.disks = []modelDisk{{export: exports[0]}}
	if exports[1] != exports[0] {
		p.disks = append(p.disks, modelDisk{export: exports[1], writers: 1}) // the bystander
	}
	for i := range p.disks {
		d := &p.disks[i]
		path, opened, err := t.NewSession().Ready(ctx, d.export, p.firstMode(i))
		if err != nil {
			return nil, err
		}
		if opened.LogicalBlockSize > sequenceBlock {
			return nil, fmt.Errorf("blocks of %d bytes: %w", opened.LogicalBlockSize, ErrInapplicable)
		}
		d.sectors = opened.Capacity
		if err := path.Disconnect(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// firstMode opens a device for writing when no client of the sequence has it.
func (p *sequenceRun) firstMode(device int) ibnbd.AccessMode {
	if p.disks[device].writers > 0 {
		return ibnbd.Migration
	}
	return ibnbd.ReadWrite
}

// at is who does a step, over which path, and with which device; a nil path means that the step makes no sense.
func (p *sequenceRun) at(s step) (*modelClient, *tester.Path, *modelDisk, int) {
	c, device := &p.clients[s.client], s.device%len(p.disks)
	path := c.paths[s.rail%p.rails]
	for _, other := range c.paths {
		if path == nil {
			path = other
		}
	}
	return c, path, &p.disks[device], device
}

// join connects a path: the first begins a session under the client's name.
func (p *sequenceRun) join(ctx context.Context, s step) error {
	c, rail := &p.clients[s.client], s.rail%p.rails
	if c.paths[rail] != nil || c.busy[rail] {
		return errNoSense
	}
	begins := c.session == nil
	if begins {
		c.session = p.t.NewSession()
		c.session.Name, c.closed = c.name, make(map[uint32]bool)
	}
	path, err := p.admitted(ctx, c.session, rail, begins)
	switch {
	case err == nil:
		c.paths[rail] = path
	case begins:
		return tester.Broken(Survival, "a session with the name of one that has ended: %s", tester.Outcome(err))
	default:
		c.busy[rail] = true // IBTRS-CONN-057 lets the target take longer than this waits
		return nil
	}
	if !begins {
		return nil
	}
	_, err = path.SessInfo(ctx, ibnbd.Version)
	return succeeded(infoAgain, err)
}

// admitted connects a path. The target takes a moment to let go of what was there before.
func (p *sequenceRun) admitted(ctx context.Context, session *tester.Session, rail int, begins bool) (*tester.Path, error) {
	const between = 20 * time.Millisecond // two questions
	until := time.Now().Add(p.t.Target().Patience)
	for {
		path := session.NewPath(rail)
		path.Request.FirstConnection = 0
		if begins {
			path.Request.FirstConnection = ibtrs.FirstConnection
		}
		err := path.Connect(ctx)
		if err == nil || time.Now().After(until) {
			return path, err
		}
		if err := path.Disconnect(ctx); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(between):
		}
	}
}

// leave disconnects a path. With the last, the session ends, and gives back what it has open.
func (p *sequenceRun) leave(ctx context.Context, s step) error {
	c, rail := &p.clients[s.client], s.rail%p.rails
	if c.paths[rail] == nil {
		return errNoSense
	}
	err := c.paths[rail].Disconnect(ctx)
	if c.paths[rail] = nil; err != nil || c.paths[1-rail] != nil {
		return err
	}
	for device := range p.disks {
		p.gaveBack(c, device)
	}
	c.session, c.busy = nil, [2]bool{}
	return nil
}

// gaveBack notes that a client has a device no longer open.
func (p *sequenceRun) gaveBack(c *modelClient, device int) {
	m, d := c.open[device], &p.disks[device]
	if m == nil {
		return
	}
	if m.mode != ibnbd.ReadOnly {
		d.writers--
	}
	if m.mode == ibnbd.Migration {
		d.migrations--
	}
	c.closed[m.id] = true
	c.open[device] = nil
}

// introduce sends SESS_INFO once more.
func (p *sequenceRun) introduce(ctx context.Context, s step) error {
	_, path, _, _ := p.at(s)
	if path == nil {
		return errNoSense
	}
	_, err := path.SessInfo(ctx, ibnbd.Version)
	return succeeded(infoAgain, err)
}

// refuses is the clause by which a device lets no such user in; "" if it lets him in.
func (d *modelDisk) refuses(mode ibnbd.AccessMode) string {
	switch {
	case mode == ibnbd.ReadOnly || mode == ibnbd.Migration && d.writers < 2 || d.writers == 0:
		return ""
	case d.writers >= 2:
		return thirdWriter
	case d.migrations > 0:
		return afterMigration
	}
	return noWriter
}

// admits is the clause by which it lets a user in.
func admits(mode ibnbd.AccessMode) string {
	return map[ibnbd.AccessMode]string{ibnbd.ReadOnly: readers, ibnbd.ReadWrite: freed, ibnbd.Migration: migrates}[mode]
}

func (p *sequenceRun) open(ctx context.Context, s step) error {
	c, path, d, device := p.at(s)
	if path == nil {
		return errNoSense
	}
	if m := c.open[device]; m != nil {
		opened, err := path.Open(ctx, d.export, s.mode)
		if err != nil || opened.DeviceID != m.id {
			return tester.Broken(sameID, "%s, device %d, it must be device %d", tester.Outcome(err), opened.DeviceID, m.id)
		}
		return d.hasSize(opened)
	}
	if clause := d.refuses(s.mode); clause != "" {
		_, err := path.Open(ctx, d.export, s.mode)
		return answered(clause, err, ibtrs.EPERM)
	}
	opened, err := path.OpenFree(ctx, d.export, s.mode)
	if err := succeeded(admits(s.mode), err); err != nil {
		return err
	}
	for other, m := range c.open {
		if m != nil && m.id == opened.DeviceID {
			return tester.Broken(distinct, "devices %d and %d of a session both have the id %d", other, device, m.id)
		}
	}
	p.took(c, device, &mapping{opened.DeviceID, s.mode})
	return d.hasSize(opened)
}

// took notes that a client has opened a device.
func (p *sequenceRun) took(c *modelClient, device int, m *mapping) {
	d := &p.disks[device]
	if m.mode != ibnbd.ReadOnly {
		d.writers++
	}
	if m.mode == ibnbd.Migration {
		d.migrations++
	}
	delete(c.closed, m.id)
	c.open[device] = m
}

// hasSize compares what a device is said to have with what was said first.
func (d *modelDisk) hasSize(opened ibnbd.OpenResponse) error {
	if opened.Capacity != d.sectors {
		return tester.Broken(capacity, "%s has %d sectors, and had %d before", d.export, opened.Capacity, d.sectors)
	}
	return nil
}

func (p *sequenceRun) close(ctx context.Context, s step) error {
	c, path, _, device := p.at(s)
	if path == nil || c.open[device] == nil {
		return errNoSense
	}
	err := path.CloseDevice(ctx, c.open[device].id)
	p.gaveBack(c, device)
	if err != nil {
		return tester.Broken(freed, "CLOSE: %s, it must succeed", tester.Outcome(err))
	}
	return nil
}

// sectorAt is where a block is.
func sectorAt(place int) uint64 { return sequenceSector + uint64(place)*sequenceBlock/ibnbd.SectorSize }

// write writes a block, and lets everybody read it who has the device open.
func (p *sequenceRun) write(ctx context.Context, s step) error {
	c, path, d, device := p.at(s)
	if path == nil || c.open[device] == nil || c.open[device].mode == ibnbd.ReadOnly {
		return errNoSense
	}
	p.stamp++
	sector := sectorAt(s.place)
	if err := path.WriteAt(ctx, c.open[device].id, sector, tester.Stamped(sector, sequenceBlock, p.stamp)); err != nil {
		return tester.Broken(exactly, "a write: %s", tester.Outcome(err))
	}
	d.blocks[s.place] = p.stamp
	for i := range p.clients {
		s.client = i
		if err := p.read(ctx, s); err != nil && !errors.Is(err, errNoSense) {
			return fmt.Errorf("as client %d reads it: %w", i, err)
		}
	}
	return nil
}

// read reads a block over all paths of the client.
func (p *sequenceRun) read(ctx context.Context, s step) error {
	c, _, d, device := p.at(s)
	if c.open[device] == nil {
		return errNoSense
	}
	for _, path := range c.paths {
		if path == nil {
			continue
		}
		if err := d.shown(ctx, path, c.open[device].id, s.place); err != nil {
			return err
		}
	}
	return nil
}

// shown reads a block, and compares it with what was written last.
func (d *modelDisk) shown(ctx context.Context, path *tester.Path, id uint32, place int) error {
	sector, want := sectorAt(place), d.blocks[place]
	if want == 0 {
		_, err := path.ReadAt(ctx, id, sector, sequenceBlock)
		return succeeded(exactly, err)
	}
	if err := path.CheckStamped(ctx, id, sector, sequenceBlock, want); err != nil {
		return tester.Broken(exactly, "block %d of %s: %v", place, d.export, err)
	}
	return nil
}

func (p *sequenceRun) beyond(ctx context.Context, s step) error {
	c, path, d, device := p.at(s)
	if path == nil || c.open[device] == nil {
		return errNoSense
	}
	_, err := path.ReadAt(ctx, c.open[device].id, d.sectors-p.t.Base(), sequenceBlock)
	return failed(atEnd, err)
}

// stale uses an id that the client has given back, and that was not given out again.
func (p *sequenceRun) stale(ctx context.Context, s step) error {
	c, path, _, _ := p.at(s)
	if path == nil || len(c.closed) == 0 {
		return errNoSense
	}
	for id := range c.closed {
		_, err := path.ReadAt(ctx, id, sequenceSector, sequenceBlock)
		if err := answered(closedID, err, ibtrs.ENOTCONN); err != nil {
			return fmt.Errorf("device %d: %w", id, err)
		}
	}
	return nil
}

// settle lets all clients go, come back and go again, each over its paths in an order of its own. Then another looks at what is
// left: the devices are free, and have what was written.
func (p *sequenceRun) settle(ctx context.Context) error {
	for i := range 2 * sequenceClients {
		if err := p.goes(ctx, step{client: i % sequenceClients, rail: i}); err != nil {
			return fmt.Errorf("when all clients leave: %w", err)
		}
	}
	for i := range p.disks {
		if err := p.left(ctx, i); err != nil {
			return fmt.Errorf("when all clients have left: %w", err)
		}
	}
	return nil
}

// goes lets a client go over the path of a step first, then over the other, come back under its name over that, and go again.
func (p *sequenceRun) goes(ctx context.Context, s step) error {
	other := s
	other.rail++
	for _, do := range []struct {
		do func(*sequenceRun, context.Context, step) error
		at step
	}{{(*sequenceRun).leave, s}, {(*sequenceRun).leave, other}, {(*sequenceRun).join, other}, {(*sequenceRun).join, s}, {(*sequenceRun).leave, s}, {(*sequenceRun).leave, other}} {
		if err := do.do(p, ctx, do.at); err != nil && !errors.Is(err, errNoSense) {
			return err
		}
	}
	return nil
}

// left opens a device that nobody of the sequence has any more, and looks for what was written.
func (p *sequenceRun) left(ctx context.Context, device int) error {
	d, mode := &p.disks[device], p.firstMode(device)
	path := p.t.NewSession().NewPath(0)
	if err := path.Connect(ctx); err != nil {
		return tester.Broken(Survival, "a new client: %s", tester.Outcome(err))
	}
	opened, err := path.OpenFree(ctx, d.export, mode)
	if err != nil {
		return tester.Broken(freed, "an OPEN of %s with access mode %s: %s", d.export, mode, tester.Outcome(err))
	}
	for place := range d.blocks {
		if err := d.shown(ctx, path, opened.DeviceID, place); err != nil {
			return err
		}
	}
	return path.Disconnect(ctx)
}
