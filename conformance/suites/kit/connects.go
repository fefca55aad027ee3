// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// CountConnectRequests counts the connection requests (CM REQ) on all rails from now on, retransmissions included. The
// counting ends with the spec.
func (p *Pair) CountConnectRequests() (count func() int64) {
	var n atomic.Int64
	for rail := range p.Lab.Rails() {
		p.addConnectRequests(rail, &n)
	}
	return n.Load
}

// CountConnectRequestsOn does so on one rail.
func (p *Pair) CountConnectRequestsOn(rail int) (count func() int64) {
	var n atomic.Int64
	p.addConnectRequests(rail, &n)
	return n.Load
}

func (p *Pair) addConnectRequests(rail int, n *atomic.Int64) {
	p.atEnd(p.Lab.Rails()[rail].Hook(func(f *fabric.Frame) {
		if isConnectRequest(f.Data) {
			n.Add(1)
		}
	}))
}

func isConnectRequest(frame []byte) bool {
	var packet roce.Packet
	if packet.Decode(frame) != nil || !packet.IsMAD() {
		return false
	}
	mad, _, err := roce.DecodeCM(packet.Payload)
	return err == nil && mad.AttributeID == roce.AttrREQ
}
