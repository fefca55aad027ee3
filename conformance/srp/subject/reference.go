// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
)

// Reference is this project's implementation in userspace: programs over verbs, linked statically, that run in any guest.
var Reference = Implementation{
	Facts: reference,
	NewTarget: func(e Environment) Target {
		var listen []netip.Addr
		for _, nic := range e.Host.NICs() {
			listen = append(listen, nic.IPv4.Addr(), nic.IPv6.Addr())
		}
		return NewReferenceTarget(e.Host, machine.Programs{Dir: e.Programs, Version: e.Version}, listen)
	},
}

var reference = implementation.Facts{
	Name:    "reference",
	Dialect: catalogue.SRP,
	Own:     true,
	Abilities: map[clauses.Ability]bool{
		clauses.Sysfs: false, clauses.KernelModule: false, clauses.ImmediateData: true, clauses.MultiChannel: true,
	},
	Build: func(ctx context.Context, dir string) error { return machine.Build(ctx, dir, targetProgram) },
}

const targetProgram = "srp-target"

// ReferenceTarget is the reference's target in userspace, over verbs. Its units are in memory.
type ReferenceTarget struct {
	machine.Server
	listen []netip.Addr
}

// NewReferenceTarget makes the target on a machine, which will listen on the given addresses of it.
func NewReferenceTarget(h Host, p machine.Programs, listen []netip.Addr) *ReferenceTarget {
	return &ReferenceTarget{machine.Server{Host: h, Programs: p, Program: targetProgram}, listen}
}

// Info describes the target.
func (t *ReferenceTarget) Info() Info { return info(reference, clauses.Target, t.Programs.Version) }

// Start starts the program and waits until it listens.
func (t *ReferenceTarget) Start(ctx context.Context) error {
	args := []string{"--provider", "verbs", "--verbose", "--id-ext", fmt.Sprintf("%x", uint64(idExt)), "--ioc-guid", fmt.Sprintf("%x", uint64(iocGUID))}
	for _, addr := range t.listen {
		args = append(args, "--listen", addr.String())
	}
	for n := range Units {
		args = append(args, "--lun", fmt.Sprintf("unit%d=mem:%d", n, UnitSize))
	}
	if err := t.Serve(ctx, len(t.listen), args...); err != nil {
		return fmt.Errorf("start reference target: %w", err)
	}
	return nil
}

// Stop ends the program in good order.
func (t *ReferenceTarget) Stop(ctx context.Context) error {
	if err := t.End(ctx); err != nil {
		return fmt.Errorf("stop reference target: %w", err)
	}
	return nil
}

// Control: the program takes no orders but to end.
func (t *ReferenceTarget) Control(_ context.Context, action foreign.Action, _ ...string) error {
	return fmt.Errorf("srp-target cannot be told to %s: %w", action, foreign.ErrNotSupported)
}
