// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// Target is a target that follows a script. Its fields belong to its event loop, see the package comment.
type Target struct {
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

	mu    sync.Mutex // guards the rest
	queue []event
	wake  chan struct{} // one token: the queue is not empty
	news  chan struct{} // closed, and replaced, after something has happened
	ended chan struct{} // the event loop has ended
}

// event is something to do in the event loop.
type event struct {
	do     func()
	silent bool // it only looks, and is no news
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
		wake: make(chan struct{}, 1), news: make(chan struct{}), ended: make(chan struct{}),
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	go v.loop()
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
		v.post(event{do: func() { v.login(r) }})
	}
}

// loop is the event loop.
func (v *Target) loop() {
	defer close(v.ended)
	for range v.wake {
		v.mu.Lock()
		queue := v.queue
		v.queue = nil
		v.mu.Unlock()
		news := false
		for _, e := range queue {
			e.do()
			news = news || !e.silent
		}
		if news {
			v.mu.Lock()
			close(v.news)
			v.news = make(chan struct{})
			v.mu.Unlock()
		}
	}
}

// post has something done in the event loop.
func (v *Target) post(e event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.queue = append(v.queue, e)
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Do runs a function in the event loop and returns when it has ended. It must not be called there, nor after Close.
func (v *Target) Do(do func()) { v.await(event{do: do}) }

func (v *Target) await(e event) {
	done := make(chan struct{})
	do := e.do
	e.do = func() { do(); close(done) }
	v.post(e)
	<-done
}

// Await waits until something is so. It looks in the event loop, whenever something has happened there.
func (v *Target) Await(ctx context.Context, what string, so func() bool) error {
	for {
		v.mu.Lock()
		news := v.news
		v.mu.Unlock()
		is := false
		v.await(event{do: func() { is = so() }, silent: true})
		if is {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, context.Cause(ctx))
		}
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
	close(v.wake)
	<-v.ended
	return errors.Join(errs...)
}
