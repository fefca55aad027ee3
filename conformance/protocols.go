// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"sync"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd"
	ibnbdcatalogue "github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/srp"
	srpcatalogue "github.com/ibnbd/ibnbd/conformance/srp/catalogue"
)

// Protocols are all that the suite knows. The first is the one that is judged where nothing else is asked for.
func Protocols() []protocol.Protocol { return []protocol.Protocol{ibnbd.Protocol, srp.Protocol} }

// The dialects of the protocols.
const (
	IBNBD = ibnbdcatalogue.IBNBD // IBNBD over IBTRS, with the names of the seed
	RNBD  = ibnbdcatalogue.RNBD  // the same, with the names of mainline Linux
	SRP   = srpcatalogue.SRP     // the SCSI RDMA Protocol
)

var catalogue = sync.OnceValue(func() *clauses.Catalogue {
	var parts []clauses.Part
	for _, p := range Protocols() {
		parts = append(parts, p.Clauses)
	}
	return clauses.MustNew(parts...)
})

// Catalogue is the clauses of all protocols.
func Catalogue() *clauses.Catalogue { return catalogue() }

// labOf is how specs of a protocol are run; nil if nothing has any of that name.
func labOf(name string) *kit.Protocol {
	p, _ := protocol.Named(Protocols(), name)
	return p.Lab
}
