// SPDX-License-Identifier: Apache-2.0

// Package serve is the life of a server program: its options for addresses and for what it tells, and the order in which all begins and
// ends.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/control"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/provider"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Options are what a person can choose about any server.
type Options struct {
	Noun string // what the program calls itself: server or target

	provider string
	listen   []string
	control  string
	metrics  string
	status   bool
	json     bool
	verbose  bool
}

// AddAddressFlags adds the options that say where to listen.
func (o *Options) AddAddressFlags(c *cobra.Command) {
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.provider, "provider", provider.Default, "RDMA provider: soft or verbs")
	f.StringArrayVarP(&o.listen, "listen", "l", nil, "local `ADDRESS[:PORT]` to listen on; may be given again")
}

// AddStatusFlags adds the options for what the server tells of itself; socket is where it does so by default.
func (o *Options) AddStatusFlags(c *cobra.Command, socket string) {
	f := c.Flags()
	f.StringVar(&o.control, "control", socket, "Unix `SOCKET` on which the "+o.Noun+" tells its status")
	f.StringVar(&o.metrics, "metrics", "", "serve metrics for Prometheus on `unix:PATH` or a loopback ADDRESS:PORT")
	f.BoolVar(&o.status, "status", false, "show the status of the "+o.Noun+" that runs, and end")
	f.BoolVar(&o.json, "json", false, "with --status: as JSON")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
}

// Do runs the server, or shows the status of the one that runs.
func (o *Options) Do(c *cobra.Command, run func(ctx context.Context, log *slog.Logger) error, show func(ctx context.Context, w io.Writer) error) error {
	switch {
	case o.status:
		return show(c.Context(), c.OutOrStdout())
	case o.json:
		return program.Usagef("--json does nothing without --status")
	}
	return run(c.Context(), program.NewLog(c.ErrOrStderr(), o.verbose))
}

// Addresses are where a server listens.
type Addresses struct {
	Addrs []netip.Addr
	Port  uint16 // of all
}

// Plan checks all options that can be checked without opening anything.
func (o *Options) Plan(port uint16) (Addresses, error) {
	var a Addresses
	if !provider.Known(o.provider) {
		return a, program.Usagef("--provider %q is none of %s", o.provider, strings.Join(provider.Names(), ", "))
	}
	if err := control.CheckSocketPath(o.control); err != nil {
		return a, program.Usagef("--control: %w", err)
	}
	if o.metrics != "" {
		if err := control.CheckLocal(o.metrics); err != nil {
			return a, program.Usagef("--metrics: %w", err)
		}
	}
	if len(o.listen) == 0 {
		return a, program.Usagef("--listen is missing: no address to listen on")
	}
	for _, text := range o.listen {
		addr, err := address.ParsePort(text, port)
		if err != nil {
			return a, program.Usagef("--listen %q: %w", text, err)
		}
		if a.Port != 0 && a.Port != addr.Port() {
			return a, program.Usagef("--listen: ports %d and %d differ, all addresses must have the same", a.Port, addr.Port())
		}
		if slices.Contains(a.Addrs, addr.Addr()) {
			return a, program.Usagef("--listen %s is given twice", addr.Addr())
		}
		a.Port = addr.Port()
		a.Addrs = append(a.Addrs, addr.Addr())
	}
	return a, nil
}

// Server is a server that has begun.
type Server struct {
	Handler  http.Handler                    // of its status and metrics
	Drain    func(ctx context.Context) error // takes no requests any more, and answers those in flight
	Patience time.Duration                   // for that
	Close    func() error                    // gives back all that it was made of, but for devices
}

// Run opens devices, begins a server on them, serves its status until ctx ends, and ends all in the other order. begin leaves nothing
// behind when it fails.
func (o *Options) Run(ctx context.Context, log *slog.Logger, a Addresses, begin func(devices []rdma.Device) (*Server, error)) (err error) {
	devices, err := o.openDevices(a.Addrs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDevices(devices)) }()
	s, err := begin(devices)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	listeners, err := o.listenStatus()
	if err != nil {
		return err
	}
	serveStatus(ctx, listeners, s.Handler, log)
	log.Info(o.Noun + " ends: waiting for requests in flight")
	ending, cancel := context.WithTimeout(context.Background(), s.Patience)
	defer cancel()
	return s.Drain(ending)
}

// openDevices opens the RDMA devices to listen on.
func (o *Options) openDevices(addrs []netip.Addr) ([]rdma.Device, error) {
	var devices []rdma.Device
	for _, addr := range addrs {
		dev, err := provider.Open(o.provider, addr)
		if err != nil {
			return nil, errors.Join(err, closeDevices(devices))
		}
		devices = append(devices, dev)
	}
	return devices, nil
}

func closeDevices(devices []rdma.Device) error {
	var errs []error
	for _, d := range devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// listenStatus opens the sockets for status and metrics.
func (o *Options) listenStatus() ([]net.Listener, error) {
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

// Handler serves a status as JSON, and as metrics in the text format of Prometheus.
func Handler[S any](status func() S, metrics func(io.Writer, S)) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { control.WriteJSON(w, status()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		metrics(w, status())
	})
	return mux
}

// Show shows what the server that runs tells of itself: as JSON if that is wanted, else as text.
func Show[S any](ctx context.Context, w io.Writer, o *Options, text func(io.Writer, S)) error {
	var st S
	if err := control.Ask(ctx, o.control, http.MethodGet, "/status", &st); err != nil {
		return fmt.Errorf("ask the %s at %s: %w", o.Noun, o.control, err)
	}
	if o.json {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	text(w, st)
	return nil
}
