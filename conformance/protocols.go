// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"github.com/ibnbd/ibnbd/conformance/ibnbd"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/srp"
)

// Protocols are all that the suite knows. The first is the one that is judged where nothing else is asked for.
func Protocols() []protocol.Protocol { return []protocol.Protocol{ibnbd.Protocol, srp.Protocol} }

// labOf is how specs of a protocol are run; nil if nothing has any of that name.
func labOf(name string) *kit.Protocol {
	p, _ := protocol.Named(Protocols(), name)
	return p.Lab
}
