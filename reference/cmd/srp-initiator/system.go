// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/doors"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/news"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/provider"
	"github.com/ibnbd/ibnbd/reference/nbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// system is a running program: the ports of this machine.
type system struct {
	initiator *srp.Initiator
	nbd       nbd.Server
	sockets   doors.Sockets
	disks     doors.Kernel[*srp.Disk]
	news      *news.News[status]
	end       context.CancelFunc
	log       *slog.Logger

	mu      sync.Mutex // guards the rest
	devices map[deviceName]rdma.Device
	numbers map[*srp.RemotePort]int
	last    int // number that was given
}

// deviceName is what a device is opened by.
type deviceName struct {
	provider string
	addr     netip.Addr
}

// addOptions are what a person can choose about serving.
type addOptions struct {
	socket              string
	disk, json, verbose bool
}

// socket is where the program listens for what it is told.
func socket() string { return filepath.Join(program.RunDir(), "srp-initiator", "control.sock") }

func newSystem(end context.CancelFunc, log *slog.Logger) *system {
	s := &system{end: end, log: log, news: news.New(func(st *status) *uint64 { return &st.Change })}
	s.devices, s.numbers = map[deviceName]rdma.Device{}, map[*srp.RemotePort]int{}
	s.news.State = s.state
	cfg := srp.DefaultInitiatorConfig()
	cfg.Log = log
	cfg.Transition = func(p *srp.RemotePort, _, to srp.PortState) {
		s.news.Changed()
		if to == srp.PortLost {
			go s.gone(p) // not from within the port
		}
	}
	s.initiator = srp.NewInitiator(cfg)
	return s
}

// gone takes the block devices of a port away that is lost for ever, and ends the program with the last port.
func (s *system) gone(p *srp.RemotePort) {
	for _, d := range p.Disks() {
		if err := s.disks.Detach(d); err != nil {
			s.log.Error("a block device stays", "disk", d, "error", err)
		}
	}
	for _, other := range s.initiator.Ports() {
		if other.State() != srp.PortLost {
			return
		}
	}
	s.end()
}

// runAdd adds ports to the program that runs, or becomes it.
func runAdd(ctx context.Context, out, stderr io.Writer, o *portOptions, a *addOptions, logins []string) (err error) {
	for _, login := range logins {
		if _, _, err := o.config(login); err != nil {
			return err
		}
	}
	if isRunning(ctx) {
		return join(ctx, out, o, a, logins)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	s := newSystem(end, program.NewLog(stderr, a.verbose))
	if a.socket == "" {
		a.socket = filepath.Join(program.RunDir(), "srp-initiator", "nbd.sock")
	}
	s.sockets = doors.Sockets{Commands: socket(), NBD: a.socket}
	if err := s.sockets.Check(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, login := range logins {
		if _, err := s.add(ctx, o, login, a.disk); err != nil {
			return err
		}
	}
	open, err := s.sockets.Listen()
	if err != nil {
		return err
	}
	if a.json {
		s.news.Out = out
	} else {
		printDoors(out, s.state().Ports)
	}
	s.nbd.Log = s.log
	return open.Serve(ctx, end, s.handler(), &s.nbd, s.news.Follow)
}

// add logs in to a port and offers its disks.
func (s *system) add(ctx context.Context, o *portOptions, login string, blockDevices bool) (int, error) {
	cfg, source, err := o.config(login)
	if err != nil {
		return 0, err
	}
	if cfg.Device, err = s.device(o.Provider, source); err != nil {
		return 0, err
	}
	p, err := s.initiator.Add(ctx, cfg)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.last++
	number := s.last
	s.numbers[p] = number
	s.mu.Unlock()
	if blockDevices {
		for _, d := range p.Disks() {
			if err := s.disks.Attach(d, srp.NBDDisk(d), d.Info().MaxIO, func() error { return deleted(p) }); err != nil {
				return 0, errors.Join(err, s.remove(p))
			}
		}
	}
	for _, d := range p.Disks() {
		s.nbd.Add(diskName(number, d), srp.NBDDisk(d))
	}
	return number, nil
}

func deleted(p *srp.RemotePort) error {
	if p.State() != srp.PortLost {
		return nil
	}
	return fmt.Errorf("it was deleted meanwhile: %w", syscall.ENODEV)
}

// diskName names a disk by the number of its port and its own.
func diskName(port int, d *srp.Disk) string { return fmt.Sprintf("%d-%s", port, d.LUN()) }

// device opens a device, unless it is open.
func (s *system) device(name string, addr netip.Addr) (rdma.Device, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := deviceName{name, addr}
	if s.devices[key] == nil {
		dev, err := provider.Open(name, addr)
		if err != nil {
			return nil, err
		}
		s.devices[key] = dev
	}
	return s.devices[key], nil
}

// remove deletes a port. Its block devices go before, so that nothing waits on them.
func (s *system) remove(p *srp.RemotePort) error {
	var errs []error
	for _, d := range p.Disks() {
		errs = append(errs, s.disks.Detach(d))
	}
	return errors.Join(append(errs, p.Delete())...)
}

// settle makes what was written to the disks of a port durable, as far as it can be.
func (s *system) settle(ctx context.Context, p *srp.RemotePort) error {
	var errs []error
	for _, d := range p.Disks() {
		if p.State() == srp.PortRunning {
			errs = append(errs, s.disks.Sync(ctx, d), d.Flush(ctx))
		}
	}
	return errors.Join(errs...)
}

// endTimeout is how long disks may take to be settled when the program ends.
const endTimeout = 5 * time.Second

func (s *system) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	var errs []error
	for _, p := range s.initiator.Ports() {
		errs = append(errs, s.settle(ctx, p), s.remove(p))
	}
	errs = append(errs, s.initiator.Close())
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
