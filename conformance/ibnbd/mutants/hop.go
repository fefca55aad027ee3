// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// hop stands in front of devices and alters packets on their way in. What is altered on the way in makes an implementation
// that misjudges: a server to which every magic looks right takes any magic.
//
// What it calls runs in goroutines of the devices, while mu is held.
type hop struct {
	devices []*soft.Device
	dead    atomic.Bool

	mu sync.Mutex
}

func newHop(devices ...*soft.Device) *hop {
	h := &hop{devices: devices}
	gone := func(*soft.Packet) bool { return h.dead.Load() }
	for _, d := range devices {
		for _, stage := range []soft.Stage{soft.Arrived, soft.Sealed} {
			d.Inject(soft.Fault{Stage: stage, Match: gone, Drop: true})
		}
	}
	return h
}

// inbound alters packets before the device gets them.
func (h *hop) inbound(match func(*soft.Packet) bool, change func(*soft.Packet)) {
	for _, d := range h.devices {
		d.Inject(soft.Fault{Stage: soft.Arrived, Match: match, Change: func(p *soft.Packet) {
			h.mu.Lock()
			defer h.mu.Unlock()
			change(p)
		}})
	}
}

// outbound looks at packets that the device sends, or alters them before they are sealed.
func (h *hop) outbound(match func(*soft.Packet) bool, told func(*soft.Packet)) {
	for _, d := range h.devices {
		d.Inject(soft.Fault{Stage: soft.Made, Match: match, Change: func(p *soft.Packet) {
			h.mu.Lock()
			defer h.mu.Unlock()
			told(p)
		}})
	}
}

// altersReply alters replies of the block protocol, which have a size of their own, on their way out.
func (h *hop) altersReply(size int, change func(message []byte)) {
	match := func(p *soft.Packet) bool { return p.OpCode() == roce.RCWriteOnly && len(p.Data()) == size }
	h.outbound(match, func(p *soft.Packet) { change(p.Data()) })
}

// lose loses the first packets that match on their way in.
func (h *hop) lose(count int, match func(*soft.Packet) bool) {
	for _, d := range h.devices {
		d.Inject(soft.Fault{Stage: soft.Arrived, Match: match, Count: count, Drop: true})
	}
}

// die takes the devices off the network, without a word: nothing that was sent to them arrives, and nothing leaves.
func (h *hop) die() { h.dead.Store(true) }

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

// seesConnect alters connection requests before the server gets to see them.
func (h *hop) seesConnect(change func(r *ibtrs.ConnRequest)) {
	h.inbound(managed(roce.AttrREQ), func(p *soft.Packet) {
		private := p.Data()[reqPrivate : reqPrivate+ibtrs.ConnRequestSize]
		r, _ := ibtrs.ParseConnRequest(private) // also what the parser refuses is complete
		change(&r)
		copy(private, tester.Marshal(r))
	})
}

// seesDisconnect is told of every disconnect request.
func (h *hop) seesDisconnect(told func()) {
	h.inbound(managed(roce.AttrDREQ), func(*soft.Packet) { told() })
}

// seesInfo alters INFO requests of the right length.
func (h *hop) seesInfo(change func(message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnly && len(p.Data()) == ibtrs.InfoRequestSize
	}
	h.inbound(match, func(p *soft.Packet) { change(p.Data()) })
}

