// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
)

// Mainline is mainline Linux, in the kernel of the guest: ib_srp as the initiator, LIO with ib_srpt as the target.
var Mainline = Implementation{
	Facts:        mainline,
	NewTarget:    func(e Environment) Target { return NewLIO(e.Host, e.Release) },
	NewInitiator: func(e Environment) Initiator { return NewIBSRP(e.Host, e.Release) },
}

var mainline = implementation.Facts{
	Name:          "mainline",
	Dialect:       catalogue.SRP,
	KernelModules: []string{"target_core_mod", "target_core_file", "target_core_iblock", "ib_srpt", "ib_srp", "scsi_transport_srp"},
	Abilities: map[clauses.Ability]bool{
		clauses.KernelModule: true, clauses.ImmediateData: true, clauses.MultiChannel: true,
	},
	AsTarget: map[clauses.Ability]bool{clauses.Sysfs: false},
	AsInitiator: map[clauses.Ability]bool{
		clauses.Sysfs: true, clauses.IBSRPInterface: true, clauses.PathChecker: false,
	},
}
