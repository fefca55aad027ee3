// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/conformance/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Places in a datagram of connection management.
const (
	madAttribute = 16            // of the kind of message, big-endian
	reqPrivate   = 24 + 140 + 36 // of the application's private data in a connection request
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
func (b *bed) seesConnect(change func(r *ibtrs.ConnRequest)) {
	b.inbound(managed(roce.AttrREQ), func(p *soft.Packet) {
		private := p.Data()[reqPrivate : reqPrivate+ibtrs.ConnRequestSize]
		r, _ := ibtrs.ParseConnRequest(private) // also what the parser refuses is complete
		change(&r)
		copy(private, tester.Marshal(r))
	})
}

// seesDisconnect is told of every disconnect request.
func (b *bed) seesDisconnect(told func()) {
	b.inbound(managed(roce.AttrDREQ), func(*soft.Packet) { told() })
}

// seesInfo alters INFO requests of the right length.
func (b *bed) seesInfo(change func(message []byte)) {
	match := func(p *soft.Packet) bool {
		return p.OpCode() == roce.RCSendOnly && len(p.Data()) == ibtrs.InfoRequestSize
	}
	b.inbound(match, func(p *soft.Packet) { change(p.Data()) })
}

// seesImmediate alters immediates that come with RDMA writes.
func (b *bed) seesImmediate(change func(imm ibtrs.Immediate) ibtrs.Immediate) {
	b.inbound(withImmediate, func(p *soft.Packet) {
		binary.BigEndian.PutUint32(immediateOf(p), uint32(change(immediateNumber(p))))
	})
}

func withImmediate(p *soft.Packet) bool {
	return p.OpCode() == roce.RCWriteOnlyImm || p.OpCode() == roce.RCWriteLastImm
}

// immediateOf is the immediate in the headers of a packet: the last of them.
func immediateOf(p *soft.Packet) []byte {
	headers := p.OpCode().HeaderLen() - roce.BTHLen
	return p.Ext()[headers-4 : headers]
}

func immediateNumber(p *soft.Packet) ibtrs.Immediate {
	return ibtrs.Immediate(binary.BigEndian.Uint32(immediateOf(p)))
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
func (b *bed) seesRequest(change func(w *written)) {
	b.inbound(withImmediate, func(p *soft.Packet) {
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
