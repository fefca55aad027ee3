// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/figures"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/nbd"
)

// status is what a running client tells of itself.
type status struct {
	Change  uint64         `json:"change"` // how often anything but a counter has changed
	Session string         `json:"session"`
	Profile string         `json:"server_profile,omitempty"`
	Kernel  string         `json:"kernel_client,omitempty"` // its family, where the session is one of the kernel
	Policy  string         `json:"policy"`
	NBD     string         `json:"nbd_socket,omitempty"`
	Devices []deviceStatus `json:"devices"`
	Paths   []pathStatus   `json:"paths"`

	// Counters and what follows from options are told when they are asked for, and not with changes.

	Failed *figures.Failed `json:"failed_ios,omitempty"` // of all devices, those that are unmapped now included
	Served *nbdStatus      `json:"nbd,omitempty"`
	Bounds *ibtrs.Bounds   `json:"bounds,omitempty"`
}

// nbdStatus is what programs have done that use devices through NBD.
type nbdStatus struct {
	Connections uint64 `json:"connections"`
	Aborted     uint64 `json:"aborted_connections"`
	Refused     uint64 `json:"refused_commands"`
}

type deviceStatus struct {
	Path   string `json:"path"`
	State  string `json:"state"`
	Size   int64  `json:"size_bytes"`
	Block  int    `json:"block_bytes"`
	MaxIO  int    `json:"max_io_bytes"`
	Access string `json:"access"`
	URI    string `json:"uri,omitempty"`
	Node   string `json:"node,omitempty"` // of its block device

	Failed *figures.Failed `json:"failed_ios,omitempty"`
}

// place is where the device can be used.
func (d deviceStatus) place() string { return cmp.Or(d.Node, d.URI) }

type pathStatus struct {
	Name  string           `json:"name"`
	State string           `json:"state"`
	Stats *ibtrs.PathStats `json:"stats,omitempty"`
}

// state is the status without what changes all the time.
func (r *mapper) state() status {
	s := r.conn.Session()
	st := status{Session: s.Name(), Profile: r.conn.Agreement().Profile.String(), Policy: s.Policy().String(), NBD: r.sockets.NBD}
	for _, d := range r.conn.Devices() {
		st.Devices = append(st.Devices, deviceStatus{
			Path: d.Path(), State: d.State().String(), Size: d.Size(), Block: d.BlockSize(), MaxIO: d.MaxIO(),
			Access: d.Access().String(), URI: nbd.URI(r.sockets.NBD, d.Path()), Node: r.disks.Node(d),
		})
	}
	for _, p := range s.Paths() {
		st.Paths = append(st.Paths, pathStatus{Name: p.String(), State: p.State().String()})
	}
	return st
}

// status is the state with counters and bounds.
func (r *mapper) status() status {
	st, s := r.news.Tell(), r.conn.Session()
	bounds := s.Bounds()
	st.Bounds, st.Failed = &bounds, figures.NewFailed(r.conn.Failures())
	served := r.nbd.Stats()
	st.Served = &nbdStatus{served.Connections, served.Aborted, served.Refused}
	for i := range st.Devices {
		for _, d := range r.conn.Devices() {
			if d.Path() == st.Devices[i].Path {
				st.Devices[i].Failed = figures.NewFailed(d.Failures())
			}
		}
	}
	for i := range st.Paths {
		for _, p := range s.Paths() {
			if p.String() == st.Paths[i].Name {
				stats := p.Stats()
				st.Paths[i].Stats = &stats
			}
		}
	}
	return st
}

// clients asks all running clients for their status, with the sockets they can be told things on.
func clients(ctx context.Context) (sockets []string, all []status, err error) {
	found, err := os.ReadDir(clientSockets())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	for _, entry := range found {
		if !strings.HasSuffix(entry.Name(), ".sock") {
			continue
		}
		socket := filepath.Join(clientSockets(), entry.Name())
		var st status
		if err := control.Ask(ctx, socket, http.MethodGet, "/status", &st); err != nil {
			continue // it ended without taking its socket along
		}
		sockets, all = append(sockets, socket), append(all, st)
	}
	return sockets, all, ctx.Err()
}

func runList(ctx context.Context, out io.Writer, k *kernelOptions, uriOnly bool, args []string) error {
	if uriOnly && k.chosen() {
		return program.Usagef("--uri: not with --kernel: devices of the kernel's client have no NBD URI")
	}
	all, err := k.statuses(ctx)
	if err != nil {
		return err
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"session", "device", "state", "bytes", "access", "block device or NBD"})
	found := false
	for _, st := range all {
		for _, d := range st.Devices {
			if len(args) > 0 && d.Path != args[0] {
				continue
			}
			found = true
			if uriOnly {
				fmt.Fprintln(out, d.URI)
			}
			t.AppendRow(table.Row{st.Session, d.Path, d.State, d.Size, d.Access, d.place()})
		}
	}
	switch {
	case len(args) > 0 && !found:
		return fmt.Errorf("device %q is not mapped", args[0])
	case !uriOnly:
		fmt.Fprintln(out, t.Render())
	}
	return nil
}

func runStat(ctx context.Context, out io.Writer, k *kernelOptions, asJSON bool) error {
	all, err := k.statuses(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	switch {
	case len(all) == 0 && k.chosen():
		return errors.New("the kernel's client has no session")
	case len(all) == 0:
		return errors.New("no client is running")
	}
	for _, st := range all {
		fmt.Fprintf(out, "session %s, %s, policy %s\n", st.Session, st.place(), st.Policy)
		if st.Bounds != nil {
			fmt.Fprintln(out, strings.Join(st.Bounds.Lines(), "\n"))
		}
		fmt.Fprintln(out, pathTable(st.Paths))
		if st.Failed != nil {
			fmt.Fprintln(out, failureTable(&st))
		}
		if d := st.Served; d != nil {
			fmt.Fprintf(out, "NBD: %d connections so far, %d aborted; %d commands refused\n", d.Connections, d.Aborted, d.Refused)
		}
	}
	return nil
}

// place says where the session is: in the kernel, or in a program, which knows more of the server.
func (st *status) place() string {
	if st.Kernel != "" {
		return "in the kernel's client " + st.Kernel
	}
	return "server of profile " + st.Profile
}

func pathTable(paths []pathStatus) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"path", "state", "reads", "read bytes", "writes", "write bytes", "in flight", "failed over here", "reconnects", "failed reconnects", "latency"})
	for _, p := range paths {
		s := p.Stats
		if s == nil {
			continue
		}
		t.AppendRow(table.Row{p.Name, p.State, s.Reads, s.ReadBytes, s.Writes, s.WriteBytes, s.Inflight, s.FailedOver, s.Reconnected, s.ReconnectsFailed, latency(s.Latency)})
	}
	return t.Render()
}

// failureTable shows the requests that failed.
func failureTable(st *status) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"device", "state", "failed reads", "failed writes", "failed others", "given up"})
	row := func(name, state string, f *figures.Failed) {
		if f != nil {
			t.AppendRow(table.Row{name, state, f.Reads, f.Writes, f.Others, f.GivenUp})
		}
	}
	for _, d := range st.Devices {
		row(d.Path, d.State, d.Failed)
	}
	t.AppendSeparator()
	row("all since the start", "", st.Failed)
	return t.Render()
}

// latency is the time of the last heartbeat there and back, which a young path has not had yet.
func latency(d time.Duration) string {
	if d == 0 {
		return "unknown"
	}
	return d.String()
}
