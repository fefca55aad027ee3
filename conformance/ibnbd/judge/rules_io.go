// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// ioRules judge requests and responses of the transport.
var ioRules = []rule{
	{"IBTRS-IO-001", on(RequestSent), placed(ibtrs.Write, func(e *Event, r *audit.Ruling, s shape) {
		if !r.Kept(!s.addressOdd) {
			r.Breaks("write of chunk %d begins at %#x, which is not the chunk's address", e.Request.Chunk, e.Request.VA)
		}
	})},
	{"IBTRS-IO-002", on(RequestSent), placed(ibtrs.Read, func(e *Event, r *audit.Ruling, s shape) {
		q := e.Request
		want := q.HeaderLen + ibtrs.ReadMessageSize + q.Count*ibtrs.DescriptorSize
		if !r.Kept(!s.addressOdd && q.Length == want) {
			r.Breaks("read of chunk %d writes %d bytes at %#x, not its %d bytes of header and message behind the room for data",
				q.Chunk, q.Length, q.VA, want)
		}
	})},
	{"IBTRS-IO-003", on(RequestSent), placed(0, func(e *Event, r *audit.Ruling, s shape) {
		if !r.Kept(!s.offsetOdd) {
			r.Breaks("offset in the immediate is %d, data and user header have %d and %d bytes", e.Request.Offset, s.data, e.Request.HeaderLen)
		}
	})},
	{"IBTRS-IO-005", on(RequestSent, Stray), checkOneWrite},
	{"IBTRS-IO-006", on(RequestSent), placed(ibtrs.Read, func(e *Event, r *audit.Ruling, s shape) {
		q := e.Request
		if s.data > 0 {
			if !r.Kept(q.Count == 1 && !s.descriptorOdd && q.Flags&^ibtrs.NeedInvalidate == 0) {
				r.Breaks("read of %d bytes has %d descriptors, the first of %d bytes, and flags %#04x",
					s.data, q.Count, q.Descriptor.Length, q.Flags)
			}
		}
	})},
	{"IBTRS-IO-038", on(RequestSent), placed(ibtrs.Read, func(e *Event, r *audit.Ruling, s shape) {
		if s.data > 0 && e.Request.Count == 1 {
			if !r.Kept(e.Request.Flags&ibtrs.NeedInvalidate != 0) {
				r.Breaks("read of %d bytes does not ask for an invalidation", s.data)
			}
		}
	})},
	{"IBTRS-IO-007", on(RequestSent), placed(0, func(e *Event, r *audit.Ruling, s shape) {
		if q := e.Request; s.data == 0 {
			if !r.Kept(q.Direction == ibtrs.Write || q.Count == 0 && q.Flags == 0) {
				r.Breaks("read without data has %d descriptors and flags %#04x", q.Count, q.Flags)
			}
		}
	})},
	{"IBTRS-IO-008", on(RequestAnswered), checkSameLane},
	{"IBTRS-IO-010", on(RequestAnswered), answered(func(e *Event, r *audit.Ruling) {
		a, q := &e.Response, e.Request
		if q.Direction == ibtrs.Read && q.Count == 1 && a.Errno == 0 {
			if !r.Kept(a.DataLen == int(q.Descriptor.Length) && !a.DataOutside) {
				r.Breaks("read of %d bytes was answered with %d bytes of data", q.Descriptor.Length, a.DataLen)
			}
		}
	})},
	{"IBTRS-IO-011", on(RequestAnswered), answered(func(e *Event, r *audit.Ruling) {
		a, q := &e.Response, e.Request
		if q.Direction == ibtrs.Read && q.Count == 1 && q.Flags&ibtrs.NeedInvalidate != 0 {
			if !r.Kept(a.Invalidated && a.SawInvalid) {
				r.Breaks("response type 2: %v, key %#x invalidated before it: %v", a.Invalidated, q.Descriptor.RKey, a.SawInvalid)
			}
		}
	})},
	{"IBTRS-IO-012", on(RequestAnswered), answered(func(e *Event, r *audit.Ruling) {
		a, q := &e.Response, e.Request
		if q.Direction == ibtrs.Write || q.Flags&ibtrs.NeedInvalidate == 0 {
			if !r.Kept(!a.Invalidated && !a.SawInvalid) {
				r.Breaks("response type 2: %v, invalidation: %v, to a request that did not ask for it", a.Invalidated, a.SawInvalid)
			}
		}
	})},
	{"IBTRS-IO-013", on(RequestAnswered), answered(func(e *Event, r *audit.Ruling) {
		a, q := &e.Response, e.Request
		if q.Direction == ibtrs.Read && q.Count > 0 && a.Errno != 0 {
			if !r.Kept(a.DataLen == 0) {
				r.Breaks("read that failed with %v came with %d bytes of data", a.Errno, a.DataLen)
			}
		}
	})},
	{"IBTRS-IO-014", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		if knownMode(e) && !e.build.keyRefresh {
			if !r.Kept(!e.Response.Send && e.Response.Length == 0) {
				r.Breaks("response is a %s of %d bytes, without key refresh", ofOperation(e.Message), e.Response.Length)
			}
		}
	}},
	{"IBTRS-IO-017", on(RequestSent), func(e *Event, r *audit.Ruling) {
		if e.Request.HasLastKey {
			if !r.Kept(!e.Request.SameKey) {
				r.Breaks("read has key %#x, as the read before with permit %d", e.Request.Descriptor.RKey, e.Request.Chunk)
			}
		}
	}},
	{"IBTRS-IO-018", on(RequestSent), func(e *Event, r *audit.Ruling) {
		q := e.Request
		g, known := e.Session.Geometry()
		if !known || !q.ChunkKnown {
			return
		}
		switch {
		case !q.Reused || q.ReusedBusy <= int(g.QueueDepth):
			r.Holds()
		case q.inAnotherFile(e):
			r.UnsureOfOrder("%d requests are outstanding, the queue depth is %d", q.ReusedBusy, g.QueueDepth)
		case q.onOtherPath():
			breaksUnlessGivenUp(e, r, answersOf(e.Session), "%d requests are outstanding, the queue depth is %d", q.ReusedBusy, g.QueueDepth)
		default:
			r.BreaksUnlessMissed(answersOf(e.Session), e.Seq, "%d requests are outstanding, the queue depth is %d", q.ReusedBusy, g.QueueDepth)
		}
	}},
	{"IBTRS-IO-019", on(RequestSent), func(e *Event, r *audit.Ruling) {
		q := e.Request
		switch {
		case !q.ChunkKnown:
		case q.inAnotherFile(e):
			r.UnsureOfOrder("permit %d is used again on another path before the response to its last request", q.Chunk)
		case q.onOtherPath():
			breaksUnlessGivenUp(e, r, nil, "permit %d is used again on another path before the response to its last request", q.Chunk)
		case q.Reused:
			r.BreaksUnlessMissed([]audit.Stream{q.rival.conn.Flow(audit.Target)}, e.Seq, "permit %d is used again before the response to its last request", q.Chunk)
		default:
			r.Holds()
		}
	}},
	{"IBTRS-IO-027", on(RequestAnswered), answered(func(e *Event, r *audit.Ruling) {
		g, known := e.Session.Geometry()
		if known && e.Request.HasIO && e.Request.DataLen == int(g.MaxIOSize) && inDevice(e) {
			if !r.Kept(e.Response.Errno != ibtrs.EINVAL && e.Response.Errno != ibtrs.EMSGSIZE) {
				r.Breaks("I/O of the maximum size, %d bytes, fails with %v", g.MaxIOSize, e.Response.Errno)
			}
		}
	})},
	{"IBTRS-IO-028", on(RequestSent), checkMaxIO},
	{"IBTRS-IO-029", on(RequestAnswered, audit.ReceiverNotReady), checkLongRun},
	{"IBTRS-IO-033", on(RequestAnswered, audit.ReceiverNotReady), checkReceives},
	{"IBTRS-IO-040", on(RequestSent), func(e *Event, r *audit.Ruling) {
		q := e.Request
		g, known := e.Session.Geometry()
		if !known || !q.Parsed || q.Incomplete {
			return
		}
		room := q.HeaderLen + ibtrs.WriteMessageSize
		if q.Direction == ibtrs.Read {
			room = q.HeaderLen + ibtrs.ReadMessageSize + q.Count*ibtrs.DescriptorSize
		}
		if !r.Kept(room <= int(g.MaxHeaderSize)) {
			r.Breaks("user header and message have %d bytes, the maximum is %d", room, g.MaxHeaderSize)
		}
	}},
}

