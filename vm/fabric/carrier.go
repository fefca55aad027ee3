// SPDX-License-Identifier: Apache-2.0

package fabric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// CarrierLoss takes the link of guest NICs down, as a pulled cable does: the guests see the carrier go, and nothing passes.
// Ports names the ends; none stands for every port of the rail that has a carrier control, so both ends of the usual rail.
type CarrierLoss struct {
	Ports []string
}

// CarrierLoss does nothing to single frames.
func (CarrierLoss) start() effect { return nil }

func (CarrierLoss) check() error { return nil }

func (a CarrierLoss) String() string {
	if len(a.Ports) == 0 {
		return "carrier loss"
	}
	return "carrier loss at " + strings.Join(a.Ports, ", ")
}

// CarrierControl takes the link of one guest NIC up or down, and returns when that is done.
type CarrierControl func(ctx context.Context, up bool) error

// carrierTimeout bounds one call of a carrier control.
const carrierTimeout = 10 * time.Second

// carrier is the link state of one port: down as long as at least one fault wants it down.
type carrier struct {
	mu      sync.Mutex
	control CarrierControl
	downs   int
}

// SetCarrierControl gives the port the means to take its guest's link down (nil: none, the guest is gone). Where a fault
// holds the link down, a new control is called at once, so that a replaced guest finds the same wire.
func (p *Port) SetCarrierControl(ctx context.Context, control CarrierControl) error {
	p.carrier.mu.Lock()
	defer p.carrier.mu.Unlock()
	p.carrier.control = control
	if control == nil || p.carrier.downs == 0 {
		return nil
	}
	if err := control(ctx, false); err != nil {
		return fmt.Errorf("fabric: take down the carrier of port %s on %s: %w", p.name, p.rail.name, err)
	}
	return nil
}

// lose takes the carrier down, or counts one more reason for it to be down.
func (p *Port) lose(ctx context.Context) error {
	p.carrier.mu.Lock()
	defer p.carrier.mu.Unlock()
	if p.carrier.control == nil {
		return fmt.Errorf("fabric: port %s on %s has no carrier control", p.name, p.rail.name)
	}
	if p.carrier.downs == 0 {
		if err := p.carrier.control(ctx, false); err != nil {
			return fmt.Errorf("fabric: take down the carrier of port %s on %s: %w", p.name, p.rail.name, err)
		}
	}
	p.carrier.downs++
	return nil
}

// restore takes one reason away, and brings the carrier back when it was the last.
func (p *Port) restore(ctx context.Context) error {
	p.carrier.mu.Lock()
	defer p.carrier.mu.Unlock()
	p.carrier.downs--
	if p.carrier.downs > 0 || p.carrier.control == nil {
		return nil
	}
	if err := p.carrier.control(ctx, true); err != nil {
		return fmt.Errorf("fabric: bring back the carrier of port %s on %s: %w", p.name, p.rail.name, err)
	}
	return nil
}

// carriers returns the ports that a carrier loss means.
func (r *Rail) carriers(a CarrierLoss) ([]*Port, error) {
	var ports []*Port
	for _, p := range r.Ports() {
		p.carrier.mu.Lock()
		controlled := p.carrier.control != nil
		p.carrier.mu.Unlock()
		if slices.Contains(a.Ports, p.name) || len(a.Ports) == 0 && controlled {
			ports = append(ports, p)
		}
	}
	if len(ports) == 0 || len(ports) < len(a.Ports) {
		return nil, fmt.Errorf("fabric: %v on %s: no such ports with a carrier control", a, r.name)
	}
	return ports, nil
}

// loseAll takes down every port's carrier at the same time; on failure, those that went down come back.
func loseAll(ports []*Port) error {
	ctx, cancel := context.WithTimeout(context.Background(), carrierTimeout)
	defer cancel()
	errs := atOnce(ports, func(p *Port) error { return p.lose(ctx) })
	if errors.Join(errs...) == nil {
		return nil
	}
	for i, p := range ports {
		if errs[i] == nil {
			errs = append(errs, p.restore(ctx))
		}
	}
	return errors.Join(errs...)
}

func restoreAll(ports []*Port) error {
	ctx, cancel := context.WithTimeout(context.Background(), carrierTimeout)
	defer cancel()
	return errors.Join(atOnce(ports, func(p *Port) error { return p.restore(ctx) })...)
}

// atOnce calls f for all ports concurrently and returns what each said.
func atOnce(ports []*Port, f func(*Port) error) []error {
	errs := make([]error, len(ports))
	var wg sync.WaitGroup
	for i, p := range ports {
		wg.Go(func() { errs[i] = f(p) })
	}
	wg.Wait()
	return errs
}
