// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/implementation"
)

// Mainline is mainline Linux: RNBD over RTRS, in the kernel of the guest.
var Mainline = Implementation{
	Facts:        mainline,
	NewTarget:    func(p Place) Target { return NewMainlineTarget(p.Host, p.Release) },
	NewInitiator: func(p Place) Initiator { return NewMainlineInitiator(p.Host, p.Release) },
}

var mainline = implementation.Facts{
	Name:    "mainline",
	Dialect: catalogue.RNBD,
	Abilities: map[clauses.Ability]bool{
		clauses.Sysfs: true, clauses.KernelModule: true, clauses.IOMode: false, clauses.FeatureMarker: false,
		clauses.LegacyClients: false, clauses.VersionOne: false, clauses.Promises: false,
	},
	Modules: []string{"rnbd"},
}