// breaksUnlessGivenUp blames an initiator for a permit that it has used on two paths at once, unless it had given one of them up,
// which shows on the wire only later. It need not be the path of the first request that was seen: what is sent while the
// neighbour does not answer lies in the network stack until long after it was sent again over the other path. Who has given a
// path up sends nothing new on it, and acknowledges nothing any more: on both paths both must be seen, and that no answer was
// missed, which would have come in streams of the target.
func breaksUnlessGivenUp(e *Event, r *audit.Ruling, answers []audit.Stream, format string, args ...any) {
	q := e.Request
	rival, own := q.rival.conn, q.lane.conn
	streams := append(answers, rival.Flow(audit.Target), rival.Flow(audit.Initiator), own.Flow(audit.Initiator), audit.Acknowledgements{Of: rival.Flow(audit.Target)}, audit.Acknowledgements{Of: own.Flow(audit.Target)})
	breaksUnlessLost(r, []*build{q.rival.build, q.lane.build}, streams, e.Seq, format, args...)
}

// shape is what a request says of the length of its data, in three places, and which of them does not agree.
type shape struct {
	data                                 int
	offsetOdd, addressOdd, descriptorOdd bool
}

// placed lets only requests of a direction pass (0: both) whose chunk is known and whose parts were found. An immediate
// that names the wrong chunk is for other rules.
func placed(d ibtrs.Direction, check func(*Event, *audit.Ruling, shape)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		q := e.Request
		if q.Place == NotKnown || q.Incomplete || !q.Parsed || d != 0 && q.Direction != d {
			return
		}
		if q.Place == OfOtherPath || q.Place == Wrong && wrongImmediate(e) {
			return
		}
		check(e, r, e.shape())
	}
}

