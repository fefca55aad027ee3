// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/serve"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// drainTime is how long commands in flight may take when the target ends.
const drainTime = 10 * time.Second

// run serves until ctx ends.
func (o *options) run(ctx context.Context, log *slog.Logger) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	p.cfg.Log = log
	return o.serve.Run(ctx, log, p.listen, p.begin)
}

// begin makes a target of what was planned.
func (p *plan) begin(devices []rdma.Device) (*serve.Server, error) {
	p.cfg.Devices = devices
	if err := p.openUnits(); err != nil {
		return nil, err
	}
	target, err := srp.Listen(p.cfg)
	if err != nil {
		return nil, errors.Join(err, p.closeUnits())
	}
	announce(p.cfg.Log, p, target)
	return &serve.Server{
		Handler: serve.Handler(func() status { return statusOf(target, p) }, writeMetrics), Drain: target.Drain, Patience: drainTime,
		Close: func() error { return errors.Join(target.Close(), p.closeUnits()) },
	}, nil
}

func announce(log *slog.Logger, p *plan, target *srp.Target) {
	for i, u := range p.units {
		props := u.backend.Properties()
		log.Info("logical unit", "number", i, "serial", u.serial, "size", props.Size, "block", props.LogicalBlock, "read_only", props.ReadOnly)
	}
	for _, addr := range target.Addrs() {
		log.Info("listening", "address", addr, "add_target", fmt.Sprintf("id_ext=%016x,ioc_guid=%016x,dest=%s", p.idExt, p.guid, addr))
	}
}
