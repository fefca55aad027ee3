// SPDX-License-Identifier: Apache-2.0

// Package srp is all that the suite has of the SCSI RDMA Protocol.
//
//   - Package catalogue has the clauses.
//   - Package tester is the initiator that the suite itself plays; attacks is what it does.
//   - Package foreign judges targets that somebody else runs.
//   - Package loopback puts the reference's target where such a run can reach it.
//   - The passive judge reads captures; below mutants is what must be found broken.
package srp

import (
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/conformance/srp/foreign"
	"github.com/ibnbd/ibnbd/conformance/srp/judge"
	"github.com/ibnbd/ibnbd/conformance/srp/mutants"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Protocol is SRP.
var Protocol = protocol.Protocol{
	Name:    "srp",
	Clauses: catalogue.Part,
	Layouts: []layout.Protocol{srp.Layout},
	Foreign: foreign.Protocol(),
	Judge:   judge.Protocol,
	Mutants: mutants.Set,
}
