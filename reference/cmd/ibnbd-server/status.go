// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/figures"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// status is what the server tells of itself.
type status struct {
	Listen      []string        `json:"listen"`
	Sessions    []sessionStatus `json:"sessions"`
	ChunkMemory int64           `json:"chunk_memory_bytes"`
	HalfOpen    int             `json:"half_open_paths"`
	Bounds      []string        `json:"bounds"`
}

type sessionStatus struct {
	Name    string          `json:"name"`
	Paths   []pathStatus    `json:"paths"`
	Devices []deviceStatus  `json:"devices"`
	Failed  *figures.Failed `json:"failed_ios"` // requests that were refused, or failed on the device
}

type pathStatus struct {
	Name  string                `json:"name"`
	State string                `json:"state"`
	Stats ibtrs.ServerPathStats `json:"stats"`
}

type deviceStatus struct {
	ID     uint32 `json:"id"`
	Path   string `json:"path"`
	Device string `json:"device"`
	Access string `json:"access"`
	IOMode string `json:"io_mode"`
}

func statusOf(s *ibnbd.Server) status {
	t := s.Transport()
	st := status{}
	for _, a := range t.Addrs() {
		st.Listen = append(st.Listen, a.String())
	}
	st.ChunkMemory, st.HalfOpen = t.Memory()
	timers := t.Config().Timers
	st.Bounds = []string{
		"a dead client is noticed within " + timers.Detection().String(),
		"what a dead client held is released within " + timers.ServerRelease().String(),
	}
	devices := s.Devices()
	for _, sess := range t.Sessions() {
		status := sessionStatusOf(sess, devices)
		status.Failed = figures.NewFailed(s.Failures(sess.Name()))
		st.Sessions = append(st.Sessions, status)
	}
	return st
}

func sessionStatusOf(sess *ibtrs.ServerSession, devices []ibnbd.OpenDevice) sessionStatus {
	st := sessionStatus{Name: sess.Name()}
	for _, p := range sess.Paths() {
		st.Paths = append(st.Paths, pathStatus{p.String(), p.State().String(), p.Stats()})
	}
	for _, d := range devices {
		if d.Session == st.Name {
			st.Devices = append(st.Devices, deviceStatus{d.ID, d.Path, d.Device, d.Access.String(), d.IOMode.String()})
		}
	}
	return st
}

func newHandler(s *ibnbd.Server) http.Handler {
	mux := serve.Handler(func() status { return statusOf(s) }, writeMetrics)
	mux.HandleFunc("POST /disconnect", func(w http.ResponseWriter, q *http.Request) {
		if err := disconnect(s, q.FormValue("session"), q.FormValue("path")); err != nil {
			control.WriteError(w, err)
			return
		}
		control.WriteJSON(w, statusOf(s))
	})
	return mux
}

// writeMetrics writes the text format of Prometheus.
func writeMetrics(w io.Writer, st status) {
	fmt.Fprintf(w, "# TYPE ibnbd_server_sessions gauge\nibnbd_server_sessions %d\n", len(st.Sessions))
	fmt.Fprintf(w, "# TYPE ibnbd_server_chunk_memory_bytes gauge\nibnbd_server_chunk_memory_bytes %d\n", st.ChunkMemory)
	fmt.Fprintf(w, "# TYPE ibnbd_server_half_open_paths gauge\nibnbd_server_half_open_paths %d\n", st.HalfOpen)
	for _, m := range []struct {
		name, kind string
		value      func(ibtrs.ServerPathStats) uint64
	}{
		{"reads_total", "counter", func(s ibtrs.ServerPathStats) uint64 { return s.Reads }},
		{"read_bytes_total", "counter", func(s ibtrs.ServerPathStats) uint64 { return s.ReadBytes }},
		{"writes_total", "counter", func(s ibtrs.ServerPathStats) uint64 { return s.Writes }},
		{"write_bytes_total", "counter", func(s ibtrs.ServerPathStats) uint64 { return s.WriteBytes }},
		{"inflight", "gauge", func(s ibtrs.ServerPathStats) uint64 { return uint64(s.Inflight) }},
	} {
		fmt.Fprintf(w, "# TYPE ibnbd_server_path_%s %s\n", m.name, m.kind)
		for _, sess := range st.Sessions {
			for _, p := range sess.Paths {
				fmt.Fprintf(w, "ibnbd_server_path_%s{session=%s,path=%q,state=%q} %d\n", m.name, label(sess.Name), p.Name, p.State, m.value(p.Stats))
			}
		}
	}
	writeFailures(w, st.Sessions)
}

// writeFailures writes how many requests of each session failed.
func writeFailures(w io.Writer, sessions []sessionStatus) {
	fmt.Fprintf(w, "# TYPE ibnbd_server_session_failed_ios_total counter\n")
	for _, sess := range sessions {
		for _, kind := range []struct {
			name  string
			count uint64
		}{{"read", sess.Failed.Reads}, {"write", sess.Failed.Writes}, {"other", sess.Failed.Others}} {
			fmt.Fprintf(w, "ibnbd_server_session_failed_ios_total{session=%s,kind=%q} %d\n", label(sess.Name), kind.name, kind.count)
		}
	}
}

// label quotes a text as Prometheus does, which knows fewer escapes than Go.
func label(text string) string {
	return `"` + escape.Replace(strings.ToValidUTF8(text, "\uFFFD")) + `"`
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// show shows what the server that runs tells of itself.
func (o *options) show(ctx context.Context, w io.Writer) error {
	return serve.Show(ctx, w, &o.serve, showStatus)
}

func showStatus(w io.Writer, st status) {
	for _, a := range st.Listen {
		fmt.Fprintf(w, "listening on %s\n", a)
	}
	fmt.Fprintf(w, "chunks %d bytes, half-open paths %d\n", st.ChunkMemory, st.HalfOpen)
	for _, b := range st.Bounds {
		fmt.Fprintln(w, b)
	}
	showSessions(w, st.Sessions)
}

func showSessions(w io.Writer, sessions []sessionStatus) {
	paths, devices, failed := table.NewWriter(), table.NewWriter(), table.NewWriter()
	failed.AppendHeader(table.Row{"session", "failed reads", "failed writes", "failed others"})
	paths.AppendHeader(table.Row{"session", "path", "state", "reads", "read bytes", "writes", "write bytes", "in flight"})
	devices.AppendHeader(table.Row{"session", "id", "path", "device", "access", "io mode"})
	for _, s := range sessions {
		for _, p := range s.Paths {
			paths.AppendRow(table.Row{s.Name, p.Name, p.State, p.Stats.Reads, p.Stats.ReadBytes, p.Stats.Writes, p.Stats.WriteBytes, p.Stats.Inflight})
		}
		if f := s.Failed; f != nil {
			failed.AppendRow(table.Row{s.Name, f.Reads, f.Writes, f.Others})
		}
		for _, d := range s.Devices {
			devices.AppendRow(table.Row{s.Name, d.ID, d.Path, d.Device, d.Access, d.IOMode})
		}
	}
	for _, t := range []table.Writer{paths, devices, failed} {
		t.SetStyle(table.StyleLight)
		fmt.Fprintln(w, t.Render())
	}
}
