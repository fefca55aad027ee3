// SPDX-License-Identifier: Apache-2.0

package rdma

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// Listeners are what a server listens with on all its devices.
type Listeners struct {
	devices []Device
	all     []Listener
	ctx     context.Context // ends with Stop
	stop    context.CancelFunc
	serving sync.WaitGroup
}

// ListenAll listens on a port of all devices. If one cannot be listened on, none is.
func ListenAll(devices []Device, port uint16) (*Listeners, error) {
	l := &Listeners{devices: devices}
	l.ctx, l.stop = context.WithCancel(context.Background())
	for _, dev := range devices {
		one, err := dev.Listen(port)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s, port %d: %w", dev.Name(), port, err), l.Close())
		}
		l.all = append(l.all, one)
	}
	return l, nil
}

// Addrs are the addresses that are listened on.
func (l *Listeners) Addrs() []netip.AddrPort {
	var addrs []netip.AddrPort
	for _, one := range l.all {
		addrs = append(addrs, one.Addr())
	}
	return addrs
}

// Admission is what a server does with requests. The context of Admit ends with Stop.
type Admission struct {
	Admit   func(ctx context.Context, dev Device, r Request) error // deals with a request; those of one device come one after the other
	Refused func(r Request, why error)                             // is told of an error of Admit
	Failed  func(at netip.AddrPort, err error)                     // is told of a listener that has failed
}

// Serve deals with requests in the background, until Close.
func (l *Listeners) Serve(a Admission) {
	for i, one := range l.all {
		l.serving.Go(func() { l.accept(l.devices[i], one, a) })
	}
}

func (l *Listeners) accept(dev Device, one Listener, a Admission) {
	for {
		request, err := one.Next(l.ctx)
		if err != nil {
			if !errors.Is(err, ErrClosed) && l.ctx.Err() == nil {
				a.Failed(one.Addr(), err)
			}
			return
		}
		if err := a.Admit(l.ctx, dev, request); err != nil {
			a.Refused(request, err)
		}
	}
}

// Close stops listening. What Admit is doing goes on. A second call does nothing.
func (l *Listeners) Close() error {
	var errs []error
	for _, one := range l.all {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// Stop ends the context of what Admit is doing.
func (l *Listeners) Stop() { l.stop() }

// Wait waits, after Close, until no request is dealt with any more.
func (l *Listeners) Wait() { l.serving.Wait() }
