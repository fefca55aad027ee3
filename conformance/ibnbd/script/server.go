// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/eventloop"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Server is a target that follows a script. Its fields belong to its event loop, see the package comment.
type Server struct {
	*eventloop.Loop

	Script       Script     // may be changed at any time
	Disk         *Disk      // what is served
	Paths        []*Path    // every build of a path that was begun, in order
	Seen         []*Request // every request that came, in order
	ConnRequests int        // connection requests that came

	addrs     []netip.Addr
	listeners []rdma.Listener
	held      []rdma.Request // without an answer
	failures  []error        // of the server itself
	running   sync.WaitGroup // listening, polling and disconnecting goroutines
	ctx       context.Context
	cancel    context.CancelFunc
}

// partingTime is how long a client may take to confirm that a closing server disconnects.
const partingTime = 3 * time.Second

// Listen starts a server on the devices, which must outlive it, at the default port.
func Listen(s Script, devices ...rdma.Device) (*Server, error) {
	if s.Geometry == (ibtrs.Geometry{}) {
		s.Geometry = DefaultGeometry
	}
	v := &Server{
		Script: s, Disk: NewDisk(s.Geometry),
		Loop: eventloop.New(),
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	for _, d := range devices {
		l, err := d.Listen(ibtrs.DefaultPort)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("scripted server on %s: %w", d.Name(), err), v.Close())
		}
		v.addrs = append(v.addrs, d.Addr())
		v.listeners = append(v.listeners, l)
		v.running.Go(func() { v.listen(d, l) })
	}
	return v, nil
}

// Addrs are the addresses that the server listens on.
func (v *Server) Addrs() []netip.Addr { return v.addrs }

// listen passes connection requests to the event loop.
func (v *Server) listen(d rdma.Device, l rdma.Listener) {
	for {
		r, err := l.Next(v.ctx)
		if err != nil {
			return
		}
		v.Post(func() { v.connRequest(d, r) })
	}
}

// Asked is how many connection requests have come.
func (v *Server) Asked() (n int) {
	v.Do(func() { n = v.ConnRequests })
	return n
}

// StopListening does what it says: who asks for a connection is refused by the device itself.
func (v *Server) StopListening() error {
	var errs []error
	v.Do(func() {
		for _, l := range v.listeners {
			errs = append(errs, l.Close())
		}
		v.listeners = nil
	})
	return errors.Join(errs...)
}

// Hangup disconnects all clients, as a server does that goes down, and waits until they have confirmed that or ctx ends.
func (v *Server) Hangup(ctx context.Context) {
	var parting sync.WaitGroup
	v.Do(func() {
		for _, p := range v.Paths {
			p.hangup(ctx, &parting)
		}
	})
	parting.Wait()
}

// fail notes what went wrong with the server itself.
func (v *Server) fail(err error) {
	if err != nil {
		v.failures = append(v.failures, err)
	}
}

// Close disconnects all clients and releases everything. It fails when the server itself could not do what its script says.
func (v *Server) Close() error {
	err := v.StopListening()
	v.Do(func() {
		for _, r := range v.held {
			_ = r.Reject(nil) // whoever asked has given up, or is told now
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), partingTime)
	defer cancel()
	v.Hangup(ctx)
	v.cancel()
	var errs []error
	v.Do(func() {
		for _, p := range v.Paths {
			errs = append(errs, p.release())
		}
	})
	v.running.Wait()
	v.Do(func() {
		for _, p := range v.Paths {
			errs = append(errs, p.free())
		}
		errs = append(errs, v.failures...)
	})
	v.Loop.Close()
	return errors.Join(append(errs, err)...)
}
