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
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// run serves until ctx ends.
func run(ctx context.Context, stderr io.Writer, o *options) (err error) {
	p, err := o.plan()
	if err != nil {
		return err
	}
	log := program.NewLog(stderr, o.verbose)
	p.cfg.Log, p.cfg.Transport.Log = log, log
	if err := p.openDevices(o.provider); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.closeDevices()) }()
	if err := p.openExports(); err != nil {
		return err
	}
	server, err := ibnbd.Listen(p.cfg)
	if err != nil {
		return errors.Join(err, p.closeExports())
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	announce(log, p, server)

	listeners, err := o.listenStatus()
	if err != nil {
		return err
	}
	serveStatus(ctx, listeners, newHandler(server), log)
	log.Info("server ends: waiting for requests in flight")
	return drain(server, p.cfg.Transport.Timers.Teardown)
}

// drain lets what was begun be answered, as long as that takes no longer than a client may take to let go.
func drain(server *ibnbd.Server, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return server.Drain(ctx)
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

// listenStatus opens the sockets for status and metrics.
func (o *options) listenStatus() ([]net.Listener, error) {
	l, err := control.Listen(o.control)
	if err != nil {
		return nil, fmt.Errorf("--control: %w", err)
	}
	listeners := []net.Listener{l}
	if o.metrics == "" {
		return listeners, nil
	}
	m, err := control.ListenLocal(o.metrics)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--metrics: %w", err), l.Close())
	}
	return append(listeners, m), nil
}

// serveStatus serves until ctx ends. A listener that fails does not end the server.
func serveStatus(ctx context.Context, listeners []net.Listener, h http.Handler, log *slog.Logger) {
	var all sync.WaitGroup
	for _, l := range listeners {
		all.Go(func() {
			if err := control.Serve(ctx, l, h); err != nil {
				log.Error("status listener failed", "address", l.Addr(), "error", err)
			}
		})
	}
	<-ctx.Done()
	all.Wait()
}