// wrongImmediate reports whether the address is right for what the request says but for its immediate.
func wrongImmediate(e *Event) bool {
	g, _ := e.Session.Geometry()
	if _, found := otherChunk(e.build, e.Request, g); found {
		return true
	}
	return swapped(e)
}

func (e *Event) shape() shape {
	q := e.Request
	g, _ := e.Session.Geometry()
	base, _, _, _ := e.build.chunk(q.Chunk, g.ChunkSize())
	byOffset := int64(q.Offset) - int64(q.HeaderLen)
	if q.Direction == ibtrs.Write {
		data := int64(q.Length) - int64(q.HeaderLen) - ibtrs.WriteMessageSize
		return shape{data: int(data), offsetOdd: data != byOffset, addressOdd: q.VA != base}
	}
	byAddress, byDescriptor := int64(q.VA-base), int64(0)
	if q.Count > 0 {
		byDescriptor = int64(q.Descriptor.Length)
	}
	switch {
	case byOffset == byAddress:
		return shape{data: int(byOffset), descriptorOdd: byDescriptor != byOffset}
	case byAddress == byDescriptor:
		return shape{data: int(byAddress), offsetOdd: true}
	case byOffset == byDescriptor:
		return shape{data: int(byOffset), addressOdd: true}
	}
	return shape{data: int(byDescriptor), offsetOdd: true, addressOdd: true}
}

// answered lets only answers pass whose request is known completely, and to which nothing can have been missed.
func answered(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		q := e.Request
		if q == nil || !q.Parsed || q.Incomplete {
			return
		}
		if e.Response.DataUnsure || !e.Connection.HasRequest {
			return
		}
		check(e, r)
	}
}

// knownMode reports whether it is known if the target refreshes keys.
func knownMode(e *Event) bool { return e.build != nil && e.build.hasAccept }

