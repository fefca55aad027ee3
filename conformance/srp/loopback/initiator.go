// SPDX-License-Identifier: Apache-2.0

package loopback

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/srp/provocations"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Initiator is the reference's initiator in this process, and devices for scripted targets.
type Initiator struct {
	initiator *srp.Initiator
	timers    provocations.Timers
	change    func(*srp.PortConfig)
	parse     func(string) (srp.LoginString, error)
	hub       *soft.Hub
	device    *soft.Device
	stations  []rdma.Device
	devices   []*soft.Device

	mu   sync.Mutex
	news chan struct{} // closed, and replaced, when the state of a port has changed
}

// InitiatorSettings are what an initiator is started with.
type InitiatorSettings struct {
	srp.InitiatorConfig
	Port  func(*srp.PortConfig)                      // may change what each port is added with
	Login func(text string) (srp.LoginString, error) // reads a login string
}

// StartInitiator makes an initiator and so many devices for scripted targets. Its settings can be changed before; change may be nil.
func StartInitiator(stations int, change func(*InitiatorSettings)) (*Initiator, error) {
	i := &Initiator{hub: soft.NewHub(), news: make(chan struct{})}
	s := InitiatorSettings{InitiatorConfig: srp.DefaultInitiatorConfig(), Port: func(*srp.PortConfig) {}, Login: srp.ParseLoginString}
	if change != nil {
		change(&s)
	}
	s.Transition = func(*srp.RemotePort, srp.PortState, srp.PortState) { i.changed() }
	i.change, i.parse = s.Port, s.Login
	i.initiator = srp.NewInitiator(s.InitiatorConfig)
	var err error
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
	cfg := i.config()
	i.timers = provocations.Timers{
		Probe: cfg.Timers.Probe, Deadline: cfg.Timers.ProbeDeadline, AttemptMax: cfg.Timers.AttemptMax, ReconnectDelayMax: cfg.Timers.ReconnectDelayMax,
		Gap: s.Gap, Task: cfg.TaskTimeout, Logout: cfg.LogoutTime,
	}
	return i, nil
}

func (i *Initiator) open(host byte) (*soft.Device, error) {
	link, err := i.hub.Attach(netip.AddrFrom4([4]byte{10, 2, 0, host}), 0)
	if err != nil {
		return nil, err
	}
	d, err := soft.Open(link, soft.Config{TrustLink: true})
	if err == nil {
		i.devices = append(i.devices, d)
	}
	return d, err
}

// config is what ports are made of.
func (i *Initiator) config() srp.PortConfig {
	cfg := srp.DefaultPortConfig()
	cfg.Device = i.device
	cfg.ChannelMemory, cfg.MaxTransfer = 4<<20, 512<<10
	i.change(&cfg)
	return cfg
}

func (i *Initiator) changed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	close(i.news)
	i.news = make(chan struct{})
}

// Setup is where the initiator can be provoked.
func (i *Initiator) Setup() provocations.Setup {
	return provocations.Setup{Initiator: i, Devices: i.stations}
}

// Timers are those of the configuration as it was at the begin.
func (i *Initiator) Timers() provocations.Timers { return i.timers }

// Close takes everything down. It fails when something was left behind.
func (i *Initiator) Close() error {
	return errors.Join(i.initiator.Close(), closeAll(&i.devices))
}

// Add logs in to a scripted target.
func (i *Initiator) Add(ctx context.Context, login string, t provocations.Times) (provocations.Disk, error) {
	cfg := i.config()
	var err error
	if cfg.Login, err = i.parse(login); err != nil {
		return nil, err
	}
	apply(&cfg.Timers, t)
	port, err := i.initiator.Add(ctx, cfg)
	if err != nil {
		return nil, err
	}
	disks := port.Disks()
	if len(disks) == 0 {
		return nil, errors.Join(fmt.Errorf("%s has no disk", port), port.Delete())
	}
	return &portDisk{i, port, disks[0]}, nil
}

// apply changes the timers that are given.
func apply(to *srp.Timers, t provocations.Times) {
	if t.FastIOFail != 0 {
		to.FastIOFail = t.FastIOFail
	}
	if t.DevLoss != 0 {
		to.DevLoss = t.DevLoss
	}
	if t.ReconnectDelay != 0 {
		to.ReconnectDelay = t.ReconnectDelay
	}
}

// portDisk is the disk of a port.
type portDisk struct {
	initiator *Initiator
	port      *srp.RemotePort
	disk      *srp.Disk
}

func (d *portDisk) Read(ctx context.Context, offset int64, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := d.disk.ReadAtContext(ctx, b, offset)
	return b, err
}

func (d *portDisk) Write(ctx context.Context, offset int64, data []byte) error {
	_, err := d.disk.WriteAtContext(ctx, data, offset, false)
	return err
}

func (d *portDisk) AwaitState(ctx context.Context, want string) error {
	for {
		d.initiator.mu.Lock()
		news := d.initiator.news
		d.initiator.mu.Unlock()
		is := d.port.State().String()
		if is == want {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("it is %s: %w", is, context.Cause(ctx))
		}
	}
}

func (d *portDisk) Port(context.Context) (provocations.Port, error) {
	info := d.port.Info()
	t := info.Timers
	return provocations.Port{
		State: info.State.String(), Failures: info.Failures,
		Times: provocations.Times{FastIOFail: t.FastIOFail, DevLoss: t.DevLoss, ReconnectDelay: t.ReconnectDelay},
	}, nil
}

func (d *portDisk) Set(_ context.Context, t provocations.Times) error {
	timers := d.port.Info().Timers
	apply(&timers, t)
	return d.port.SetTimers(timers)
}

func (d *portDisk) Reconnect(context.Context) error { return d.port.ReconnectNow() }

func (d *portDisk) Delete(context.Context) error { return d.port.Delete() }
