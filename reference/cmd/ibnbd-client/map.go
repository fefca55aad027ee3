// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibnbd/nbd"
)

// mapOptions are what a person can choose about mapping.
type mapOptions struct{ socket, access, ioMode string }

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

// mapper is a running client.
type mapper struct {
	conn   *connection
	nbd    nbd.Server
	socket string
	end    context.CancelFunc
	log    *slog.Logger
}

// runMap maps devices and serves them until ctx ends or the last one is unmapped.
func runMap(ctx context.Context, out, stderr io.Writer, o *sessionOptions, m *mapOptions, paths []string) (err error) {
	access, mode, err := m.modes()
	if err != nil {
		return err
	}
	log := o.newLog(stderr)
	ctx, end := context.WithCancel(ctx)
	defer end()
	conn, err := o.connect(ctx, log)
	if err != nil {
		return err
	}
	r := &mapper{conn: conn, end: end, log: log, socket: m.socket}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, path := range paths {
		d, err := conn.Map(ctx, path, access, mode)
		if err != nil {
			return err
		}
		r.nbd.Add(path, nbd.FromDevice(d))
	}
	return r.serve(ctx, out)
}

// serve opens the doors and waits.
func (r *mapper) serve(ctx context.Context, out io.Writer) error {
	name := r.conn.Session().Name()
	if r.socket == "" {
		r.socket = filepath.Join(program.RunDir(), "nbd", name+".sock")
	}
	commands, err := control.Listen(filepath.Join(clientSockets(), name+".sock"))
	if err != nil {
		return err
	}
	door, err := control.Listen(r.socket)
	if err != nil {
		return errors.Join(err, commands.Close())
	}
	for _, d := range r.conn.Devices() {
		fmt.Fprintln(out, uri(r.socket, d.Path()))
	}
	r.nbd.Log = r.log
	return r.serveDoors(ctx, commands, door)
}

func (r *mapper) serveDoors(ctx context.Context, commands, door net.Listener) error {
	var all sync.WaitGroup
	errs := make([]error, 2)
	all.Go(func() {
		defer r.end()
		errs[0] = control.Serve(ctx, commands, r.handler())
	})
	all.Go(func() {
		defer r.end()
		errs[1] = r.nbd.Serve(ctx, door)
	})
	all.Wait()
	return errors.Join(errs...)
}

// uri is how NBD programs name an export on a Unix socket.
func uri(socket, export string) string { return "nbd+unix:///" + export + "?socket=" + socket }

// close gives the devices back and closes the session.
func (r *mapper) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	var errs []error
	for _, d := range r.conn.Devices() {
		if err := d.Flush(ctx); err != nil && d.State() == ibnbd.DeviceOpen {
			errs = append(errs, err)
		}
		errs = append(errs, d.Unmap(ctx, true))
	}
	return errors.Join(append(errs, r.conn.Close())...)
}

func (r *mapper) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { control.WriteJSON(w, r.status()) })
	mux.HandleFunc("POST /unmap", func(w http.ResponseWriter, q *http.Request) {
		if err := r.unmap(q.Context(), q.FormValue("device"), q.FormValue("force") == "true"); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		control.WriteJSON(w, struct{}{})
	})
	return mux
}

// unmap gives one device back, and ends the program with the last.
func (r *mapper) unmap(ctx context.Context, path string, force bool) error {
	for _, d := range r.conn.Devices() {
		if d.Path() != path {
			continue
		}
		if err := d.Unmap(ctx, force); err != nil {
			return err
		}
		r.log.Info("unmapped", "device", path)
		if len(r.conn.Devices()) == 0 {
			r.end()
		}
		return nil
	}
	return fmt.Errorf("device %q is not mapped", path)
}
