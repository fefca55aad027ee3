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
	"github.com/ibnbd/ibnbd/reference/ibnbd/nbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// status is what a running client tells of itself.
type status struct {
	Change  uint64         `json:"change"` // how often anything but a counter has changed
	Session string         `json:"session"`
	Profile string         `json:"server_profile"`
	Policy  string         `json:"policy"`
	NBD     string         `json:"nbd_socket"`
	Devices []deviceStatus `json:"devices"`
	Paths   []pathStatus   `json:"paths"`
	Bounds  []string       `json:"bounds,omitempty"`
}

type deviceStatus struct {
	Path   string `json:"path"`
	State  string `json:"state"`
	Size   int64  `json:"size_bytes"`
	Block  int    `json:"block_bytes"`
	MaxIO  int    `json:"max_io_bytes"`
	Access string `json:"access"`
	URI    string `json:"uri"`
	Node   string `json:"node,omitempty"` // of its block device
}

// door is where the device can be used.
func (d deviceStatus) door() string { return cmp.Or(d.Node, d.URI) }

type pathStatus struct {
	Name  string           `json:"name"`
	State string           `json:"state"`
	Stats *ibtrs.PathStats `json:"stats,omitempty"`
}

// state is the status without what changes all the time.
func (r *mapper) state() status {
	s := r.conn.Session()
	st := status{Session: s.Name(), Profile: r.conn.Agreement().Profile.String(), Policy: s.Policy().String(), NBD: r.socket}
	for _, d := range r.conn.Devices() {
		st.Devices = append(st.Devices, deviceStatus{
			Path: d.Path(), State: d.State().String(), Size: d.Size(), Block: d.BlockSize(), MaxIO: d.MaxIO(),
			Access: d.Access().String(), URI: nbd.URI(r.socket, d.Path()), Node: r.disks.node(d),
		})
	}
	for _, p := range s.Paths() {
		st.Paths = append(st.Paths, pathStatus{Name: p.String(), State: p.State().String()})
	}
	return st
}

// status is the state with counters and bounds.
func (r *mapper) status() status {
	st, s := r.news.tell(), r.conn.Session()
	st.Bounds = s.Bounds()
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

func runList(ctx context.Context, out io.Writer, uriOnly bool, args []string) error {
	_, all, err := clients(ctx)
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
			t.AppendRow(table.Row{st.Session, d.Path, d.State, d.Size, d.Access, d.door()})
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

func runStat(ctx context.Context, out io.Writer, asJSON bool) error {
	_, all, err := clients(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	if len(all) == 0 {
		return errors.New("no client is running")
	}
	for _, st := range all {
		fmt.Fprintf(out, "session %s, server of profile %s, policy %s\n", st.Session, st.Profile, st.Policy)
		for _, b := range st.Bounds {
			fmt.Fprintln(out, b)
		}
		fmt.Fprintln(out, pathTable(st.Paths))
	}
	return nil
}

func pathTable(paths []pathStatus) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"path", "state", "reads", "read bytes", "writes", "write bytes", "in flight", "failed over", "reconnects", "failed", "latency"})
	for _, p := range paths {
		s := p.Stats
		if s == nil {
			continue
		}
		t.AppendRow(table.Row{p.Name, p.State, s.Reads, s.ReadBytes, s.Writes, s.WriteBytes, s.Inflight, s.FailedOver, s.Reconnected, s.ReconnectsFailed, latency(s.Latency)})
	}
	return t.Render()
}

// latency is the time of the last heartbeat there and back, which a young path has not had yet.
func latency(d time.Duration) string {
	if d == 0 {
		return "unknown"
	}
	return d.String()
}
