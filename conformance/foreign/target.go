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

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/conformance/verdict/finding"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Config is what is said of a target.
type Config struct {
	Name     string            // of the implementation, in reports and baselines
	Dialect  clauses.Dialect   // one of a protocol's
	Targets  []netip.AddrPort  // where it listens; at least one
	Identity map[string]string // what else its initiators have to say, by the names of [Targets.Identity]
	Exports  []string          // one, which specs are tried on, or two: then the second is used by an ordinary client meanwhile
	Place    Place
	Hook     Hook
	Consent  Consent
	Patience time.Duration // for one answer; 0 stands for the protocol's
	// Heartbeats are those that the target is configured to send, by which it is judged; 0 stands for the protocol's.
	Heartbeats audit.Heartbeats
	// Configurations are what the hook starts the target with, one after the other; without any it is judged as it is.
	Configurations []Configuration
	// Seed is what random sequences of requests are drawn from; 0 stands for DefaultSeed.
	Seed int64
	// Sequence, unless empty, is the content of a file in which a run has saved a sequence that broke a clause. It is run again, and
	// nothing else.
	Sequence []byte
}

// Recovery is how long a target may take to serve again after it was crashed or restarted.
const Recovery = time.Minute

// target is a subject.
type target struct {
	Config
	protocol *Protocol
	as       Configuration // the one of Config.Configurations that it has
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
	r.health = health{serves: r.serves, restart: r.restart, clause: t.protocol.Targets.Serving, names: t.Exports}
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
	health   health
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
	if err := r.configure(ctx); err != nil {
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
	s := verdict.Subject{Subject: r.target.Describe(), Name: r.target.Name, Versions: r.versions, Configuration: r.target.as.String()}
	s.Abilities = r.found.Abilities
	return s
}

// Close closes the devices of this side.
func (r *TargetRun) Close() error { return r.devices.Close() }

// missing is why a spec cannot run, as the reason of a SKIP and in words; "" if it can.
func (r *TargetRun) missing(s Spec) (verdict.Reason, string) {
	if reason, why := r.health.missing(); reason != "" {
		return reason, why
	}
	if s.Depth != 0 && r.found.QueueDepth != s.Depth {
		return verdict.OtherConfiguration, fmt.Sprintf("it needs a queue depth of %d, and the target has %d", s.Depth, r.found.QueueDepth)
	}
	return r.target.Missing(s)
}

// RunSpec runs a spec. A target that may have died of it is brought back, if the hook can do that.
func (r *TargetRun) RunSpec(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error) {
	if reason, why := r.missing(s); reason != "" {
		return s.skip(reason, why), nil, nil
	}
	x := execution{spec: s, role: clauses.Target, report: report, devices: &r.devices, packets: r.target.protocol.Packets}
	x.configuration.TargetHeartbeats = r.target.Heartbeats
	results, passive, err = x.run(ctx, func(ctx context.Context) error { return r.try(ctx, s) })
	if err != nil {
		return nil, nil, err
	}
	return r.health.after(ctx, results), passive, nil
}

// try does what a spec does, and looks whether it leaves the target as one that serves. Where the spec itself has seen something wrong,
// that is looked for behind it.
func (r *TargetRun) try(ctx context.Context, s Spec) error {
	found := s.OnTarget(ctx, r)
	if f := finding.Of(found); len(f.Broken) > 0 || f.Undecided == nil && found != nil || ctx.Err() != nil {
		return found
	}
	if err := r.serves(ctx); err != nil {
		clause := cmp.Or(s.Survival, r.target.protocol.Targets.Serving)
		return &finding.Unserved{Found: found, Err: err, Clause: clause, At: time.Now()}
	}
	return found
}

// control has an action done by the owner's hook.
func (r *TargetRun) control(ctx context.Context, action Action, arguments ...string) (string, error) {
	var addresses []string
	for _, addr := range r.target.Targets {
		addresses = append(addresses, addr.String())
	}
	says, err := r.target.Hook.Call(ctx, Call{Action: action, Arguments: arguments, Environment: []string{
		"IBNBD_TARGET=" + strings.Join(addresses, ","), "IBNBD_EXPORTS=" + strings.Join(r.target.Exports, ","),
		"IBNBD_CONFIGURATION=" + strings.Join(r.target.as, " "),
	}})
	return string(says), err
}

// Control has an action of the protocol done by the owner's hook.
func (r *TargetRun) Control(ctx context.Context, action Action, arguments ...string) error {
	_, err := r.control(ctx, action, arguments...)
	return err
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
	if err := await(ctx, Recovery, r.serves); err != nil {
		return fmt.Errorf("the target was restarted: %w", err)
	}
	return nil
}

// restart has the hook restart the target, and waits until it serves.
func (r *TargetRun) restart(ctx context.Context) error {
	if _, err := r.control(ctx, Restart); err != nil {
		return err
	}
	return r.Recover(ctx)
}

func (r *TargetRun) serves(ctx context.Context) error {
	return r.target.protocol.Targets.Serves(ctx, r)
}

// renewDevices closes the devices of this side and opens new ones. The old still send disconnect requests for queue pairs of the
// target that died. If the restarted target uses the same numbers, they would refuse its connections as stale.
func (r *TargetRun) renewDevices() error {
	if err := r.devices.renew(); err != nil {
		return err
	}
	return r.openDevices()
}
