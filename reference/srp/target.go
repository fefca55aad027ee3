// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/burst"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// Target lets initiators use logical units.
type Target struct {
	cfg       TargetConfig
	listeners *rdma.Listeners
	running   sync.WaitGroup // logins and channels
	workers   *workers
	refused   *burst.Log

	mu       sync.Mutex // guards the rest, and what nexuses say it guards
	nexuses  map[PortID]*TargetNexus
	halfOpen int
	disabled bool
	closed   bool
}

// TargetNexus is an initiator port that has logged in, with its channels.
type TargetNexus struct {
	target    *Target
	initiator PortID
	login     sync.Mutex // held by a login, so that they go one after the other

	scsi     *scsi.Nexus      // nil until a login has succeeded; guarded by login
	channels []*TargetChannel // guarded by the target's lock
	logins   int              // that use the nexus just now; guarded by the target's lock
}

// Listen starts a target on all its devices. If one cannot be listened on, none is.
func Listen(cfg TargetConfig) (*Target, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("target cannot start: %w", err)
	}
	if len(cfg.Devices) == 0 {
		return nil, fmt.Errorf("target cannot start: no device to listen on: %w", syscall.EINVAL)
	}
	t := &Target{cfg: cfg, nexuses: map[PortID]*TargetNexus{}}
	l, err := rdma.ListenAll(cfg.Devices, cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("target cannot start: %w", err)
	}
	t.listeners = l
	t.workers = newWorkers(cfg.Workers)
	t.refused = burst.New(cfg.Log, slog.LevelInfo, "login refused")
	l.Serve(rdma.Admission{
		Admit: t.begin,
		Refused: func(r rdma.Request, why error) {
			t.refused.Note("from", r.RemoteAddr(), "to", r.LocalAddr(), "reason", why)
		},
		Failed: func(at netip.AddrPort, err error) { cfg.Log.Error("listener failed", "address", at, "error", err) },
	})
	return t, nil
}

// Addrs are the addresses that the target listens on.
func (t *Target) Addrs() []netip.AddrPort { return t.listeners.Addrs() }

// Enable lets initiators log in, or takes that back: then all channels are disconnected, and logins rejected with
// RejectNoResources (Clauses SRP-LOGIN-016, SRP-TGT-006).
func (t *Target) Enable(yes bool) {
	t.mu.Lock()
	t.disabled = !yes
	var all []*TargetChannel
	if !yes {
		all = t.allChannels()
	}
	t.mu.Unlock()
	for _, c := range all {
		c.fail(errDisabled)
	}
}

// allChannels is called with the lock held.
func (t *Target) allChannels() (all []*TargetChannel) {
	for _, n := range t.nexuses {
		all = append(all, n.channels...)
	}
	return all
}

// Nexuses are the initiators that are logged in, ordered by port.
func (t *Target) Nexuses() []*TargetNexus {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*TargetNexus
	for _, n := range t.nexuses {
		if len(n.channels) > 0 {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *TargetNexus) int { return strings.Compare(string(a.initiator[:]), string(b.initiator[:])) })
	return all
}

// Initiator is the port that has logged in.
func (n *TargetNexus) Initiator() PortID { return n.initiator }

// Channels are those that the nexus has now, in the order of their logins.
func (n *TargetNexus) Channels() []*TargetChannel {
	n.target.mu.Lock()
	defer n.target.mu.Unlock()
	return slices.Clone(n.channels)
}

var (
	errDisabled   = errors.New("target port disabled")
	errClosing    = errors.New("target closes")
	errSuperseded = errors.New("the initiator has logged in again")
	errLoggedOut  = errors.New("the initiator has logged out")
	errHalfOpen   = errors.New("the initiator has not confirmed the connection")
	errVanished   = errors.New("the initiator does not answer a probe")
)

// Drain rejects logins, begins with no command any more, and waits until those that have begun are answered, or ctx ends. Close
// follows.
func (t *Target) Drain(ctx context.Context) error {
	t.mu.Lock()
	t.disabled = true
	all := t.allChannels()
	t.mu.Unlock()
	for _, c := range all {
		select {
		case <-c.drain():
		case <-c.gone:
		case <-ctx.Done():
			return fmt.Errorf("commands of %s have not ended: %w", c.RemoteAddr(), ctx.Err())
		}
	}
	return nil
}

// Close stops listening, disconnects all channels, and waits until the commands in flight have ended and all is given back.
func (t *Target) Close() error {
	t.mu.Lock()
	already := t.closed
	t.closed = true
	all := t.allChannels()
	t.mu.Unlock()
	if already {
		return nil
	}
	err := t.listeners.Close()
	t.listeners.Stop()
	for _, c := range all {
		c.fail(errClosing)
	}
	t.listeners.Wait()
	t.running.Wait()
	t.workers.close()
	t.refused.Close()
	return err
}
