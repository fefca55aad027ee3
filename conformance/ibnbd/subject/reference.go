// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"net/netip"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// Reference is this project's implementation in userspace: programs over verbs, linked statically, that run in any guest.
var Reference = Implementation{
	Facts: reference,
	NewTarget: func(p Environment) Target {
		var listen []netip.Addr
		for _, nic := range p.Host.NICs() {
			listen = append(listen, nic.IPv4.Addr(), nic.IPv6.Addr())
		}
		return NewReferenceTarget(p.Host, machine.Programs{Dir: p.Programs, Version: p.Version}, listen, p.Settings...)
	},
	NewInitiator: func(p Environment) Initiator {
		return NewReferenceInitiator(p.Host, machine.Programs{Dir: p.Programs, Version: p.Version}, p.Settings...)
	},
}

var reference = implementation.Facts{
	Name:    "reference",
	Dialect: catalogue.IBNBD,
	Own:     true,
	Abilities: map[clauses.Ability]bool{
		clauses.Sysfs: false, clauses.KernelModule: false, clauses.IOMode: true, clauses.FeatureMarker: true,
		clauses.LegacyClients: false, clauses.VersionOne: false, clauses.GIDAddressing: false,
	},
	AsTarget:      map[clauses.Ability]bool{clauses.LegacyClients: true, clauses.VersionOne: true},
	CheckSettings: checkReference,
	Build:         BuildReference,
}

// The programs of the reference.
const (
	serverProgram = "ibnbd-server"
	clientProgram = "ibnbd-client"
)

// BuildReference compiles the programs into a directory; see [machine.Build].
func BuildReference(ctx context.Context, dir string) error {
	return machine.Build(ctx, dir, serverProgram, clientProgram)
}
