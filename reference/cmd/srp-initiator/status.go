// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/ibnbd/ibnbd/reference/nbd"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// status is what a running program tells of itself.
type status struct {
	Change uint64       `json:"change"` // how often anything but a counter has changed
	NBD    string       `json:"nbd_socket"`
	Ports  []portStatus `json:"ports"`
}

type portStatus struct {
	Number    int          `json:"number"`
	Target    string       `json:"target_port"`
	Initiator string       `json:"initiator_port"`
	Address   string       `json:"address"`
	State     string       `json:"state"`
	Channels  int          `json:"channels"`
	Disks     []diskStatus `json:"disks"`

	// What changes all the time is told when it is asked for.

	Reconnecting bool           `json:"reconnecting"`
	Failures     int            `json:"failed_reconnects"`
	Cause        string         `json:"cause,omitempty"` // of the last loss or failed attempt
	RequestLimit int32          `json:"request_limit,omitempty"`
	Timers       *timerStatus   `json:"timers,omitempty"`
	Bound        *srp.FailBound `json:"io_fail_bound,omitempty"`
	Stats        *srp.PortStats `json:"stats,omitempty"`
}

type timerStatus struct {
	FastIOFail     string `json:"fast_io_fail_tmo"`
	DevLoss        string `json:"dev_loss_tmo"`
	ReconnectDelay string `json:"reconnect_delay"`
	Probe          string `json:"probe"`
	ProbeDeadline  string `json:"probe_deadline"`
}

type diskStatus struct {
	Name   string `json:"name"`
	Serial string `json:"serial"`
	ID     string `json:"id,omitempty"`
	Size   int64  `json:"size_bytes"`
	Block  int    `json:"block_bytes"`
	URI    string `json:"uri"`
	Node   string `json:"node,omitempty"` // of its block device
}

// place is where the disk can be used.
func (d diskStatus) place() string { return cmp.Or(d.Node, d.URI) }

// state is the status without what changes all the time.
func (s *system) state() status {
	st := status{NBD: s.sockets.NBD, Ports: []portStatus{}}
	for _, p := range s.initiator.Ports() {
		cfg, info := p.Config(), p.Info()
		port := portStatus{
			Number: s.number(p), Target: cfg.Login.TargetPort().String(), Initiator: cfg.InitiatorPort().String(), Address: cfg.Login.Dest.String(),
			State: info.State.String(), Channels: info.Channels,
		}
		for _, d := range p.Disks() {
			name := diskName(port.Number, d)
			port.Disks = append(port.Disks, diskStatus{
				Name: name, Serial: d.Info().Serial, ID: d.Info().ID, Size: d.Size(), Block: d.BlockSize(), URI: nbd.URI(s.sockets.NBD, name), Node: s.disks.Node(d),
			})
		}
		st.Ports = append(st.Ports, port)
	}
	return st
}

// status is the state with counters and bounds.
func (s *system) status() status {
	st := s.news.Tell()
	all := s.initiator.Ports()
	for i := range st.Ports {
		for _, p := range all {
			if s.number(p) == st.Ports[i].Number {
				st.Ports[i].complete(p)
			}
		}
	}
	return st
}

func (p *portStatus) complete(of *srp.RemotePort) {
	info, bound := of.Info(), of.FailBound()
	t := info.Timers
	p.Reconnecting, p.Failures, p.RequestLimit, p.Stats, p.Bound = info.Reconnecting, info.Failures, info.RequestLimit, &info.Stats, &bound
	p.Timers = &timerStatus{onOff(t.FastIOFail), onOff(t.DevLoss), onOff(t.ReconnectDelay), onOff(t.Probe), onOff(t.ProbeDeadline)}
	if info.Cause != nil {
		p.Cause = info.Cause.Error()
	}
}

func onOff(d time.Duration) string { return (*timer)(&d).String() }

// printDoors says where each disk can be used: the node of its block device, or its NBD URI.
func printDoors(out io.Writer, ports []portStatus) {
	for _, p := range ports {
		for _, d := range p.Disks {
			fmt.Fprintln(out, d.place())
		}
	}
}

func runList(ctx context.Context, out io.Writer, uriOnly bool, args []string) error {
	st, err := running(ctx)
	if err != nil {
		return err
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"disk", "serial", "target port", "state", "bytes", "block device or NBD"})
	found := false
	for _, p := range st.Ports {
		for _, d := range p.Disks {
			if len(args) > 0 && d.Name != args[0] && d.Serial != args[0] {
				continue
			}
			found = true
			if uriOnly {
				fmt.Fprintln(out, d.URI)
			}
			t.AppendRow(table.Row{d.Name, d.Serial, p.Target, p.State, d.Size, d.place()})
		}
	}
	switch {
	case len(args) > 0 && !found:
		return fmt.Errorf("no disk has the name or serial number %q", args[0])
	case !uriOnly:
		fmt.Fprintln(out, t.Render())
	}
	return nil
}

func runStat(ctx context.Context, out io.Writer, asJSON bool) error {
	st, err := running(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	for _, p := range st.Ports {
		fmt.Fprintf(out, "port %d: target port %s at %s, as %s\n", p.Number, p.Target, p.Address, p.Initiator)
		fmt.Fprintf(out, "  %s, %d channels, %d disks, %d failed reconnects; %s\n", p.State, p.Channels, len(p.Disks), p.Failures, p.Bound)
		if p.Cause != "" {
			fmt.Fprintf(out, "  last trouble: %s\n", p.Cause)
		}
		if t := p.Timers; t != nil {
			fmt.Fprintf(out, "  fast_io_fail_tmo %s, dev_loss_tmo %s, reconnect_delay %s, probe %s, probe deadline %s\n", t.FastIOFail, t.DevLoss, t.ReconnectDelay, t.Probe, t.ProbeDeadline)
		}
	}
	fmt.Fprintln(out, counters(st.Ports))
	return nil
}

func counters(ports []portStatus) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"port", "commands", "data-in bytes", "data-out bytes", "outstanding", "waiting", "failed", "aborts", "losses", "reconnects", "failed attempts"})
	for _, p := range ports {
		if s := p.Stats; s != nil {
			t.AppendRow(table.Row{p.Number, s.Commands, s.DataIn, s.DataOut, s.Outstanding, s.Waiting, s.Failed, s.Aborts, s.Losses, s.Reconnects, s.Attempts})
		}
	}
	return t.Render()
}
