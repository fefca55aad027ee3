// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Config is what is said of a target.
type Config struct {
	Name     string           // of the implementation, in reports and baselines
	Dialect  clauses.Dialect  // ibnbd or rnbd
	Targets  []netip.AddrPort // where it listens; at least one
	Exports  []string         // one, which is attacked, or two: then the second belongs to a polite bystander
	Place    Place
	Hook     Hook
	Consent  Consent
	Patience time.Duration // for one answer; 0 stands for tester.DefaultPatience
}

// Recovery is how long a target may take to serve again after it was crashed or restarted.
const Recovery = time.Minute

// Visit is a stay at a target. It has one user at a time.
type Visit struct {
	ownEnd
	config Config
	target tester.Target

	geometry   ibtrs.Geometry
	keyRefresh bool
	versions   map[string]string
	dead       error // why the target does not serve any more; nil if it does
}

// Open opens the own devices and makes the first contact. A *RefusedError says what the owner must allow, or the user correct;
// any other error, that the target cannot be visited from here. [Visit.Close] leaves the target.
func Open(ctx context.Context, config Config) (*Visit, error) {
	v := &Visit{config: config}
	err := v.open(ctx)
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

func (v *Visit) open(ctx context.Context) error {
	c := v.config
	v.target = tester.Target{
		Exports: [2]string{c.Exports[0], c.Exports[len(c.Exports)-1]}, Patience: c.Patience, Limit: c.Consent.limit(c.Exports),
	}
	if err := v.openDevices(); err != nil {
		return err
	}
	status, err := v.control(ctx, Status)
	if err != nil && !errors.Is(err, ErrNotSupported) {
		return err
	}
	v.versions = facts(status)
	return v.contact(ctx)
}

// openDevices opens a device for each own address.
func (v *Visit) openDevices() error {
	bySource := make(map[netip.Addr]rdma.Device)
	var rails []tester.Rail
	for i, addr := range v.config.Targets {
		source, err := v.config.Place.source(i, addr)
		if err != nil {
			return err
		}
		device := bySource[source.Addr()]
		if device == nil {
			if device, err = v.openDevice(v.config.Place, source); err != nil {
				return err
			}
			bySource[source.Addr()] = device
		}
		rails = append(rails, tester.Rail{Device: device, Addr: addr})
	}
	v.target.Rails = rails
	return nil
}

// Subject is what was found out of the target.
func (v *Visit) Subject() verdict.Subject {
	return verdict.Subject{
		Subject: clauses.Subject{
			Role: clauses.Target, Dialect: v.config.Dialect,
			Abilities: map[clauses.Ability]bool{clauses.KeyRefresh: v.keyRefresh, clauses.StaticKeys: !v.keyRefresh},
		},
		Name: v.config.Name, Versions: v.versions,
	}
}

// Missing is why a spec cannot run, as the reason of a SKIP and in words; "" if it can.
func (v *Visit) Missing(s Spec) (verdict.Reason, string) {
	if v.dead != nil {
		return verdict.NoHook, fmt.Sprintf("the target does not serve any more: %v", v.dead)
	}
	if s.Depth != 0 && int(v.geometry.QueueDepth) != s.Depth {
		return verdict.NoHook, fmt.Sprintf("it needs a queue depth of %d, and only the owner can change that of the target, %d", s.Depth, v.geometry.QueueDepth)
	}
	return v.config.Missing(s)
}

// Missing is why a spec cannot run on any target of this configuration, as far as that can be said without a visit.
func (c Config) Missing(s Spec) (verdict.Reason, string) {
	if s.Rails > len(c.Targets) {
		return verdict.NoSecondPath, fmt.Sprintf("it needs %d addresses of the target, and %d was given", s.Rails, len(c.Targets))
	}
	if lacks := c.Consent.lacks(s.Does, s.MayEnd, c.Exports); lacks != "" {
		return verdict.NoConsent, lacks
	}
	if s.Needs != "" && len(c.Hook) == 0 {
		return verdict.NoHook, fmt.Sprintf("it needs the action %s, and there is no control hook", s.Needs)
	}
	return "", ""
}

// control has an action done by the owner's hook.
func (v *Visit) control(ctx context.Context, action Action) (string, error) {
	var addresses []string
	for _, addr := range v.config.Targets {
		addresses = append(addresses, addr.String())
	}
	return v.config.Hook.Do(ctx, action,
		"IBNBD_TARGET="+strings.Join(addresses, ","), "IBNBD_EXPORTS="+strings.Join(v.config.Exports, ","))
}

// serves looks whether a newcomer can read.
func (v *Visit) serves(ctx context.Context) (err error) {
	t := tester.New(v.target)
	defer func() { err = errors.Join(err, t.Close()) }()
	p, opened, err := t.NewSession().Ready(ctx, v.target.Exports[0], ibnbd.ReadOnly)
	if err != nil {
		return err
	}
	_, err = p.ReadAt(ctx, opened.DeviceID, 0, 4096)
	return err
}

// awaitService asks until the target serves a newcomer, or its time is over.
func (v *Visit) awaitService(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Recovery)
	defer cancel()
	const between = 200 * time.Millisecond // two questions
	again := time.NewTicker(between)
	defer again.Stop()
	for {
		err := v.serves(ctx)
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
func (v *Visit) revive(ctx context.Context) {
	if v.serves(ctx) == nil {
		return
	}
	if _, v.dead = v.control(ctx, Restart); v.dead != nil {
		return
	}
	if v.dead = v.renew(); v.dead == nil {
		v.dead = v.awaitService(ctx)
	}
}

// renew closes the own devices and opens new ones. The old still send disconnect requests for queue pairs of the target that died. If
// the restarted target uses the same numbers, they would refuse its connections as stale.
func (v *Visit) renew() error {
	if err := v.ownEnd.Close(); err != nil {
		return err
	}
	v.ownEnd = ownEnd{}
	return v.openDevices()
}
