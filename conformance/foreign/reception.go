// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibnbd/backend"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// InitiatorConfig is what is said of an initiator.
type InitiatorConfig struct {
	Name    string          // of the implementation, in reports and baselines
	Dialect clauses.Dialect // ibnbd or rnbd
	// Place has the own addresses on which servers wait for the initiator: one, two for paths, or seven for all specs.
	Place    Place
	Hook     Hook // by which the initiator is steered
	Consent  Consent
	Patience time.Duration // for what needs no timer; 0 stands for provocations.DefaultPatience
}

// Subject is an initiator of some dialect.
func (c InitiatorConfig) Subject() clauses.Subject {
	return clauses.Subject{Role: clauses.Initiator, Dialect: c.Dialect}
}

// Specs are those for an initiator.
func (c InitiatorConfig) Specs() []Spec { return InitiatorSpecs() }

// Missing is why a spec cannot run on any initiator of this configuration, as far as that can be said without the initiator.
func (c InitiatorConfig) Missing(s Spec) (verdict.Reason, string) {
	switch own := len(c.Place.Source); {
	case s.MayEnd && !c.Consent.Outage:
		return verdict.NoConsent, "it may end the initiator or its machine, which was not allowed"
	case len(c.Hook) == 0:
		return verdict.NoHook, fmt.Sprintf("it needs the action %s, and there is no control hook", s.Needs)
	case own > 0 && s.Rails > own: // how many a network interface has is seen later
		return verdict.NoSecondPath, fmt.Sprintf("it needs %d own addresses, more than there are: %d", s.Rails, own)
	}
	return "", ""
}

// Stay is [Receive].
func (c InitiatorConfig) Stay(ctx context.Context) (Stay, error) {
	r, err := Receive(ctx, c)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Reception is the time in which an initiator is provoked. It has one user at a time.
type Reception struct {
	ownEnd
	config   InitiatorConfig
	sessions func() string
	versions map[string]string
	missing  string // why the initiator cannot be provoked, or cannot any more; "" if it can
}

// Receive opens the own devices, and has the initiator use a server that only serves. A hook that cannot do that is no error:
// then every spec is skipped. [Reception.Close] ends it.
func Receive(ctx context.Context, config InitiatorConfig) (*Reception, error) {
	r := &Reception{config: config, sessions: sessionNames()}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Reception) open(ctx context.Context) error {
	sources, err := r.config.Place.listening()
	if err != nil {
		return err
	}
	for _, source := range sources {
		if _, err := r.openDevice(r.config.Place, source); err != nil {
			return err
		}
	}
	status, err := r.config.Hook.Do(ctx, Status)
	if err != nil && !errors.Is(err, ErrNotSupported) {
		return err
	}
	r.versions = facts(status)
	err = r.contact(ctx)
	if errors.Is(err, ErrNotSupported) {
		r.missing, err = err.Error(), nil
	}
	if err != nil {
		return fmt.Errorf("the initiator cannot use an ordinary server at %s: %w", r.ordinary(), err)
	}
	return nil
}

// The server that only serves.
const (
	ordinaryPort   = ibtrs.DefaultPort + 1 // the scripted ones have the default port
	ordinaryExport = "ordinary"
	ordinarySize   = 1 << 20
	ordinaryBlock  = 512
)

// ordinary is where it listens.
func (r *Reception) ordinary() netip.AddrPort {
	return netip.AddrPortFrom(r.devices[0].Addr(), ordinaryPort)
}

// serve starts a server that only serves, and keeps its keys, so that an initiator which cannot refresh them is found by what is
// about that.
func (r *Reception) serve() (*ibnbd.Server, error) {
	memory, err := backend.NewMemory(ordinarySize, ordinaryBlock)
	if err != nil {
		return nil, err
	}
	cfg := ibnbd.DefaultServerConfig()
	cfg.Transport.Devices, cfg.Transport.Port = []rdma.Device{r.devices[0]}, ordinaryPort
	cfg.Transport.Geometry, cfg.Transport.KeyRefresh = script.DefaultGeometry, false
	cfg.Exports = []ibnbd.Export{{Path: ordinaryExport, Backend: memory}}
	return ibnbd.Listen(cfg)
}

// receive does something with the initiator while a server of its own only serves. When the hook lacks an action, the error is
// that, whatever was made of it.
func (r *Reception) receive(ctx context.Context, do func(context.Context, *steered) error) (err error) {
	server, err := r.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	within, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	err = do(within, &steered{
		hook: r.config.Hook, ordinary: r.ordinary(), giveUp: giveUp, mapping: r.sessions, timers: subject.DefaultTimers,
	})
	if lacking := context.Cause(within); errors.Is(lacking, ErrNotSupported) {
		return lacking
	}
	return err
}

// contact has the initiator map a disk, use it and unmap it.
func (r *Reception) contact(ctx context.Context) error {
	return r.receive(ctx, func(ctx context.Context, i *steered) (err error) {
		d, err := i.MapOrdinary(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Unmap(ctx)) }()
		return provocations.Usable(ctx, d)
	})
}

// Subject is what was found out of the initiator.
func (r *Reception) Subject() verdict.Subject {
	return verdict.Subject{Subject: r.config.Subject(), Name: r.config.Name, Versions: r.versions}
}

// Missing is why a spec cannot run, as the reason of a SKIP and in words; "" if it can.
func (r *Reception) Missing(s Spec) (verdict.Reason, string) {
	if r.missing != "" {
		return verdict.NoHook, r.missing
	}
	config := r.config
	config.Place.Source = make([]netip.Prefix, len(r.devices)) // those of a network interface count, too
	return config.Missing(s)
}

// Run runs a spec, and gives what it found of each clause that it decides. The error is of this machine.
func (r *Reception) Run(ctx context.Context, s Spec, report Report) (results, passive []verdict.Result, err error) {
	if reason, why := r.Missing(s); reason != "" {
		return s.skip(reason, why), nil, nil
	}
	results, passive, err = r.observe(ctx, s, report, func(ctx context.Context) error {
		return r.receive(ctx, func(ctx context.Context, i *steered) error {
			ground := provocations.Ground{
				Initiator: i, Devices: r.devices[:s.Rails], Patience: cmp.Or(r.config.Patience, provocations.DefaultPatience),
			}
			return provocations.Execute(ctx, ground, *s.provocation)
		})
	})
	if failed(results) {
		r.revive(ctx)
	}
	return results, passive, err
}

// revive brings an initiator back that may have died, if that is possible.
func (r *Reception) revive(ctx context.Context) {
	if r.contact(ctx) == nil {
		return
	}
	_, err := r.config.Hook.Do(ctx, Restart)
	if err == nil {
		err = r.contact(ctx)
	}
	if err != nil {
		r.missing = "the initiator does not serve any more, and the control hook has not restarted it: " + err.Error()
	}
}
