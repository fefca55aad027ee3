// SPDX-License-Identifier: Apache-2.0

// Package match finds messages of IBNBD in recordings, for tests of the passive judge and for mutants that alter recordings. It does not
// use the judge's own decoder, so that a fault of that decoder cannot hide a message from its test.
package match

import (
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Request matches requests of IBTRS whose transport message is in one packet or its last. For a kind of 4, I/O, op is the operation.
func Request(kind byte, op byte) func(p *roce.Packet) bool {
	return func(p *roce.Packet) bool {
		if p.BTH.OpCode != roce.RCWriteOnlyImm && p.BTH.OpCode != roce.RCWriteLastImm || p.ImmDt.Value>>28 != 0 || len(p.Payload) < 12 {
			return false
		}
		h := Header(p)
		return h != nil && h[0] == kind && (kind != 4 || h[16] == op)
	}
}

// Header returns the block message in the last packet of a request.
func Header(p *roce.Packet) []byte {
	b := p.Payload
	for _, message := range []int{24, 8, 4} {
		at := len(b) - message
		if at < 4 {
			continue
		}
		kind, u := b[at], int(b[at+2])|int(b[at+3])<<8
		if (message == 4) == (kind == ibtrs.TypeWrite) && (kind == ibtrs.TypeRead || kind == ibtrs.TypeWrite) && b[at+1] == 0 && u <= at && u >= 8 && (message == 4 || int(b[at+6]) == (message-8)/16) {
			return b[at-u : at]
		}
	}
	return nil
}

// Response matches the answers of a target with key refresh.
func Response(p *roce.Packet) bool {
	return p.BTH.OpCode == roce.RCSendOnlyImm && (p.ImmDt.Value>>28 == 1 || p.ImmDt.Value>>28 == 2)
}
