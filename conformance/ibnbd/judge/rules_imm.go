// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"math/bits"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// immRules judge immediate data.
var immRules = []rule{
	{"IBTRS-IMM-001", on(RequestSent, Heartbeat, HeartbeatAck, Stray), checkByteOrder},
	{"IBTRS-IMM-002", on(RequestSent), checkChunkNumber},
	{"IBTRS-IMM-003", on(RequestAnswered), checkMessageID},
	{"IBTRS-IMM-004", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		const largest = 133 // of Linux: EHWPOISON
		if n := e.Response.Errno; n != 0 {
			if !r.Kept(n <= largest) {
				r.Breaks("error number of the response is %d", uint16(n))
			}
		}
	}},
	{"IBTRS-IMM-011", on(Heartbeat, HeartbeatAck), func(e *Event, r *audit.Ruling) {
		i := ibtrs.Immediate(e.Message.Immediate)
		if !r.Kept(i.Payload() == 0) {
			r.Breaks("immediate of a heartbeat is %#08x", uint32(i))
		}
	}},
}

// swapped reports whether the immediate makes sense only when it is read in the other byte order.
func swapped(e *Event) bool {
	i := ibtrs.Immediate(bits.ReverseBytes32(e.Message.Immediate))
	if e.Message.Length == 0 {
		return i == ibtrs.Heartbeat || i == ibtrs.HeartbeatAck
	}
	q := e.Request
	if q == nil || !q.Parsed || i.Type() != ibtrs.ImmRequest {
		return false
	}
	g, known := e.Session.Geometry()
	if !known {
		return false
	}
	chunk, offset, err := g.Request(i)
	asIs := q.ChunkKnown && q.Direction == ibtrs.Write && int(q.Offset) == q.Length-ibtrs.WriteMessageSize
	if err != nil || asIs {
		return false
	}
	if q.Direction == ibtrs.Write {
		return int(offset) == q.Length-ibtrs.WriteMessageSize
	}
	base, _, placed, _ := e.build.chunk(chunk, g.ChunkSize())
	return placed && q.VA == base+uint64(offset)-uint64(q.HeaderLen)
}

func checkByteOrder(e *Event, r *audit.Ruling) {
	if e.Session == nil || e.Message.HeadMissing || e.Message.Cut || !e.Message.HasImm {
		return
	}
	if swapped(e) && (e.Request == nil || !requestInPlace(e)) {
		r.Breaks("immediate %#08x has its bytes in the wrong order", e.Message.Immediate)
		return
	}
	if e.Kind == RequestSent {
		if e.Request.Place == Right {
			r.HoldsFor(e.From)
		}
		return
	}
	if e.Kind != Stray {
		r.Holds()
	}
}

func requestInPlace(e *Event) bool { return e.Request.Place == Right }

// checkChunkNumber: the immediate names a chunk that exists, the one that the request was written to.
func checkChunkNumber(e *Event, r *audit.Ruling) {
	q := e.Request
	g, known := e.Session.Geometry()
	if !known || q.Incomplete || swapped(e) && !requestInPlace(e) {
		return
	}
	if !q.ChunkKnown {
		r.Breaks("immediate %#08x names chunk %d of %d", e.Message.Immediate, q.Chunk, g.QueueDepth)
		return
	}
	if q.Place == Wrong {
		if k, found := otherChunk(e.build, q, g); found {
			r.Breaks("immediate %#08x names chunk %d, the request was written to chunk %d", e.Message.Immediate, q.Chunk, k)
		}
		return
	}
	if q.Place == Right {
		r.Holds()
	}
}

// otherChunk finds the chunk in whose right place a request was written, if its immediate names another.
func otherChunk(b *build, q *Request, g ibtrs.Geometry) (uint32, bool) {
	k, found := b.chunkAt(q.VA, q.start(), g.ChunkSize())
	return k, found && k != q.Chunk && k < uint32(g.QueueDepth)
}

// checkMessageID: a response names a request that waits for it.
func checkMessageID(e *Event, r *audit.Ruling) {
	a := &e.Response
	g, known := e.Session.Geometry()
	switch {
	case known && a.ID >= uint32(g.QueueDepth):
		r.Breaks("response names request %d, the queue depth is %d", a.ID, g.QueueDepth)
	case !known:
	case e.Request != nil:
		if a.Errno == 0 {
			r.Holds()
		}
	case a.OtherLane != nil || e.Flow.Back() == nil:
	case !e.Flow.Back().Started() || e.conversation().lane.blind > 0 || e.build.lost:
		r.Unsure("response to request %d, which was not seen", a.ID)
	default:
		e.ghost = r.Suspect([]audit.Stream{e.Flow.Back()}, audit.Always, "response names request %d, which is not outstanding", a.ID)
	}
}

// ofOperation is the name of a message's operation for messages.
func ofOperation(m *audit.Message) string {
	if m.Operation == roce.OperationSend {
		return "SEND"
	}
	return "RDMA WRITE"
}