// seesImmediate alters immediates.
func (h *hop) seesImmediate(change func(imm ibtrs.Immediate) ibtrs.Immediate) {
	h.inbound(withImmediate, func(p *soft.Packet) {
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

// seesAccept alters accepts before the client gets to see them.
func (h *hop) seesAccept(change func(r *ibtrs.ConnResponse)) {
	h.inbound(managed(roce.AttrREP), func(p *soft.Packet) { alterResponse(p.Data()[repPrivate:], change) })
}

// seesReject alters rejects before the client gets to see them.
func (h *hop) seesReject(change func(reason roce.RejReason, r *ibtrs.ConnResponse) roce.RejReason) {
	h.inbound(managed(roce.AttrREJ), func(p *soft.Packet) {
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

// seesRegions alters INFO responses before the client gets to see them.
func (h *hop) seesRegions(change func(message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnly && len(p.Data()) >= ibtrs.InfoResponseSize+ibtrs.DescriptorSize
	}
	h.inbound(match, func(p *soft.Packet) { change(p.Data()) })
}

// seesKey alters key responses before the client gets to see them.
func (h *hop) seesKey(change func(p *soft.Packet, message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnlyImm && len(p.Data()) == ibtrs.KeyResponseSize
	}
	h.inbound(match, func(p *soft.Packet) { change(p, p.Data()) })
}

// seesReply alters replies of the block protocol, which have a size of their own, before the client gets to see them.
func (h *hop) seesReply(size int, change func(message []byte)) {
	match := func(p *soft.Packet) bool { return p.OpCode() == roce.RCWriteOnly && len(p.Data()) == size }
	h.inbound(match, func(p *soft.Packet) { change(p.Data()) })
}

// breaks makes an RDMA write one that its receiver must refuse, which ends the connection.
func breaks(p *soft.Packet) {
	const atLength = 12 // in the RETH
	binary.BigEndian.PutUint32(p.Ext()[atLength:], 64)
}

// written is a request as it comes in the last packet that writes it: the two messages, to be altered in place.
type written struct {
	imm     ibtrs.Immediate
	header  []byte // the block message
	message []byte // the transport message
	address uint64 // that the client writes to, if the packet has it
	key     []byte // that it writes with, if the packet has it
}

// seesRequest alters requests before the server gets to see them. Those whose transport message is not to be found are
// left alone.
func (h *hop) seesRequest(change func(w *written)) {
	h.inbound(withImmediate, func(p *soft.Packet) {
		w := &written{imm: immediateNumber(p)}
		if w.imm.Type() != ibtrs.ImmRequest || !w.split(p.Data()) {
			return
		}
		if p.OpCode() == roce.RCWriteOnlyImm {
			w.address, w.key = binary.BigEndian.Uint64(p.Ext()), p.Ext()[8:12]
		}
		change(w)
		binary.BigEndian.PutUint32(immediateOf(p), uint32(w.imm))
	})
}

// split finds the transport message at the end of a packet, and the block message in front of it.
func (w *written) split(data []byte) bool {
	for _, length := range []int{ibtrs.ReadMessageSize + ibtrs.DescriptorSize, ibtrs.ReadMessageSize, ibtrs.WriteMessageSize} {
		at := len(data) - length
		if at < 1 {
			continue
		}
		kind, header := binary.LittleEndian.Uint16(data[at:]), int(binary.LittleEndian.Uint16(data[at+2:]))
		read := length != ibtrs.WriteMessageSize
		if read != (kind == ibtrs.TypeRead) || !read && kind != ibtrs.TypeWrite || header < 1 || header > at {
			continue
		}
		if read && header != at {
			continue // a read carries nothing in front of its header
		}
		w.header, w.message = data[at-header:at], data[at:]
		return true
	}
	return false
}

// chunk is the number of the chunk that the request lies in.
func (w *written) chunk(b *bed) uint32 { return w.imm.Payload() >> b.Transport.Geometry.Shift() }

// reads says whether the request is a transport read.
func (w *written) reads() bool { return len(w.message) != ibtrs.WriteMessageSize }

// is says whether the block message is of a kind and has at least its fixed part.
func (w *written) is(kind uint16) bool {
	sizes := map[uint16]int{
		ibnbd.TypeSessInfo: ibnbd.SessInfoSize, ibnbd.TypeOpen: ibnbd.OpenRequestSize,
		ibnbd.TypeIO: ibnbd.ShortIORequestSize, ibnbd.TypeClose: ibnbd.CloseRequestSize,
	}
	return len(w.header) >= sizes[kind] && sizes[kind] > 0 && binary.LittleEndian.Uint16(w.header) == kind
}

// op is the operation of an IO message; it is none for other messages.
func (w *written) op() (op ibnbd.Op, ok bool) {
	if !w.is(ibnbd.TypeIO) {
		return 0, false
	}
	m, err := ibnbd.ParseIORequest(w.header)
	return m.Op(), err == nil
}

// A field of a message, by the names in the tables of the wire format.
type field struct{ layout.Field }

func of(p layout.Protocol, message, name string) field {
	f, known := p.MustMessage(message).Field(name)
	if !known {
		panic("no field " + name + " in " + message)
	}
	return field{f}
}

// get gives the number that the field holds, 0 where the message is too short for it.
func (f field) get(message []byte) uint64 {
	if len(message) < f.End() {
		return 0
	}
	return f.Uint(message)
}

// set changes the field of a message that is long enough to have it.
func (f field) set(message []byte, value uint64) {
	if len(message) < f.End() {
		return
	}
	var wide [8]byte
	binary.LittleEndian.PutUint64(wide[:], value)
	copy(message[f.Offset:f.End()], wide[:])
}

// Fields of requests. All of them are little-endian.
var (
	messageFlags = of(ibtrs.Layout, "read_message", "flags")
	messageCount = of(ibtrs.Layout, "read_message", "count")

	descriptorLength = of(ibtrs.Layout, "descriptor", "length")

	blockType      = of(ibnbd.Layout, "io", "type")
	blockPadding   = of(ibnbd.Layout, "io", "padding")
	openAccess     = of(ibnbd.Layout, "open", "access_mode")
	openDevicePath = of(ibnbd.Layout, "open", "device_path")
	ioSector       = of(ibnbd.Layout, "io", "sector")
	ioOpFlags      = of(ibnbd.Layout, "io", "op_flags")
	ioSize         = of(ibnbd.Layout, "io", "size")
	ioTail         = of(ibnbd.Layout, "io", "tail")
)

// descriptor is the first descriptor of a read; nil if it has none.
func (w *written) descriptor() []byte {
	if len(w.message) < ibtrs.ReadMessageSize+ibtrs.DescriptorSize {
		return nil
	}
	return w.message[ibtrs.ReadMessageSize:]
}

// devicePath is what an OPEN wants to have opened.
func (w *written) devicePath() string {
	m, _ := ibnbd.ParseOpenRequest(w.header)
	return m.DevicePath.String()
}
