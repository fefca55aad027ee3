// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/address"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/program"
	"github.com/ibnbd/ibnbd/reference/cmd/internal/provider"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// portOptions are what a person can choose about a port, beside the login. They travel to a program that runs as JSON.
type portOptions struct {
	Provider     string
	Timers       srp.Timers
	TaskTimeout  time.Duration
	AckTimeout   int
	GlobalKey    bool
	Segment      string
	MaxImmediate string
}

func (o *portOptions) addFlags(c *cobra.Command) {
	d := srp.DefaultPortConfig()
	o.Timers = d.Timers
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.Provider, "provider", provider.Default, "RDMA provider: soft or verbs")
	f.Var((*timer)(&o.Timers.FastIOFail), "fast-io-fail", "`TIME` from the loss of a port to the failure of I/O, or off")
	f.Var((*timer)(&o.Timers.DevLoss), "dev-loss", "`TIME` from the loss of a port to its removal with all disks, or off")
	f.Var((*timer)(&o.Timers.ReconnectDelay), "reconnect-delay", "`TIME` from the loss, and from an attempt that failed, to the next attempt, or off")
	f.DurationVar(&o.Timers.ReconnectDelayMax, "reconnect-delay-max", o.Timers.ReconnectDelayMax, "longest pause between attempts")
	f.DurationVar(&o.Timers.AttemptMax, "attempt-max", o.Timers.AttemptMax, "longest attempt to log in")
	f.Var((*timer)(&o.Timers.Probe), "probe", "`TIME` after which an idle channel is probed, or off")
	f.DurationVar(&o.Timers.ProbeDeadline, "probe-deadline", o.Timers.ProbeDeadline, "longest wait for the answer to a command or a probe; after that the port is lost")
	f.DurationVar(&o.TaskTimeout, "task-timeout", d.TaskTimeout, "longest wait for the answer to task management")
	f.IntVar(&o.AckTimeout, "ack-timeout", d.AckTimeout, "local ACK timeout `CODE` of the connections, 1 to 31, for 4.096 us * 2^CODE; 0 leaves it to the provider")
	f.BoolVar(&o.GlobalKey, "global-key", false, "one key for all memory instead of a key for each command")
	f.StringVar(&o.Segment, "segment", "0", "with --global-key: longest piece of memory, `SIZE`; data in more pieces is described by a list; 0 is without limit")
	f.StringVar(&o.MaxImmediate, "max-immediate", "8K", "longest data that is sent inside of a command, `SIZE`; 0 for none")
}

// timer is a flag: a duration, or off.
type timer time.Duration

// String is what is shown as the default.
func (t *timer) String() string {
	if time.Duration(*t) < 0 {
		return "off"
	}
	return time.Duration(*t).String()
}

// Set reads a value.
func (t *timer) Set(text string) error {
	if text == "off" {
		*t = timer(srp.Off)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		return program.Usagef("%s must not be negative; use off", text)
	}
	*t = timer(d)
	return err
}

// Type names the kind of value.
func (t *timer) Type() string { return "time" }

// config checks everything that can be checked without opening anything, and gives the configuration without a device, and the local
// address.
func (o *portOptions) config(login string) (cfg srp.PortConfig, source netip.Addr, err error) {
	cfg = srp.DefaultPortConfig()
	if !provider.Known(o.Provider) {
		return cfg, source, program.Usagef("--provider %q is none of %s", o.Provider, strings.Join(provider.Names(), ", "))
	}
	if cfg.Login, err = srp.ParseLoginString(login); err != nil {
		return cfg, source, &program.UsageError{Err: err}
	}
	for _, size := range []struct {
		name, text string
		to         *int
	}{{"segment", o.Segment, &cfg.Segment}, {"max-immediate", o.MaxImmediate, &cfg.MaxImmediate}} {
		if size.text == "0" {
			*size.to = 0
			continue
		}
		n, err := backend.ParseSize(size.text)
		if err != nil {
			return cfg, source, program.Usagef("--%s: %w", size.name, err)
		}
		if n > 1<<30 {
			return cfg, source, program.Usagef("--%s %s must be at most 1G", size.name, size.text)
		}
		*size.to = int(n)
	}
	cfg.Timers, cfg.TaskTimeout, cfg.AckTimeout = o.Timers, o.TaskTimeout, o.AckTimeout
	if o.GlobalKey {
		cfg.Keys = srp.GlobalKey
	}
	if err := cfg.Validate(); err != nil {
		return cfg, source, &program.UsageError{Err: err}
	}
	source, err = sourceOf(&cfg.Login)
	return cfg, source, err
}

// sourceOf is the local address of a login. Without one routing decides, now.
func sourceOf(l *srp.LoginString) (netip.Addr, error) {
	if l.Src.IsValid() {
		return address.Local(l.Src.String())
	}
	c, err := net.Dial("udp", l.Dest.String()) // sends nothing
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
