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
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// drainTime is how long commands in flight may take when the target ends.
const drainTime = 10 * time.Second

// run serves until ctx ends.
func run(ctx context.Context, stderr io.Writer, o *options) (err error) {
	p, err := o.plan()
	if err != nil {
		return err
	}
	log := program.NewLog(stderr, o.verbose)
	p.cfg.Log = log
	if err := p.openDevices(o.provider); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.closeDevices()) }()
	if err := p.openUnits(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.closeUnits()) }()
	target, err := srp.Listen(p.cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	announce(log, p, target)

	doors, err := o.openDoors()
	if err != nil {
		return err
	}
	serveDoors(ctx, doors, newHandler(target, p), log)
	log.Info("target ends: waiting for commands in flight")
	ending, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return target.Drain(ending)
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

// openDoors opens the sockets for status and metrics.
func (o *options) openDoors() ([]net.Listener, error) {
	l, err := control.Listen(o.control)
	if err != nil {
		return nil, fmt.Errorf("--control: %w", err)
	}
	doors := []net.Listener{l}
	if o.metrics == "" {
		return doors, nil
	}
	m, err := control.ListenLocal(o.metrics)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--metrics: %w", err), l.Close())
	}
	return append(doors, m), nil
}

// serveDoors serves until ctx ends. A door that fails does not end the target.
func serveDoors(ctx context.Context, doors []net.Listener, h http.Handler, log *slog.Logger) {
	var all sync.WaitGroup
	for _, l := range doors {
		all.Go(func() {
			if err := control.Serve(ctx, l, h); err != nil {
				log.Error("status door failed", "address", l.Addr(), "error", err)
			}
		})
	}
	<-ctx.Done()
	all.Wait()
}
