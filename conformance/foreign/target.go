// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Config is what is said of a target.
type Config struct {
	Name     string           // of the implementation, in reports and baselines
	Dialect  clauses.Dialect  // one of a protocol's
	Targets  []netip.AddrPort // where it listens; at least one
	Exports  []string         // one, which specs are tried on, or two: then the second is used by an ordinary client meanwhile
	Place    Place
	Hook     Hook
	Consent  Consent
	Patience time.Duration // for one answer; 0 stands for the protocol's
}

// Recovery is how long a target may take to serve again after it was crashed or restarted.
const Recovery = time.Minute

// target is a subject.
type target struct {
	Config
	protocol *Protocol
}

// Describe is a target of some dialect.
func (t target) Describe() clauses.Subject {
	return clauses.Subject{Role: clauses.Target, Dialect: t.Dialect}
}

// Specs are those for a target.
func (t target) Specs() []Spec { return harmlessFirst(t.protocol.Targets.Specs()) }

// Missing is why a spec cannot run on any target of this configuration.
func (t target) Missing(s Spec) (verdict.Reason, string) {
	if s.Addresses > len(t.Targets) {
		return verdict.NoSecondPath, fmt.Sprintf("it needs %d addresses of the target, and %d was given", s.Addresses, len(t.Targets))
	}
	if lacks := t.Consent.lacks(s.Does, s.MayEnd, t.Exports); lacks != "" {
		return verdict.NoConsent, lacks
	}
	if s.Needs != "" && len(t.Hook) == 0 {
		return verdict.NoHook, fmt.Sprintf("it needs the action %s, and there is no control hook", s.Needs)
	}
	return "", ""
}

// Start begins a [TargetRun].
func (t target) Start(ctx context.Context) (Run, error) {
	t.Patience = cmp.Or(t.Patience, t.protocol.Targets.Patience)
	r := &TargetRun{target: t}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// TargetRun is the time in which specs run on a target.
type TargetRun struct {
	target  target
	devices devices
	rails   []Rail

	versions map[string]string
	found    Found
	dead     error // why the target does not serve any more; nil if it does
}

// Rail is one way to a target.
type Rail struct {
	Device rdma.Device    // of this side
	Addr   netip.AddrPort // where the target listens
}

func (r *TargetRun) start(ctx context.Context) (err error) {
	if err := r.openDevices(); err != nil {
		return err
	}
	if r.versions, err = status(r.control(ctx, Status)); err != nil {
		return err
	}
	r.found, err = r.target.protocol.Targets.Contact(ctx, r)
	return err
}

// openDevices opens a device for each own address.
func (r *TargetRun) openDevices() error {
	bySource := make(map[netip.Addr]rdma.Device)
	r.rails = nil
	for i, addr := range r.target.Targets {
		source, err := r.target.Place.source(i, addr)
		if err != nil {
			return err
		}
		device := bySource[source.Addr()]
		if device == nil {
			if device, err = r.devices.add(r.target.Place, source); err != nil {
				return err
			}
			bySource[source.Addr()] = device
		}
		r.rails = append(r.rails, Rail{Device: device, Addr: addr})
	}
	return nil
}

// Config is what is said of the target, with a Patience.
func (r *TargetRun) Config() Config { return r.target.Config }

// Rails are the ways to the target, one for each of its addresses.
func (r *TargetRun) Rails() []Rail { return r.rails }

// Subject is what was found out of the target.
func (r *TargetRun) Subject() verdict.Subject {
	s := verdict.Subject{Subject: r.target.Describe(), Name: r.target.Name, Versions: r.versions}
	s.Abilities = r.found.Abilities
	return s
}

// Close closes the devices of this side.
func (r *TargetRun) Close() error { return r.devices.Close() }

// missing is why a spec cannot run, as the reason of a SKIP and in words; "" if it can.
func (r *TargetRun) missing(s Spec) (verdict.Reason, string) {
	if r.dead != nil {
		return verdict.NoHook, fmt.Sprintf("the target does not serve any more: %v", r.dead)
	}
	if s.Depth != 0 && r.found.QueueDepth != s.Depth {
		return verdict.NoHook, fmt.Sprintf("it needs a queue depth of %d, and only the owner can change that of the target, %d", s.Depth, r.found.QueueDepth)
	}
	return r.target.Missing(s)
}

// RunSpec runs a spec. A target that may have died of it is brought back, if the hook can do that.
func (r *TargetRun) RunSpec(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error) {
	if reason, why := r.missing(s); reason != "" {
		return s.skip(reason, why), nil, nil
	}
	x := execution{spec: s, role: clauses.Target, report: report, devices: &r.devices, packets: r.target.protocol.Packets}
	results, passive, err = x.run(ctx, func(ctx context.Context) error { return s.OnTarget(ctx, r) })
	if failed(results) {
		r.revive(ctx)
	}
	return results, passive, err
}

// control has an action done by the owner's hook.
func (r *TargetRun) control(ctx context.Context, action Action) (string, error) {
	var addresses []string
	for _, addr := range r.target.Targets {
		addresses = append(addresses, addr.String())
	}
	return r.target.Hook.Do(ctx, action,
		"IBNBD_TARGET="+strings.Join(addresses, ","), "IBNBD_EXPORTS="+strings.Join(r.target.Exports, ","))
}

// Crash has the target crash. It may not serve yet when that is done: see [TargetRun.Recover].
func (r *TargetRun) Crash(ctx context.Context) error {
	_, err := r.control(ctx, Crash)
	return err
}

// Recover opens new devices on this side, and waits until the target serves. Rails of before are gone.
func (r *TargetRun) Recover(ctx context.Context) error {
	if err := r.renewDevices(); err != nil {
		return err
	}
	return r.awaitService(ctx)
}

func (r *TargetRun) serves(ctx context.Context) error {
	return r.target.protocol.Targets.Serves(ctx, r)
}

// awaitService asks until the target serves a new client, or its time is over.
func (r *TargetRun) awaitService(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Recovery)
	defer cancel()
	const between = 200 * time.Millisecond // two questions
	again := time.NewTicker(between)
	defer again.Stop()
	for {
		err := r.serves(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the target does not serve within %s: %w", Recovery, err)
		case <-again.C:
		}
	}
}

// revive brings a target back that may have died, if that is possible.
func (r *TargetRun) revive(ctx context.Context) {
	if r.serves(ctx) == nil {
		return
	}
	if _, r.dead = r.control(ctx, Restart); r.dead != nil {
		return
	}
	r.dead = r.Recover(ctx)
}

// renewDevices closes the devices of this side and opens new ones. The old still send disconnect requests for queue pairs of the
// target that died. If the restarted target uses the same numbers, they would refuse its connections as stale.
func (r *TargetRun) renewDevices() error {
	if err := r.devices.renew(); err != nil {
		return err
	}
	return r.openDevices()
}
