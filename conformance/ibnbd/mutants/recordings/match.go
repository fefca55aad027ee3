// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// fresh makes private data name a new path of a new session.
func fresh(private []byte) {
	private[12] ^= 0x55
	private[28] ^= 0x55
}

func beat(kind uint32) func(p *roce.Packet) bool {
	return func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnlyImm && p.ImmDt.Value>>28 == kind }
}

func infoRequest(p *roce.Packet) bool {
	return p.BTH.OpCode == roce.RCSendOnly && len(p.Payload) == ibtrs.InfoRequestSize
}

func infoResponse(p *roce.Packet) bool {
	return p.BTH.OpCode == roce.RCSendFirst && p.Payload[0] == ibtrs.TypeInfoResponse
}
