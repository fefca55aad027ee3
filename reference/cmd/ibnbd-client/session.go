// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/provider"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/rules"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// sessionOptions are what a person can choose about a session.
type sessionOptions struct {
	provider string
	paths    []string
	port     uint16
	name     string
	policy   string
	attempts int
	conns    int
	ack      int
	timers   ibtrs.Timers
	verbose  bool
	broken   []string // rules
}

func (o *sessionOptions) addFlags(c *cobra.Command) {
	d := ibtrs.DefaultClientConfig()
	o.timers = d.Timers
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.provider, "provider", provider.Default, "RDMA provider: soft or verbs")
	f.StringArrayVarP(&o.paths, "path", "p", nil, "`[SOURCE@]SERVER` of a path: IP addresses, or GIDs with the prefix gid:; may be given again")
	f.Uint16Var(&o.port, "port", ibtrs.DefaultPort, "the server's port")
	f.StringVar(&o.name, "session", "", "`NAME` of the session; default is made of the host's name")
	f.StringVar(&o.policy, "policy", d.Policy.String(), "of choosing a path: round-robin, min-inflight or min-latency")
	f.IntVar(&o.attempts, "max-reconnect-attempts", d.MaxReconnectAttempts, "in a row on a lost path; -1 is for ever")
	f.IntVar(&o.conns, "connections", d.Connections, "of each path")
	f.IntVar(&o.ack, "ack-timeout", d.AckTimeout, "local ACK timeout `CODE` of the connections, 1 to 31, for 4.096 us * 2^CODE; 0 leaves it to the provider")
	f.DurationVar(&o.timers.HeartbeatInterval, "heartbeat-interval", o.timers.HeartbeatInterval, "time between two looks at a silent server")
	f.IntVar(&o.timers.HeartbeatMisses, "heartbeat-misses", o.timers.HeartbeatMisses, "looks at a silent server that are forgiven")
	f.DurationVar(&o.timers.Connect, "connect-timeout", o.timers.Connect, "longest wait for one connection")
	f.DurationVar(&o.timers.Info, "info-timeout", o.timers.Info, "longest wait for the server to describe its memory")
	f.DurationVar(&o.timers.Teardown, "teardown-timeout", o.timers.Teardown, "longest wait for a server to confirm a disconnect")
	f.DurationVar(&o.timers.PacketLifetime, "packet-lifetime", o.timers.PacketLifetime, "longest time that a packet is under way; see the manual of failover")
	f.DurationVar(&o.timers.ReconnectDelay, "reconnect-delay", o.timers.ReconnectDelay, "pause before each attempt to reconnect")
	f.DurationVar(&o.timers.ReconnectSettle, "reconnect-settle", o.timers.ReconnectSettle, "added to the pause")
	f.DurationVar(&o.timers.ReconnectSpread, "reconnect-spread", o.timers.ReconnectSpread, "largest random addition to the pause")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	f.StringArrayVar(&o.broken, "break", nil, "break the `RULE`, to see how a conformance run finds it; may be given again, and \"help\" names all")
}

// connection is a client with the RDMA devices that its paths start from. A device stays open as long as the session.
type connection struct {
	*ibnbd.Client

	mu      sync.Mutex // guards the rest
	devices map[netip.Addr]rdma.Device
}

// connect opens the session that the options ask for. changed, which may be nil, is called when the state of a path or
// of a device may have changed; it must not wait.
func (o *sessionOptions) connect(ctx context.Context, log *slog.Logger, changed func()) (*connection, error) {
	cfg, paths, err := o.config(log)
	if err != nil {
		return nil, err
	}
	if changed != nil {
		cfg.Changed = changed
		cfg.Transport.Transition = func(*ibtrs.Path, ibtrs.PathState, ibtrs.PathState) { changed() }
	}
	c := &connection{devices: map[netip.Addr]rdma.Device{}}
	for _, p := range paths {
		pc, err := c.pathConfig(o, p)
		if err != nil {
			return nil, errors.Join(err, c.closeDevices())
		}
		cfg.Transport.Paths = append(cfg.Transport.Paths, pc)
	}
	if c.Client, err = ibnbd.Connect(ctx, cfg); err != nil {
		return nil, errors.Join(err, c.closeDevices())
	}
	return c, nil
}

