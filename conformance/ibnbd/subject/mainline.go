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
	NewTarget:    func(p Environment) Target { return NewMainlineTarget(p.Host, p.Release) },
	NewInitiator: func(p Environment) Initiator { return NewMainlineInitiator(p.Host, p.Release) },
}

var mainline = implementation.Facts{
	Name:    "mainline",
	Dialect: catalogue.RNBD,
	Abilities: map[clauses.Ability]bool{
		clauses.Sysfs: true, clauses.KernelModule: true, clauses.IOMode: false, clauses.FeatureMarker: false,
		clauses.LegacyClients: false, clauses.VersionOne: false, clauses.Promises: false,
	},
	Modules:       []string{"rnbd"},
	KernelModules: []string{"rtrs_core", "rtrs_client", "rtrs_server", "rnbd_client", "rnbd_server"},
}

// MainlineTarget is mainline Linux's rnbd-server over rtrs-server. None of its timers can be set.
type MainlineTarget struct{ kernelTarget }

// NewMainlineTarget makes the target on a machine whose kernel has the given release.
func NewMainlineTarget(h Host, release string) *MainlineTarget {
	return &MainlineTarget{kernelTarget{
		nullBlk: nullBlk{h}, facts: mainline, version: release, names: RNBD, timers: DefaultTimers,
		transport: kernelModule{name: "rtrs-server"}, block: kernelModule{name: "rnbd-server"},
		opts: TargetOptions{Keys: KeysRefreshed},
	}}
}

// MainlineInitiator is mainline Linux's rnbd-client over rtrs-client. None of its timers can be set; its random spread before an
// attempt stays below 8 ms.
type MainlineInitiator struct{ kernelInitiator }

// NewMainlineInitiator makes the initiator on a machine whose kernel has the given release.
func NewMainlineInitiator(h Host, release string) *MainlineInitiator {
	return &MainlineInitiator{kernelInitiator{
		host: h, facts: mainline, version: release, names: RNBD, timers: DefaultTimers,
		modules: []kernelModule{{name: "rtrs-client"}, {name: "rnbd-client"}},
	}}
}
