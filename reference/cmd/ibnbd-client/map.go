// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/doors"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/news"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/nbd"
)

// mapOptions are what a person can choose about mapping.
type mapOptions struct {
	socket, access, ioMode string
	disk, json             bool
}

func (m *mapOptions) modes() (access ibnbd.AccessMode, mode ibnbd.IOMode, err error) {
	modes := map[string]ibnbd.AccessMode{"ro": ibnbd.ReadOnly, "rw": ibnbd.ReadWrite, "migration": ibnbd.Migration}
	access, ok := modes[m.access]
	if !ok {
		return 0, 0, program.Usagef("--access %q is none of ro, rw, migration", m.access)
	}
	switch m.ioMode {
	case ibnbd.BlockIO.String():
		return access, ibnbd.BlockIO, nil
	case ibnbd.FileIO.String():
		return access, ibnbd.FileIO, nil
	}
	return 0, 0, program.Usagef("--io-mode %q is none of blockio, fileio", m.ioMode)
}

// check refuses what no client can map.
func (m *mapOptions) check(o *sessionOptions, paths []string) error {
	if _, _, err := m.modes(); err != nil {
		return err
	}
	if err := checkDevices(paths); err != nil {
		return err
	}
	_, err := o.session(slog.New(slog.DiscardHandler)) // one that is running has its own options, but nonsense is none of them
	return err
}

// mapper is a running client.
type mapper struct {
	conn    *connection
	options *sessionOptions
	nbd     nbd.Server
	sockets doors.Sockets
	disks   doors.Kernel[*ibnbd.Device]
	news    *news.News[status]
	end     context.CancelFunc
	log     *slog.Logger
}

// runMap maps devices. In a session that is running it returns when they are mapped. Else it serves them until ctx ends
// or the last one is unmapped.
func runMap(ctx context.Context, out, stderr io.Writer, o *sessionOptions, m *mapOptions, paths []string) error {
	if socket, running := o.running(ctx); running {
		return join(ctx, out, socket, m, paths)
	}
	return serveMapped(ctx, out, stderr, o, m, paths)
}

// checkDevices refuses paths that no request can carry, and those that are given twice.
func checkDevices(paths []string) error {
	for i, path := range paths {
		if _, err := ibnbd.NewOpenRequest(path, ibnbd.ReadOnly, ibnbd.BlockIO); err != nil {
			return program.Usagef("device %.64q: %w", path, err)
		}
		if slices.Contains(paths[:i], path) {
			return program.Usagef("device %.64q is given twice", path)
		}
	}
	return nil
}

// serveMapped opens a session of its own.
func serveMapped(ctx context.Context, out, stderr io.Writer, o *sessionOptions, m *mapOptions, paths []string) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	r := &mapper{options: o, end: end, log: o.newLog(stderr), news: news.New(func(st *status) *uint64 { return &st.Change })}
	if r.sockets, err = o.sockets(m.socket); err != nil {
		return err
	}
	if r.conn, err = o.connect(ctx, r.log, r.news.Changed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, path := range paths {
		if err := r.add(ctx, path, m); err != nil {
			return err
		}
	}
	return r.serve(ctx, out, m.json)
}

// sockets checks where a client of its own will listen before it does anything.
func (o *sessionOptions) sockets(nbd string) (doors.Sockets, error) {
	name := o.sessionName()
	if nbd == "" {
		nbd = filepath.Join(program.RunDir(), "nbd", name+".sock")
	}
	s := doors.Sockets{Commands: controlSocket(name), NBD: nbd}
	return s, s.Check()
}

// add maps a device and offers it, to the kernel too if that is wanted.
func (r *mapper) add(ctx context.Context, path string, m *mapOptions) error {
	access, mode, err := m.modes()
	if err != nil {
		return err
	}
	d, err := r.conn.Map(ctx, path, access, mode)
	if err != nil {
		return err
	}
	if m.disk {
		if err := r.disks.Attach(d, ibnbd.NBDDisk(d), d.MaxIO(), func() error { return unmapped(d) }); err != nil {
			return errors.Join(err, d.Unmap(ctx, true))
		}
	}
	r.nbd.Add(path, ibnbd.NBDDisk(d))
	return nil
}

// unmapped says that a device is not mapped any more.
func unmapped(d *ibnbd.Device) error {
	if d.State() != ibnbd.DeviceUnmapped {
		return nil
	}
	return fmt.Errorf("it was unmapped meanwhile: %w", ibtrs.ENODEV)
}

// serve opens the sockets for commands and for NBD, and waits.
func (r *mapper) serve(ctx context.Context, out io.Writer, asJSON bool) error {
	open, err := r.sockets.Listen()
	if err != nil {
		return err
	}
	r.news.State = r.state
	if asJSON {
		r.news.Out = out
	} else {
		printDoors(out, r.state().Devices)
	}
	r.nbd.Log = r.log
	return open.Serve(ctx, r.end, r.handler(), &r.nbd, r.news.Follow)
}

// printDoors says where each device can be used: the node of its block device, or its NBD URI.
func printDoors(out io.Writer, devices []deviceStatus) {
	for _, d := range devices {
		fmt.Fprintln(out, d.place())
	}
}

func printJSON(out io.Writer, value any) error { return json.NewEncoder(out).Encode(value) }

// close gives the devices back and closes the session.
func (r *mapper) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	var errs []error
	for _, d := range r.conn.Devices() {
		errs = append(errs, r.settleAtEnd(ctx, d), r.giveBack(ctx, d, true))
	}
	return errors.Join(append(errs, r.conn.Close())...)
}

// settleAtEnd makes durable what was written to a device. One that is closed can write no more.
func (r *mapper) settleAtEnd(ctx context.Context, d *ibnbd.Device) error {
	if d.State() != ibnbd.DeviceOpen {
		return nil
	}
	err := errors.Join(r.disks.Sync(ctx, d), d.Flush(ctx))
	if d.State() != ibnbd.DeviceOpen {
		return nil
	}
	return err
}

// unmap gives one device back, and ends the program with the last of them.
func (r *mapper) unmap(ctx context.Context, path string, force bool) error {
	for _, d := range r.conn.Devices() {
		if d.Path() != path {
			continue
		}
		if !force {
			if err := r.settle(ctx, d); err != nil {
				return err
			}
		}
		err := r.giveBack(ctx, d, force)
		if err == nil {
			r.log.Info("unmapped", "device", path)
		}
		if len(r.conn.Devices()) == 0 { // it is gone, too, when the server refuses to close it
			r.end()
		}
		return err
	}
	return notMapped(path)
}

// settle readies a device to be given back: nobody uses its block device, and what was written to that is written. A device
// that is closed can write no more.
func (r *mapper) settle(ctx context.Context, d *ibnbd.Device) error {
	if err := r.disks.InUse(d); err != nil {
		return err
	}
	if err := r.disks.Sync(ctx, d); err != nil && d.State() == ibnbd.DeviceOpen {
		return err
	}
	return nil
}

// giveBack unmaps a device and takes its block device away: by force before, so that nothing waits on it, else when it is sure
// that the device goes.
func (r *mapper) giveBack(ctx context.Context, d *ibnbd.Device, force bool) error {
	var errs []error
	if force {
		errs = append(errs, r.disks.Detach(d))
	}
	errs = append(errs, d.Unmap(ctx, force))
	if d.State() == ibnbd.DeviceUnmapped {
		errs = append(errs, r.disks.Detach(d))
	}
	return errors.Join(errs...)
}
