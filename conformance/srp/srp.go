// SPDX-License-Identifier: Apache-2.0

// Package srp is all that the suite has of the SCSI RDMA Protocol. There are no specs yet that act on an implementation; the
// passive judge reads captures, and must find what is broken in those of package mutants.
package srp

import (
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
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
	Judge:   judge.Protocol,
	Mutants: mutants.Set,
}
