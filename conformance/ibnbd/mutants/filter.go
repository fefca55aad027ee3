// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// filter alters packets on their way to and from devices. What is altered on the way in makes an implementation
// that misjudges: a server to which every magic looks right takes any magic.
//
// What it calls runs in goroutines of the devices, while mu is held.
type filter struct {
	devices []*soft.Device
	dead    atomic.Bool

	mu sync.Mutex
}

func newFilter(devices ...*soft.Device) *filter {
	f := &filter{devices: devices}
	gone := func(*soft.Packet) bool { return f.dead.Load() }
	for _, d := range devices {
		for _, stage := range []soft.Stage{soft.Arrived, soft.Sealed} {
			d.Inject(soft.Fault{Stage: stage, Match: gone, Drop: true})
		}
	}
	return f
}

// alterReceived alters packets before the device gets them.
func (f *filter) alterReceived(match func(*soft.Packet) bool, change func(*soft.Packet)) {
	for _, d := range f.devices {
		d.Inject(soft.Fault{Stage: soft.Arrived, Match: match, Change: func(p *soft.Packet) {
			f.mu.Lock()
			defer f.mu.Unlock()
			change(p)
		}})
	}
}

// alterSent looks at packets that the device sends, or alters them before they are sealed.
func (f *filter) alterSent(match func(*soft.Packet) bool, told func(*soft.Packet)) {
	for _, d := range f.devices {
		d.Inject(soft.Fault{Stage: soft.Made, Match: match, Change: func(p *soft.Packet) {
			f.mu.Lock()
			defer f.mu.Unlock()
			told(p)
		}})
	}
}

// alterSentReplies alters replies of the block protocol, which have a size of their own, on their way out.
func (f *filter) alterSentReplies(size int, change func(message []byte)) {
	match := func(p *soft.Packet) bool { return p.OpCode() == roce.RCWriteOnly && len(p.Data()) == size }
	f.alterSent(match, func(p *soft.Packet) { change(p.Data()) })
}

// lose loses the first packets that match on their way in.
func (f *filter) lose(count int, match func(*soft.Packet) bool) {
	for _, d := range f.devices {
		d.Inject(soft.Fault{Stage: soft.Arrived, Match: match, Count: count, Drop: true})
	}
}

// die takes the devices off the network, without a word: nothing that was sent to them arrives, and nothing leaves.
func (f *filter) die() { f.dead.Store(true) }

// Places in a datagram of connection management.
const (
	madAttribute = 16            // of the kind of message, big-endian
	reqPrivate   = 24 + 140 + 36 // of the application's private data in a connection request
	repPrivate   = 24 + 36       // in a reply
	rejReason    = 24 + 10       // of the reason of a reject, big-endian
	rejPrivate   = 24 + 84
)

// managed matches datagrams of connection management of a kind.
func managed(kind roce.AttributeID) func(*soft.Packet) bool {
	return func(p *soft.Packet) bool {
		mad := p.Data()
		return p.OpCode().Class() == roce.ClassUD && len(mad) >= reqPrivate &&
			roce.AttributeID(binary.BigEndian.Uint16(mad[madAttribute:])) == kind
	}
}

// alterConnRequests alters connection requests before the server gets to see them.
func (f *filter) alterConnRequests(change func(r *ibtrs.ConnRequest)) {
	f.alterReceived(managed(roce.AttrREQ), func(p *soft.Packet) {
		private := p.Data()[reqPrivate : reqPrivate+ibtrs.ConnRequestSize]
		r, _ := ibtrs.ParseConnRequest(private) // also what the parser refuses is complete
		change(&r)
		copy(private, tester.Marshal(r))
	})
}

// onDisconnect is told of every disconnect request.
func (f *filter) onDisconnect(told func()) {
	f.alterReceived(managed(roce.AttrDREQ), func(*soft.Packet) { told() })
}

// alterInfoRequests alters INFO requests of the right length.
func (f *filter) alterInfoRequests(change func(message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnly && len(p.Data()) == ibtrs.InfoRequestSize
	}
	f.alterReceived(match, func(p *soft.Packet) { change(p.Data()) })
}

// alterImmediates alters immediates.
func (f *filter) alterImmediates(change func(imm ibtrs.Immediate) ibtrs.Immediate) {
	f.alterReceived(withImmediate, func(p *soft.Packet) {
		binary.BigEndian.PutUint32(immediateOf(p), uint32(change(immediateNumber(p))))
	})
}

func withImmediate(p *soft.Packet) bool { return p.OpCode().Ext().Has(roce.ExtImmDt) }

// immediateOf is the immediate in the headers of a packet: the last of them.
func immediateOf(p *soft.Packet) []byte {
	headers := p.OpCode().HeaderLen() - roce.BTHLen
	return p.Ext()[headers-4 : headers]
}

func immediateNumber(p *soft.Packet) ibtrs.Immediate {
	return ibtrs.Immediate(binary.BigEndian.Uint32(immediateOf(p)))
}

// alterAccepts alters accepts before the client gets to see them.
func (f *filter) alterAccepts(change func(r *ibtrs.ConnResponse)) {
	f.alterReceived(managed(roce.AttrREP), func(p *soft.Packet) { alterResponse(p.Data()[repPrivate:], change) })
}

// alterRejects alters rejects before the client gets to see them.
func (f *filter) alterRejects(change func(reason roce.RejReason, r *ibtrs.ConnResponse) roce.RejReason) {
	f.alterReceived(managed(roce.AttrREJ), func(p *soft.Packet) {
		at := p.Data()[rejReason:]
		alterResponse(p.Data()[rejPrivate:], func(r *ibtrs.ConnResponse) {
			binary.BigEndian.PutUint16(at, uint16(change(roce.RejReason(binary.BigEndian.Uint16(at)), r)))
		})
	})
}

func alterResponse(private []byte, change func(r *ibtrs.ConnResponse)) {
	r, _ := ibtrs.ParseConnResponse(private) // also what the parser refuses is complete
	change(&r)
	copy(private, tester.Marshal(r))
}

// alterInfoResponses alters INFO responses before the client gets to see them.
func (f *filter) alterInfoResponses(change func(message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnly && len(p.Data()) >= ibtrs.InfoResponseSize+ibtrs.DescriptorSize
	}
	f.alterReceived(match, func(p *soft.Packet) { change(p.Data()) })
}

// alterKeyResponses alters key responses before the client gets to see them.
func (f *filter) alterKeyResponses(change func(p *soft.Packet, message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnlyImm && len(p.Data()) == ibtrs.KeyResponseSize
	}
	f.alterReceived(match, func(p *soft.Packet) { change(p, p.Data()) })
}

// alterReplies alters replies of the block protocol, which have a size of their own, before the client gets to see them.
func (f *filter) alterReplies(size int, change func(message []byte)) {
	match := func(p *soft.Packet) bool { return p.OpCode() == roce.RCWriteOnly && len(p.Data()) == size }
	f.alterReceived(match, func(p *soft.Packet) { change(p.Data()) })
}

// breaks makes an RDMA write one that its receiver must refuse, which ends the connection.
func breaks(p *soft.Packet) {
	const atLength = 12 // in the RETH
	binary.BigEndian.PutUint32(p.Ext()[atLength:], 64)
}
