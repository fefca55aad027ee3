// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Stray takes a packet of a queue pair whose connection was not seen: the capture began later. Session, path and
// permits are not known, and nobody is judged; but an I/O request says by itself what it wants, if its end is in one packet.
func (t *follower) Stray(p *roce.Packet) {
	op := p.BTH.OpCode
	if op != roce.RCWriteOnlyImm && op != roce.RCWriteLastImm || ibtrs.Immediate(p.ImmDt.Value).Type() != ibtrs.ImmRequest {
		return
	}
	r := t.newRequest()
	defer t.releaseRequest(r)
	*r = Request{Length: len(p.Payload), At: t.Now(), LastAt: t.Now(), MessageType: 0xFFFF, Incomplete: true}
	r.parse(&audit.Message{Data: p.Payload, Length: len(p.Payload), HeadMissing: op == roce.RCWriteLastImm})
	if !r.HasIO || !r.IO.Op().Valid() || r.MessageType != ibnbd.TypeIO || r.IO.Padding != [2]byte{} {
		return
	}
	e := t.fresh(EarlierRequest)
	e.Request, e.From = r, audit.Initiator
	e.Between = [2]string{p.Src.String(), p.Dst.String()}
	t.Emit(e.Event)
}
