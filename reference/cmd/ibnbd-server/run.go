// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// run serves until ctx ends.
func (o *options) run(ctx context.Context, log *slog.Logger) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	p.cfg.Log, p.cfg.Transport.Log = log, log
	return o.serve.Run(ctx, log, p.listen, p.begin)
}

// begin makes a server of what was planned. What was begun may take as long to be answered as a client may take to let go.
func (p *plan) begin(devices []rdma.Device) (*serve.Server, error) {
	p.cfg.Transport.Devices = devices
	if err := p.openExports(); err != nil {
		return nil, err
	}
	server, err := ibnbd.Listen(p.cfg)
	if err != nil {
		return nil, errors.Join(err, p.closeExports())
	}
	announce(p.cfg.Log, p, server)
	return &serve.Server{Handler: newHandler(server), Drain: server.Drain, Patience: p.cfg.Transport.Timers.Teardown, Close: server.Close}, nil
}

func announce(log *slog.Logger, p *plan, server *ibnbd.Server) {
	for _, e := range p.cfg.Exports {
		props := e.Backend.Properties()
		log.Info("export", "path", e.Path, "size", props.Size, "block", props.LogicalBlock, "read_only", props.ReadOnly)
	}
	t := p.cfg.Transport.Timers
	log.Info("a dead client is noticed", "within", t.Detection())
	log.Info("what a dead client held is released", "within", t.ServerRelease())
	for _, addr := range server.Transport().Addrs() {
		log.Info("listening", "address", addr)
	}
}
