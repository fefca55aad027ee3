// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// InitiatorConfig is what is said of an initiator.
type InitiatorConfig struct {
	Name    string          // of the implementation, in reports and baselines
	Dialect clauses.Dialect // one of a protocol's
	// Place has the own addresses on which servers wait for the initiator: one, or as many as some specs need.
	Place    Place
	Hook     Hook // by which the initiator is controlled
	Consent  Consent
	Patience time.Duration // for what needs no timer; 0 stands for the protocol's
	// Heartbeats are those that the initiator is configured to send, by which it is judged; 0 stands for the protocol's.
	Heartbeats audit.Heartbeats
}

// initiator is a subject.
type initiator struct {
	InitiatorConfig
	protocol *Protocol
}

// Describe is an initiator of some dialect.
func (i initiator) Describe() clauses.Subject {
	return clauses.Subject{Role: clauses.Initiator, Dialect: i.Dialect}
}

// Configured is the initiator as it is.
func (i initiator) Configured() []Subject { return []Subject{i} }

// Specs are those for an initiator.
func (i initiator) Specs() []Spec { return harmlessFirst(i.protocol.Initiators.Specs()) }

// Missing is why a spec cannot run on any initiator of this configuration.
func (i initiator) Missing(s Spec) (verdict.Reason, string) {
	return i.missing(s, len(i.Place.Source)) // how many a network interface has is seen later
}

// missing is why a spec cannot run with so many own addresses, which are not known yet if that is 0.
func (i initiator) missing(s Spec, own int) (verdict.Reason, string) {
	switch {
	case s.MayEnd && !i.Consent.Outage:
		return verdict.NoConsent, "it may end the initiator or its machine, which was not allowed (--allow-outage)"
	case len(i.Hook) == 0:
		return verdict.NoHook, fmt.Sprintf("it needs the action %s, and there is no control hook", s.Needs)
	case own > 0 && s.Addresses > own:
		return verdict.NoSecondPath, fmt.Sprintf("it needs %d own addresses, more than there are: %d", s.Addresses, own)
	}
	return "", ""
}

// Start begins an [InitiatorRun]. A hook that cannot have the initiator use a server is no error: then every spec is skipped.
func (i initiator) Start(ctx context.Context) (Run, error) {
	i.Patience = cmp.Or(i.Patience, i.protocol.Initiators.Patience)
	r := &InitiatorRun{initiator: i}
	r.health = health{serves: r.use, restart: r.restart, clause: i.protocol.Initiators.Serving}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// InitiatorRun is the time in which specs run on an initiator, which a hook controls.
type InitiatorRun struct {
	initiator initiator
	devices   devices

	versions map[string]string
	unusable string // why no spec can run; "" if they can
	health   health
}

func (r *InitiatorRun) start(ctx context.Context) error {
	sources, err := r.initiator.Place.listening()
	if err != nil {
		return err
	}
	for _, source := range sources {
		if _, err := r.devices.add(r.initiator.Place, source); err != nil {
			return err
		}
	}
	if r.versions, err = status(r.initiator.Hook.Do(ctx, Status)); err != nil {
		return err
	}
	err = r.use(ctx)
	if errors.Is(err, ErrNotSupported) {
		r.unusable, err = err.Error(), nil
	}
	if err != nil {
		server := netip.AddrPortFrom(r.devices.open[0].Addr(), r.initiator.protocol.Initiators.OrdinaryPort)
		return fmt.Errorf("the initiator cannot use an ordinary server at %s: %w", server, err)
	}
	return nil
}

// use has the initiator use an ordinary server.
func (r *InitiatorRun) use(ctx context.Context) error {
	return r.initiator.protocol.Initiators.Use(ctx, r)
}

// Config is what is said of the initiator, with a Patience.
func (r *InitiatorRun) Config() InitiatorConfig { return r.initiator.InitiatorConfig }

// Devices are those of this side, one for each own address.
func (r *InitiatorRun) Devices() []rdma.Device { return r.devices.open }

// Subject is what was found out of the initiator.
func (r *InitiatorRun) Subject() verdict.Subject {
	return verdict.Subject{Subject: r.initiator.Describe(), Name: r.initiator.Name, Versions: r.versions}
}

// Close closes the devices of this side.
func (r *InitiatorRun) Close() error { return r.devices.Close() }

// missing is why a spec cannot run, as the reason of a SKIP and in words; "" if it can.
func (r *InitiatorRun) missing(s Spec) (verdict.Reason, string) {
	if r.unusable != "" {
		return verdict.NoHook, r.unusable
	}
	if reason, why := r.health.missing(); reason != "" {
		return reason, why
	}
	return r.initiator.missing(s, len(r.devices.open))
}

// RunSpec runs a spec. An initiator that may have died of it is brought back, if the hook can do that.
func (r *InitiatorRun) RunSpec(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error) {
	if reason, why := r.missing(s); reason != "" {
		return s.skip(reason, why), nil, nil
	}
	x := execution{spec: s, role: clauses.Initiator, report: report, devices: &r.devices, packets: r.initiator.protocol.Packets}
	x.configuration.InitiatorHeartbeats = r.initiator.Heartbeats
	results, passive, err = x.run(ctx, func(ctx context.Context) error { return s.OnInitiator(ctx, r) })
	if err != nil {
		return nil, nil, err
	}
	return r.health.after(ctx, results), passive, nil
}

// restart has the hook restart the initiator, and looks whether it can be used.
func (r *InitiatorRun) restart(ctx context.Context) error {
	if _, err := r.initiator.Hook.Do(ctx, Restart); err != nil {
		return err
	}
	return r.use(ctx)
}
