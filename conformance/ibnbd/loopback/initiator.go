// SPDX-License-Identifier: Apache-2.0

package loopback

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// Initiator is the reference's client in this process, an ordinary server for it that keeps its keys, so that a client which
// cannot refresh them is found by what is about that, and devices for scripted servers.
type Initiator struct {
	ordinary *Loopback
	hub      *soft.Hub
	device   *soft.Device
	stations []rdma.Device
	change   func(*ibnbd.ClientConfig)

	mu       sync.Mutex
	sessions int // names given out
}

// StartInitiator makes an initiator and so many devices for scripted servers. The configuration of each of its sessions can be
// changed before; change may be nil.
func StartInitiator(stations int, change func(*ibnbd.ClientConfig)) (*Initiator, error) {
	ordinary, err := Start(func(c *ibnbd.ServerConfig) { c.Transport.KeyRefresh = false })
	if err != nil {
		return nil, err
	}
	i := &Initiator{ordinary: ordinary, hub: soft.NewHub(), change: change}
	if i.device, err = i.open(1); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	for k := range stations {
		station, err := i.open(byte(2 + k))
		if err != nil {
			return nil, errors.Join(err, i.Close())
		}
		i.stations = append(i.stations, station)
	}
	return i, nil
}

func (i *Initiator) open(host byte) (*soft.Device, error) {
	return i.ordinary.open(i.hub, netip.AddrFrom4([4]byte{10, 1, 0, host}))
}

// Device is what the initiator reaches scripted servers with: the place for what goes wrong on its way to them and back.
func (i *Initiator) Device() *soft.Device { return i.device }

// Setup is where the initiator can be provoked.
func (i *Initiator) Setup() provocations.Setup {
	return provocations.Setup{Initiator: i, Devices: i.stations}
}

// Close takes everything down. It fails when something was left behind.
func (i *Initiator) Close() error { return i.ordinary.Close() }

// config is what the sessions are made of.
func (i *Initiator) config() ibnbd.ClientConfig {
	cfg := ibnbd.DefaultClientConfig()
	i.mu.Lock()
	i.sessions++
	cfg.Transport.Name = fmt.Sprintf("session%d", i.sessions)
	i.mu.Unlock()
	cfg.Transport.Connections = 3
	cfg.Transport.Scheduler = &ibtrs.Scheduler{}
	if i.change != nil {
		i.change(&cfg)
	}
	return cfg
}

// Timers are those of the sessions.
func (i *Initiator) Timers() subject.Timers {
	return subject.Timers{Timers: i.config().Transport.Timers}
}

// Map maps the disk of a scripted server.
func (i *Initiator) Map(ctx context.Context, server ...netip.Addr) (provocations.Disk, error) {
	var paths []ibtrs.PathConfig
	for _, addr := range server {
		paths = append(paths, scriptedPath(i.device, addr))
	}
	return i.mapDisk(ctx, "scripted", ibnbd.BlockIO, paths...)
}

// MapIn maps the disk of a scripted server in an I/O mode.
func (i *Initiator) MapIn(ctx context.Context, mode ibnbd.IOMode, server netip.Addr) (provocations.Disk, error) {
	return i.mapDisk(ctx, "scripted", mode, scriptedPath(i.device, server))
}

// scriptedPath is one to an address of a scripted server.
func scriptedPath(from rdma.Device, server netip.Addr) ibtrs.PathConfig {
	return ibtrs.PathConfig{Device: from, Server: netip.AddrPortFrom(server, ibtrs.DefaultPort)}
}

// MapOrdinary maps a disk of the ordinary server.
func (i *Initiator) MapOrdinary(ctx context.Context) (provocations.Disk, error) {
	rail := i.ordinary.Target().Rails[0]
	return i.mapDisk(ctx, Bystander, ibnbd.BlockIO, ibtrs.PathConfig{Device: rail.Device, Server: rail.Addr})
}

func (i *Initiator) mapDisk(ctx context.Context, path string, mode ibnbd.IOMode, over ...ibtrs.PathConfig) (provocations.Disk, error) {
	s := &session{news: make(chan struct{}), from: over[0].Device}
	cfg := i.config()
	cfg.Changed = s.changed
	cfg.Transport.Paths = over
	var err error
	if s.client, err = ibnbd.Connect(ctx, cfg); err != nil {
		return nil, err
	}
	d, err := s.client.Map(ctx, path, ibnbd.ReadWrite, mode)
	if err != nil {
		return nil, errors.Join(err, s.client.Close())
	}
	return &disk{session: s, device: d}, nil
}

// session is that of one device, or of several.
type session struct {
	client *ibnbd.Client
	from   rdma.Device // of its paths

	mu   sync.Mutex
	news chan struct{} // closed, and replaced, when the state of a device may have changed
}

func (s *session) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
}

// disk is a device with its session, which ends with the last one.
type disk struct {
	*session
	device *ibnbd.Device
}

func (d *disk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := d.device.ReadAtContext(ctx, b, offset)
	return b, err
}

func (d *disk) Write(ctx context.Context, offset int64, data []byte) error {
	_, err := d.device.WriteAtContext(ctx, data, offset, 0)
	return err
}

func (d *disk) Flush(ctx context.Context) error { return d.device.Flush(ctx) }

func (d *disk) Size(context.Context) (int64, error) { return d.device.Size(), nil }

func (d *disk) AwaitState(ctx context.Context, state string) error {
	for {
		d.mu.Lock()
		news := d.news
		d.mu.Unlock()
		is := d.device.State().String()
		if is == state {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("it is %s: %w", is, context.Cause(ctx))
		}
	}
}

func (d *disk) Reconnect(ctx context.Context) error {
	return d.client.Session().Paths()[0].Reconnect(ctx)
}

func (d *disk) AddPath(ctx context.Context, server netip.Addr) error {
	_, err := d.client.Session().AddPath(ctx, scriptedPath(d.from, server))
	return err
}

func (d *disk) RemovePath(ctx context.Context, server netip.Addr) error {
	for _, p := range d.client.Session().Paths() {
		if p.Config().Server.Addr() == server {
			return d.client.Session().RemovePath(ctx, p)
		}
	}
	return fmt.Errorf("no path goes to %s", server)
}

func (d *disk) MapAnother(ctx context.Context) (provocations.Disk, error) {
	device, err := d.client.Map(ctx, "another", ibnbd.ReadWrite, ibnbd.BlockIO)
	if err != nil {
		return nil, err
	}
	return &disk{session: d.session, device: device}, nil
}

func (d *disk) Promises(context.Context) (subject.Promises, error) {
	return subject.PromisesOf(d.client.Session().Bounds()), nil
}

func (d *disk) Unmap(ctx context.Context) error {
	err := d.device.Unmap(ctx, true)
	if len(d.client.Devices()) > 0 {
		return err
	}
	return errors.Join(err, d.client.Close())
}
