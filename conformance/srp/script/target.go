// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/eventloop"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// Target is a target that follows a script. Its fields belong to its event loop, see the package comment.
type Target struct {
	*eventloop.Loop

	Script   Script     // may be changed at any time
	Disk     *Disk      // what is served, as logical unit 0
	Logins   []*Login   // every one that came, in order
	Channels []*Channel // every one that was accepted, in order
	Seen     []*Command // every command that came, in order
	Managed  []*Management
	Others   [][]byte // units that came and are neither
	Place    Place

	device    rdma.Device
	listener  rdma.Listener
	luns      *scsi.LUNs
	nexus     *scsi.Nexus
	held      []rdma.Request // without an answer
	failures  []error        // of the target itself
	listening sync.WaitGroup
	running   sync.WaitGroup // polling and disconnecting goroutines
	ctx       context.Context
	cancel    context.CancelFunc
}

// Disk is a disk in memory.
type Disk struct {
	backend.Backend
	Serial string
}

// NewDisk makes one.
func NewDisk(serial string) (*Disk, error) {
	memory, err := backend.NewMemory(DiskSize, BlockSize)
	if err != nil {
		return nil, err
	}
	return &Disk{memory, serial}, nil
}

// partingTime is how long an initiator may take to confirm that a closing target disconnects.
const partingTime = 3 * time.Second

// Listen starts a target with a disk on a device, which must outlive it. The disk stays the caller's.
func Listen(s Script, at Place, disk *Disk) (*Target, error) {
	v := &Target{
		Script: s, Disk: disk, Place: at, device: at.Device, luns: scsi.NewLUNs(),
		Loop: eventloop.New(),
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	if err := v.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("scripted target on %s: %w", at.Device.Name(), err), v.Close())
	}
	return v, nil
}

func (v *Target) start() error {
	cfg := scsi.DefaultUnitConfig()
	cfg.Serial = v.Disk.Serial
	unit, err := scsi.NewUnit(v.Disk, cfg)
	if err != nil {
		return err
	}
	if err := v.luns.Add(0, unit); err != nil {
		return err
	}
	v.nexus = scsi.NewNexus(v.luns, scsi.PowerOnOrReset)
	return v.Open()
}

// Open has the target listen, which it does from the beginning.
func (v *Target) Open() error {
	l, err := v.device.Listen(v.Place.Port)
	if err != nil {
		return err
	}
	v.Do(func() { v.listener = l })
	v.listening.Go(func() { v.listen(l) })
	return nil
}

// Shut has the device itself refuse logins from now on.
func (v *Target) Shut() error {
	var err error
	v.Do(func() {
		if v.listener != nil {
			err = v.listener.Close()
		}
		v.listener = nil
	})
	v.listening.Wait()
	return err
}

// listen passes logins to the event loop.
func (v *Target) listen(l rdma.Listener) {
	for {
		r, err := l.Next(v.ctx)
		if err != nil {
			return
		}
		v.Post(func() { v.login(r) })
	}
}

// Asked is how many logins have come.
func (v *Target) Asked() (n int) {
	v.Do(func() { n = len(v.Logins) })
	return n
}

// Hangup disconnects all initiators, as a target does that goes down, and waits until they have confirmed that or ctx ends.
func (v *Target) Hangup(ctx context.Context) {
	var parting sync.WaitGroup
	v.Do(func() {
		for _, c := range v.Channels {
			if !c.Lost {
				parting.Go(func() { _ = c.conn.Disconnect(ctx) }) // an initiator that does not confirm is no fault of the target
			}
		}
	})
	parting.Wait()
}

// fail notes what went wrong with the target itself.
func (v *Target) fail(err error) {
	if err != nil {
		v.failures = append(v.failures, err)
	}
}

// Close disconnects all initiators and releases everything. It fails when the target itself could not do what its script says.
func (v *Target) Close() error {
	err := v.Shut()
	v.Do(func() {
		for _, r := range v.held {
			_ = r.Reject(nil) // whoever asked has given up, or is told now
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), partingTime)
	defer cancel()
	v.Hangup(ctx)
	v.cancel()
	errs := []error{err}
	v.Do(func() {
		for _, c := range v.Channels {
			errs = append(errs, c.conn.Close())
		}
	})
	v.running.Wait()
	v.Do(func() {
		for _, c := range v.Channels {
			errs = append(errs, c.free())
		}
		errs = append(errs, v.failures...)
	})
	if v.nexus != nil {
		v.nexus.Close()
	}
	v.Loop.Close()
	return errors.Join(errs...)
}
