// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/kmod"
)

// KMod is this project's kernel module, which has the name and the files of mainline's ib_srp. It is an initiator alone.
var KMod = Implementation{
	Facts: kmodFacts,
	NewInitiator: func(e Environment) Initiator {
		return &IBSRP{host: e.Host, facts: kmodFacts, version: e.Version, parameters: kmodParameters, modules: []string{ibSRP}}
	},
}

var kmodFacts = implementation.Facts{
	Name:     "kmod",
	Dialect:  catalogue.SRP,
	Own:      true,
	Sources:  kmod.SRP,
	Replaces: true,
	Abilities: map[clauses.Ability]bool{
		clauses.KernelModule: true, clauses.ImmediateData: true, clauses.MultiChannel: true,
	},
	AsInitiator: map[clauses.Ability]bool{
		clauses.Sysfs: true, clauses.IBSRPInterface: true, clauses.PathChecker: false,
	},
}

// kmodParameters let guests stand still, which are emulated on a machine that they share, for longer than the module's own defaults do.
var kmodParameters = []string{"probe_ms=5000", "deadline_ms=10000"}
