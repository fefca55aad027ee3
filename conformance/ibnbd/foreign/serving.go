// SPDX-License-Identifier: Apache-2.0

package foreign

import (
	"cmp"
	"context"
	"errors"
	"net/netip"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/provocations"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/script"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/reference/backend"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// The ordinary server, which only serves.
const (
	ordinaryPort   = ibtrs.DefaultPort + 1 // the scripted ones have the default port
	ordinaryExport = "ordinary"
	ordinarySize   = 1 << 20
	ordinaryBlock  = 512
)

// serve starts the ordinary server. It keeps its keys, so that an initiator which cannot refresh them is found by what is about
// that.
func serve(device rdma.Device) (*ibnbd.Server, error) {
	memory, err := backend.NewMemory(ordinarySize, ordinaryBlock)
	if err != nil {
		return nil, err
	}
	cfg := ibnbd.DefaultServerConfig()
	cfg.Transport.Devices, cfg.Transport.Port = []rdma.Device{device}, ordinaryPort
	cfg.Transport.Geometry, cfg.Transport.KeyRefresh = script.DefaultGeometry, false
	cfg.Exports = []ibnbd.Export{{Path: ordinaryExport, Backend: memory}}
	return ibnbd.Listen(cfg)
}

// initiatorTimers are the usual ones, with the heartbeats that an initiator is configured to send.
func initiatorTimers(h audit.Heartbeats) subject.Timers {
	timers := subject.DefaultTimers
	timers.Timers = beating(timers.Timers, h)
	return timers
}

// beating are timers with configured heartbeats; what was not said stays.
func beating(timers ibtrs.Timers, h audit.Heartbeats) ibtrs.Timers {
	timers.HeartbeatInterval = cmp.Or(h.Interval, timers.HeartbeatInterval)
	timers.HeartbeatMisses = cmp.Or(h.Misses, timers.HeartbeatMisses)
	return timers
}

// withOrdinary does something with the initiator while the ordinary server serves. When the hook lacks an action, the error is
// that, whatever was made of it.
func withOrdinary(ctx context.Context, r *foreign.InitiatorRun, do func(context.Context, *ControlledInitiator) error) (err error) {
	device := r.Devices()[0]
	server, err := serve(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	within, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	err = do(within, &ControlledInitiator{
		hook: r.Config().Hook, ordinary: netip.AddrPortFrom(device.Addr(), ordinaryPort), giveUp: giveUp, timers: initiatorTimers(r.Config().Heartbeats),
	})
	if lacking := context.Cause(within); errors.Is(lacking, foreign.ErrNotSupported) {
		return lacking
	}
	return err
}

// use has the initiator map a disk of the ordinary server, use it and unmap it.
func use(ctx context.Context, r *foreign.InitiatorRun) error {
	return withOrdinary(ctx, r, func(ctx context.Context, i *ControlledInitiator) (err error) {
		d, err := i.MapOrdinary(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Unmap(ctx)) }()
		return provocations.Usable(ctx, d)
	})
}

// provoke executes a provocation.
func provoke(ctx context.Context, r *foreign.InitiatorRun, c provocations.Provocation) error {
	return withOrdinary(ctx, r, func(ctx context.Context, i *ControlledInitiator) error {
		setup := provocations.Setup{Initiator: i, Devices: r.Devices()[:c.Needs()], Patience: r.Config().Patience}
		return provocations.Execute(ctx, setup, c)
	})
}