// pathConfig opens the device that a path starts from, unless that is open.
func (c *connection) pathConfig(o *sessionOptions, p address.Endpoints) (ibtrs.PathConfig, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dev := c.devices[p.Source]
	if dev == nil {
		var err error
		if dev, err = provider.Open(o.provider, p.Source); err != nil {
			return ibtrs.PathConfig{}, err
		}
		c.devices[p.Source] = dev
	}
	return ibtrs.PathConfig{Device: dev, Server: netip.AddrPortFrom(p.Server, o.port)}, nil
}

// addPath connects another path.
func (c *connection) addPath(ctx context.Context, o *sessionOptions, p address.Endpoints) error {
	pc, err := c.pathConfig(o, p)
	if err != nil {
		return err
	}
	_, err = c.Session().AddPath(ctx, pc)
	return err
}

// Close closes the session and the devices.
func (c *connection) Close() error { return errors.Join(c.Client.Close(), c.closeDevices()) }

func (c *connection) closeDevices() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, d := range c.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// config checks the options, and finds the paths.
func (o *sessionOptions) config(log *slog.Logger) (ibnbd.ClientConfig, []address.Endpoints, error) {
	cfg, err := o.session(log)
	if err != nil {
		return cfg, nil, err
	}
	if n := len(o.paths); n < 1 || n > ibtrs.MaxPaths {
		return cfg, nil, program.Usagef("--path is missing, or given too often: %d ways to the server, must be 1 to %d", n, ibtrs.MaxPaths)
	}
	paths, err := parsePaths(o.paths)
	return cfg, paths, err
}

// session checks the options but for the paths.
func (o *sessionOptions) session(log *slog.Logger) (ibnbd.ClientConfig, error) {
	cfg := ibnbd.DefaultClientConfig()
	t := &cfg.Transport
	cfg.Log, t.Log = log, log
	t.Name, t.Timers, t.Connections, t.MaxReconnectAttempts = o.sessionName(), o.timers, o.conns, o.attempts
	t.AckTimeout = o.ack
	if err := rules.Break(o.broken, &cfg.Rules, &t.Rules); err != nil {
		return cfg, err
	}
	if !provider.Known(o.provider) {
		return cfg, program.Usagef("--provider %q is none of %s", o.provider, strings.Join(provider.Names(), ", "))
	}
	if o.port == 0 {
		return cfg, program.Usagef("--port is 0, must be 1 to 65535")
	}
	var err error
	if t.Policy, err = ibtrs.ParsePolicy(o.policy); err != nil {
		return cfg, program.Usagef("--policy: %w", err)
	}
	if err := t.Validate(); err != nil {
		return cfg, &program.UsageError{Err: err}
	}
	return cfg, nil
}

func parsePaths(texts []string) ([]address.Endpoints, error) {
	var paths []address.Endpoints
	for _, text := range texts {
		p, err := parsePath(text)
		if err != nil {
			return nil, program.Usagef("--path %q: %w", text, err)
		}
		if slices.Contains(paths, p) {
			return nil, program.Usagef("--path %q is given twice", text)
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// parsePath reads the two ends of a path. Without a source, routing decides, now.
func parsePath(text string) (address.Endpoints, error) {
	p, err := address.ParseEndpoints(text)
	if err != nil || p.Source.IsValid() {
		return p, err
	}
	c, err := net.Dial("udp", netip.AddrPortFrom(p.Server, ibtrs.DefaultPort).String()) // sends nothing
	if err != nil {
		return p, err
	}
	defer c.Close()
	p.Source = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	return p, nil
}

// sessionName is the one that was chosen, or the host's name without what a session name cannot have.
func (o *sessionOptions) sessionName() string {
	if o.name != "" {
		return o.name
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		return "ibnbd-client"
	}
	return strings.NewReplacer(".", "-", "/", "-").Replace(host)
}

// newLog makes the log of the programs.
func (o *sessionOptions) newLog(stderr io.Writer) *slog.Logger {
	return program.NewLog(stderr, o.verbose)
}

// endTimeout is how long unmapping may take when the program ends.
const endTimeout = 5 * time.Second