func checkOneWrite(e *Event, r *audit.Ruling) {
	if e.Kind == RequestSent {
		r.Holds()
		return
	}
	m := e.Message
	if e.From != audit.Initiator || e.build == nil || !e.build.hasInfo || m.HeadMissing {
		return
	}
	switch {
	case m.Operation == roce.OperationWrite && !m.HasImm && m.Length > 0: // one of nothing cannot be a part of a request
		r.Breaks("RDMA WRITE of %d bytes without immediate", m.Length)
	case m.Operation == roce.OperationSend:
		r.Breaks("SEND of %d bytes", m.Length)
	}
}

func checkSameLane(e *Event, r *audit.Ruling) {
	a := &e.Response
	switch {
	case e.Request != nil:
		r.Holds()
	case a.OtherLane != nil:
		streams := []audit.Stream{a.OtherLane.conn.Flow(audit.Target)}
		if e.Flow.Back() != nil {
			streams = append(streams, e.Flow.Back())
		}
		r.BreaksUnlessMissed(streams, e.Seq, "request %d came on connection %d", a.ID, a.OtherLane.cid)
	}
}

// answersOf lists the streams in which the answers of a session come.
func answersOf(s *Session) []audit.Stream {
	var streams []audit.Stream
	for _, p := range s.paths {
		if p.build == nil || p.build.lost {
			continue
		}
		for _, l := range p.build.lanes {
			if f := l.conn.Flow(audit.Target); f != nil && f.Started() {
				streams = append(streams, f)
			}
		}
	}
	return streams
}

// inDevice reports whether an I/O lies within its device as far as OPEN_RSP told.
func inDevice(e *Event) bool {
	io := e.Request.IO
	d, known := e.Session.Device(io.DeviceID)
	if !known || io.Op() == ibnbd.OpFlush {
		return false
	}
	end := io.Sector + (uint64(io.Size)+ibnbd.SectorSize-1)/ibnbd.SectorSize
	return end >= io.Sector && end <= d.Response.Capacity
}

func checkMaxIO(e *Event, r *audit.Ruling) {
	q := e.Request
	if g, known := e.Session.Geometry(); known && q.Parsed && !q.Incomplete && q.ChunkKnown {
		limit := e.Session.smallestIO(g.MaxIOSize)
		if !r.Kept(q.DataLen <= int(limit)) {
			r.Breaks("request has %d bytes of data, the maximum is %d", q.DataLen, limit)
		}
	}
}

// smallestIO is what every connected path of the session takes, as a request may have to be sent again on any.
func (s *Session) smallestIO(size uint32) uint32 {
	for _, p := range s.paths {
		if p.Connected() && p.build.hasAccept {
			size = min(size, p.build.accept.MaxIOSize)
		}
	}
	return size
}

const million = 1_000_000

// stall is a receiver that is not ready for the same packet again and again.
type stall struct {
	psn   roce.PSN
	times int
	since time.Time
	told  bool // it was reported
}

// checkLongRun: receives are never used up for good. A stall is an RNR NAK of the same packet over and over.
func checkLongRun(e *Event, r *audit.Ruling) {
	if e.build == nil {
		return
	}
	s := e.Session
	if e.Kind == RequestAnswered {
		if s.answers++; s.answers%million == 0 {
			r.Holds()
		}
		return
	}
	st := &e.conversation().lane.stalls[e.Flow.From()]
	if st.psn != e.PSN || st.times == 0 {
		*st = stall{psn: e.PSN, times: 1, since: e.At}
		return
	}
	if st.times++; st.times < 16 || st.told {
		return
	}
	if since, known := r.Elapsed(st.since); known && since > time.Second {
		st.told = true
		r.Breaks("the receiver is not ready %d times in %s for the same packet", st.times, since)
	}
}

// checkReceives: the target has a receive for each permit on each connection.
func checkReceives(e *Event, r *audit.Ruling) {
	b := e.build
	if b == nil {
		return
	}
	if e.Kind == RequestAnswered {
		if e.Request != nil && e.CID() > 0 {
			r.Holds()
		}
		return
	}
	if e.From != audit.Target || !b.hasInfo || e.CID() == 0 {
		return
	}
	if since, known := r.Elapsed(b.infoAt); known && since > time.Second {
		r.Breaks("the target is not ready to receive PSN %d: %v", e.PSN, e.Syndrome)
	}
}
