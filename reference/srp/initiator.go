// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
)

// Initiator is an initiator system: the ports that it has logged in to, and the gate through which they log in one at a time.
type Initiator struct {
	cfg  InitiatorConfig
	gate *gate

	mu     sync.Mutex // guards the rest
	ports  []*RemotePort
	closed bool
}

// NewInitiator makes an initiator without ports.
func NewInitiator(cfg InitiatorConfig) *Initiator {
	return &Initiator{cfg: cfg, gate: newGate(cfg.Gap)}
}

// Add logs in to a target port and looks for its disks. Such a port stays, whatever happens, until it is deleted. With an error nothing
// is left behind.
func (i *Initiator) Add(ctx context.Context, cfg PortConfig) (*RemotePort, error) {
	p, err := i.newPort(cfg)
	if err != nil {
		return nil, fmt.Errorf("add a target port: %w", err)
	}
	if err := i.insert(p); err != nil {
		return nil, err
	}
	if err = p.firstLogin(ctx); err == nil {
		err = p.firstScan(ctx)
	}
	if err != nil && i.cfg.Rules.KeepHalf {
		return nil, err
	}
	if err != nil {
		return nil, errors.Join(err, p.Delete())
	}
	return p, nil
}

// insert refuses a second connection of the same nexus (Clause SRP-SYSFS-007).
func (i *Initiator) insert(p *RemotePort) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return fmt.Errorf("add %s: the initiator is closed: %w", p, syscall.ENODEV)
	}
	for _, o := range i.ports {
		if !i.cfg.Rules.AddTwice && o.cfg.InitiatorPort() == p.cfg.InitiatorPort() && o.cfg.Login.TargetPort() == p.cfg.Login.TargetPort() {
			return fmt.Errorf("add %s: target port %s is connected already, with initiator_ext %x: %w", p, p.cfg.Login.TargetPort(), p.cfg.Login.InitiatorExt, syscall.EEXIST)
		}
	}
	i.ports = append(i.ports, p)
	return nil
}

func (i *Initiator) remove(p *RemotePort) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ports = slices.DeleteFunc(i.ports, func(o *RemotePort) bool { return o == p })
}

// Ports are those that were added and not deleted, in order.
func (i *Initiator) Ports() []*RemotePort {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(i.ports), func(p *RemotePort) bool { return !p.ready.Load() })
}

// Close deletes all ports.
func (i *Initiator) Close() error {
	i.mu.Lock()
	i.closed = true
	all := slices.Clone(i.ports)
	i.mu.Unlock()
	errs := make([]error, len(all))
	var deleting sync.WaitGroup
	for k, p := range all {
		deleting.Go(func() { errs[k] = p.Delete() })
	}
	deleting.Wait()
	i.gate.close()
	return errors.Join(errs...)
}
