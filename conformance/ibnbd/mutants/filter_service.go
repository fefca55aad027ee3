// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// toService says whether a packet is an INFO request, by which a server knows connection 0.
func toService(p *soft.Packet) bool {
	return p.OpCode() == roce.RCSendOnly && len(p.Data()) == ibtrs.InfoRequestSize
}

// fromService says whether a packet is an INFO response, by which a client knows connection 0.
func fromService(p *soft.Packet) bool {
	return p.OpCode() == roce.RCSendOnly && len(p.Data()) >= ibtrs.InfoResponseSize+ibtrs.DescriptorSize
}

// deafElsewhere takes heartbeats for immediates without a meaning that come on another connection than that on which a chosen
// message came.
func deafElsewhere(f *filter, service func(*soft.Packet) bool) {
	services := make(map[uint32]bool) // their queue pairs; guarded by the filter's lock
	f.alterReceived(service, func(p *soft.Packet) { services[p.DestQP()] = true })
	f.alterReceived(withImmediate, func(p *soft.Packet) {
		if immediateNumber(p) == ibtrs.Heartbeat && !services[p.DestQP()] {
			binary.BigEndian.PutUint32(immediateOf(p), uint32(ibtrs.MakeImmediate(3, 0)))
		}
	})
}
