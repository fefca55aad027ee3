// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// exchange is a client and a server of the reference in this process, with the packets between them.
type exchange struct {
	devices []*soft.Device
	config  ibnbd.ClientConfig
	server  *ibnbd.Server
	client  *ibnbd.Client
	disk    *ibnbd.Device
	back    chan struct{} // one token: a path of the client is connected

	mu     sync.Mutex
	frames []audit.Frame
}

const (
	exchangeRails = 2 // a path over each
	exchangeSize  = 1 << 20
	exchangeDisk  = "ram0"

	exchangeBlock  = 4096
	exchangeBlocks = 8
)

// newExchange starts a server. Both configurations can be changed before.
func newExchange(change func(*ibnbd.ServerConfig, *ibnbd.ClientConfig)) (*exchange, error) {
	e := &exchange{back: make(chan struct{}, 1)}
	server, client := ibnbd.DefaultServerConfig(), ibnbd.DefaultClientConfig()
	client.Transport.Name, client.Transport.Connections = "exchange", 3
	hub := soft.NewHub()
	for rail := range byte(exchangeRails) {
		theirs, err := e.open(hub, netip.AddrFrom4([4]byte{10, 0, rail, 2}), "")
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		ours, err := e.open(hub, netip.AddrFrom4([4]byte{10, 0, rail, 1}), fmt.Sprintf("rail%d", rail))
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		server.Transport.Devices = append(server.Transport.Devices, theirs)
		client.Transport.Paths = append(client.Transport.Paths, ibtrs.PathConfig{
			Device: ours, Server: netip.AddrPortFrom(theirs.Addr(), ibtrs.DefaultPort),
		})
	}
	memory, err := backend.NewMemory(exchangeSize, ibnbd.SectorSize)
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	server.Exports = []ibnbd.Export{{Path: exchangeDisk, Backend: memory}}
	client.Transport.Transition = func(_ *ibtrs.Path, _, to ibtrs.PathState) {
		if to == ibtrs.StateConnected {
			mark(e.back)
		}
	}
	change(&server, &client)
	e.config = client
	if e.server, err = ibnbd.Listen(server); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// open makes a device on a rail of the hub. Its packets are recorded if the rail has a name.
func (e *exchange) open(hub *soft.Hub, addr netip.Addr, rail string) (*soft.Device, error) {
	link, err := hub.Attach(addr, 0)
	if err != nil {
		return nil, err
	}
	if rail != "" {
		link = soft.ObservedLink{Link: link, Observe: func(packets []*soft.Packet) { e.record(rail, packets) }}
	}
	d, err := soft.Open(link, soft.Config{})
	if err == nil {
		e.devices = append(e.devices, d)
	}
	return d, err
}

// record keeps packets that go over a link of a rail.
func (e *exchange) record(rail string, packets []*soft.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range packets {
		data := bytes.Clone(p.Datagram())
		e.frames = append(e.frames, audit.Frame{
			FrameID: audit.FrameID{Rail: rail, Number: uint64(len(e.frames) + 1)}, At: time.Now(), Data: data, OrigLen: len(data), Link: audit.RawIP,
		})
	}
}

// recorded are the packets so far, in the order of their times.
func (e *exchange) recorded() []audit.Frame {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.frames)
}

// use maps a disk over two paths, writes and reads.
func (e *exchange) use(ctx context.Context) (err error) {
	if e.client, err = ibnbd.Connect(ctx, e.config); err != nil {
		return err
	}
	if e.disk, err = e.client.Map(ctx, exchangeDisk, ibnbd.ReadWrite, ibnbd.BlockIO); err != nil {
		return err
	}
	return e.io(ctx)
}

// rebuild connects a path anew, and does I/O.
func (e *exchange) rebuild(ctx context.Context) error {
	if err := e.reconnect(ctx); err != nil {
		return err
	}
	return e.io(ctx)
}

// comeBack connects a path anew when all have been disconnected.
func (e *exchange) comeBack(ctx context.Context) error {
	for _, p := range e.client.Session().Paths() {
		if err := p.Disconnect(ctx); err != nil {
			return err
		}
	}
	return e.reconnect(ctx)
}

// reconnect connects the first path anew, as soon as the server has let the old one go.
func (e *exchange) reconnect(ctx context.Context) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := e.client.Session().Paths()[0].Reconnect(ctx)
		if !errors.Is(err, ibtrs.EBUSY) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// lose has the server disconnect a path, and waits until the client has connected it again by itself.
func (e *exchange) lose(ctx context.Context) error {
	select {
	case <-e.back: // of the time before
	default:
	}
	e.server.Transport().Sessions()[0].Paths()[0].Disconnect()
	select {
	case <-e.back:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a path to come back: %w", context.Cause(ctx))
	}
}

// rest does nothing for a while, and then I/O.
func (e *exchange) rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return e.io(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// io writes blocks and reads them.
func (e *exchange) io(ctx context.Context) error {
	block := bytes.Repeat([]byte{0xA5}, exchangeBlock)
	for i := range int64(exchangeBlocks) {
		if _, err := e.disk.WriteAtContext(ctx, block, i*exchangeBlock, 0); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if _, err := e.disk.ReadAtContext(ctx, block, i*exchangeBlock); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return nil
}

// end unmaps the disk and closes the session.
func (e *exchange) end(ctx context.Context) error {
	var errs []error
	if e.disk != nil {
		errs = append(errs, e.disk.Unmap(ctx, true))
	}
	if e.client != nil {
		errs = append(errs, e.client.Close())
	}
	return errors.Join(errs...)
}

// close stops the server and takes the devices down.
func (e *exchange) close() error {
	var errs []error
	if e.server != nil {
		errs = append(errs, e.server.Close())
	}
	for _, d := range e.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
