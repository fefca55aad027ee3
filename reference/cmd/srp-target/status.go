// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// status is what the target tells of itself.
type status struct {
	Port       string            `json:"target_port"`
	Listen     []string          `json:"listen"`
	Units      []unitStatus      `json:"logical_units"`
	Initiators []initiatorStatus `json:"initiators"`
}

type unitStatus struct {
	Number int    `json:"number"`
	Serial string `json:"serial"`
	Size   int64  `json:"size_bytes"`
}

type initiatorStatus struct {
	Port     string          `json:"port"`
	Channels []channelStatus `json:"channels"`
}

type channelStatus struct {
	Address string           `json:"address"`
	Stats   srp.ChannelStats `json:"stats"`
}

func statusOf(t *srp.Target, p *plan) status {
	st := status{Port: p.cfg.Port.String()}
	for _, a := range t.Addrs() {
		st.Listen = append(st.Listen, a.String())
	}
	for i, u := range p.units {
		st.Units = append(st.Units, unitStatus{i, u.serial, u.backend.Properties().Size})
	}
	for _, n := range t.Nexuses() {
		initiator := initiatorStatus{Port: n.Initiator().String()}
		for _, c := range n.Channels() {
			initiator.Channels = append(initiator.Channels, channelStatus{c.RemoteAddr().String(), c.Stats()})
		}
		st.Initiators = append(st.Initiators, initiator)
	}
	return st
}

// writeMetrics writes the text format of Prometheus.
func writeMetrics(w io.Writer, st status) {
	fmt.Fprintf(w, "# TYPE srp_target_initiators gauge\nsrp_target_initiators %d\n", len(st.Initiators))
	for _, m := range []struct {
		name, kind string
		value      func(srp.ChannelStats) uint64
	}{
		{"commands_total", "counter", func(s srp.ChannelStats) uint64 { return s.Commands }},
		{"data_in_bytes_total", "counter", func(s srp.ChannelStats) uint64 { return s.DataIn }},
		{"data_out_bytes_total", "counter", func(s srp.ChannelStats) uint64 { return s.DataOut }},
		{"outstanding", "gauge", func(s srp.ChannelStats) uint64 { return uint64(s.Outstanding) }},
	} {
		fmt.Fprintf(w, "# TYPE srp_target_channel_%s %s\n", m.name, m.kind)
		for _, i := range st.Initiators {
			for number, c := range i.Channels {
				fmt.Fprintf(w, "srp_target_channel_%s{initiator=%q,channel=\"%d\"} %d\n", m.name, i.Port, number, m.value(c.Stats))
			}
		}
	}
}

// show shows what the target that runs tells of itself.
func (o *options) show(ctx context.Context, w io.Writer) error {
	return serve.Show(ctx, w, &o.serve, showStatus)
}

func showStatus(w io.Writer, st status) {
	fmt.Fprintf(w, "target port %s\n", st.Port)
	for _, a := range st.Listen {
		fmt.Fprintf(w, "listening on %s\n", a)
	}
	units, channels := table.NewWriter(), table.NewWriter()
	units.AppendHeader(table.Row{"lun", "serial", "size"})
	for _, u := range st.Units {
		units.AppendRow(table.Row{u.Number, u.Serial, u.Size})
	}
	channels.AppendHeader(table.Row{"initiator", "channel", "address", "commands", "data-in bytes", "data-out bytes", "outstanding"})
	for _, i := range st.Initiators {
		for number, c := range i.Channels {
			channels.AppendRow(table.Row{i.Port, number, c.Address, c.Stats.Commands, c.Stats.DataIn, c.Stats.DataOut, c.Stats.Outstanding})
		}
	}
	for _, t := range []table.Writer{units, channels} {
		t.SetStyle(table.StyleLight)
		fmt.Fprintln(w, t.Render())
	}
}
