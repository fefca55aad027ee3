// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// request is a request as it comes in the last packet that writes it: the two messages, to be altered in place.
type request struct {
	imm     ibtrs.Immediate
	header  []byte // the block message
	message []byte // the transport message
	address uint64 // that the client writes to, if the packet has it
	key     []byte // that it writes with, if the packet has it
}

// alterRequests alters requests before the server gets to see them. Those whose transport message is not to be found are
// left alone.
func (f *filter) alterRequests(change func(w *request)) {
	f.alterReceived(withImmediate, func(p *soft.Packet) {
		w := &request{imm: immediateNumber(p)}
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
func (w *request) split(data []byte) bool {
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
func (w *request) chunk(b *brokenServer) uint32 {
	return w.imm.Payload() >> b.Transport.Geometry.Shift()
}

// reads says whether the request is a transport read.
func (w *request) reads() bool { return len(w.message) != ibtrs.WriteMessageSize }

// is says whether the block message is of a kind and has at least its fixed part.
func (w *request) is(kind uint16) bool {
	sizes := map[uint16]int{
		ibnbd.TypeSessInfo: ibnbd.SessInfoSize, ibnbd.TypeOpen: ibnbd.OpenRequestSize,
		ibnbd.TypeIO: ibnbd.ShortIORequestSize, ibnbd.TypeClose: ibnbd.CloseRequestSize,
	}
	return len(w.header) >= sizes[kind] && sizes[kind] > 0 && binary.LittleEndian.Uint16(w.header) == kind
}

// op is the operation of an IO message; it is none for other messages.
func (w *request) op() (op ibnbd.Op, ok bool) {
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
	openIOMode     = of(ibnbd.Layout, "open", "io_mode")
	openDevicePath = of(ibnbd.Layout, "open", "device_path")
	ioSector       = of(ibnbd.Layout, "io", "sector")
	ioDevice       = of(ibnbd.Layout, "io", "device_id")
	ioOpFlags      = of(ibnbd.Layout, "io", "op_flags")
	ioSize         = of(ibnbd.Layout, "io", "size")
	ioTail         = of(ibnbd.Layout, "io", "tail")
)

// descriptor is the first descriptor of a read; nil if it has none.
func (w *request) descriptor() []byte {
	if len(w.message) < ibtrs.ReadMessageSize+ibtrs.DescriptorSize {
		return nil
	}
	return w.message[ibtrs.ReadMessageSize:]
}

// devicePath is what an OPEN wants to have opened.
func (w *request) devicePath() string {
	m, _ := ibnbd.ParseOpenRequest(w.header)
	return m.DevicePath.String()
}
