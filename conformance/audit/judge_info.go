// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

var infoRequestLayout = ibtrs.Layout.MustMessage("info_request")

// infoRules judge the INFO exchange, and that nothing comes before it.
var infoRules = []Rule{
	{"IBTRS-INFO-001", on(InfoRequest, Stray), checkOneInfoRequest},
	{"IBTRS-INFO-002", on(InfoRequest), whole(func(e *Event, r *Ruling) {
		if !r.Kept(e.Message.Length == ibtrs.InfoRequestSize && e.InfoRequest.Type == ibtrs.TypeInfoRequest) {
			r.Breaks("INFO request has %d bytes and type %d", e.Message.Length, e.InfoRequest.Type)
		}
	})},
	{"IBTRS-INFO-003", on(InfoRequest), whole(func(e *Event, r *Ruling) {
		if e.Message.Length < ibtrs.InfoRequestSize {
			return
		}
		set := infoRequestLayout.ReservedSet(e.Message.Data)
		if !r.Kept(e.InfoRequest.SessionName.Terminated() && len(set) == 0) {
			r.Breaks("session name is %q; not zero behind it: %s",
				e.InfoRequest.SessionName.Bytes(), reservedText(set))
		}
	})},
	{"IBTRS-INFO-004", on(InfoResponse), whole(func(e *Event, r *Ruling) {
		n := int(e.InfoResponse.Count)
		if !r.Kept(e.InfoResponse.Type == ibtrs.TypeInfoResponse && e.Message.Length == ibtrs.InfoResponseSize+n*ibtrs.DescriptorSize) {
			r.Breaks("INFO response has type %d, %d regions and %d bytes", e.InfoResponse.Type, n, e.Message.Length)
		}
	})},
	{"IBTRS-INFO-005", on(InfoResponse), whole(func(e *Event, r *Ruling) {
		g, known := e.Session.Geometry()
		if !known || !e.build.hasAccept || e.InfoResponse.Type != ibtrs.TypeInfoResponse {
			return
		}
		n := e.InfoResponse.Count
		if !r.Kept(n > 0 && g.QueueDepth%n == 0) {
			r.Breaks("%d regions do not divide a queue depth of %d", n, g.QueueDepth)
		}
	})},
	{"IBTRS-INFO-006", on(InfoResponse), regions(checkRegionLengths)},
	{"IBTRS-INFO-007", on(InfoResponse), regions(func(e *Event, r *Ruling, g ibtrs.Geometry) {
		if e.build.keyRefresh {
			if !r.Kept(e.InfoResponse.Count == g.QueueDepth) {
				r.Breaks("%d regions for a queue depth of %d, with key refresh", e.InfoResponse.Count, g.QueueDepth)
			}
		}
	})},
	{"IBTRS-INFO-013", on(InfoResponse, DisconnectRequest), ofPath(checkSameName)},
	{"IBTRS-INFO-019", on(RequestSent, Heartbeat, HeartbeatAck), ofPath(checkInitiatorWaits)},
	{"IBTRS-INFO-020", on(InfoResponse, RequestAnswered, Heartbeat, HeartbeatAck, Stray), ofPath(checkTargetWaits)},
}

// whole lets only messages pass that were captured completely.
func whole(check func(*Event, *Ruling)) func(*Event, *Ruling) {
	return func(e *Event, r *Ruling) {
		if !e.Message.HeadMissing && !e.Message.Cut {
			check(e, r)
			return
		}
		r.Unsure("parts of the message are missing")
	}
}

// regions lets only INFO responses pass that list regions for a geometry that is known.
func regions(check func(*Event, *Ruling, ibtrs.Geometry)) func(*Event, *Ruling) {
	return whole(func(e *Event, r *Ruling) {
		g, known := e.Session.Geometry()
		if e.ParseError == nil && known && e.build.hasAccept {
			check(e, r, g)
		}
	})
}

func checkRegionLengths(e *Event, r *Ruling, g ibtrs.Geometry) {
	size, sum := uint64(g.ChunkSize()), uint64(0)
	for i, d := range e.InfoResponse.Regions.All() {
		if d.Length == 0 || uint64(d.Length)%size != 0 {
			r.Breaks("region %d has %d bytes, a chunk has %d", i, d.Length, size)
			return
		}
		sum += uint64(d.Length)
	}
	want := size * uint64(g.QueueDepth)
	if !r.Kept(sum == want) {
		r.Breaks("regions have %d bytes together, the chunks have %d", sum, want)
	}
}

func checkOneInfoRequest(e *Event, r *Ruling) {
	b := e.build
	if b == nil || e.From != Initiator {
		return
	}
	if e.Kind == Stray {
		if e.Message.Operation == roce.OperationSend && !e.Message.HasImm && e.Message.Length == ibtrs.InfoRequestSize && !b.hasInfo {
			r.Breaks("INFO request on connection %d", e.Connection.cid)
		}
		return
	}
	if b.infoRequests > 1 {
		r.Breaks("%d INFO requests in one build of the path", b.infoRequests)
		return
	}
	for cid := range b.count {
		l := b.lanes[cid]
		if l != nil && l.conn.HasReply {
			continue
		}
		c := e.Connection
		if c.targetManager == nil || c.initiatorManager == nil {
			r.Unsure("connection %d of %d was not seen before the INFO request", cid, b.count)
			return
		}
		r.BreaksUnlessMissed([]stream{c.targetManager, c.initiatorManager}, b.startSeq, "INFO request before connection %d of %d was established", cid, b.count)
		return
	}
	r.Holds()
}

// checkSameName: a further path may bring the session name again.
func checkSameName(e *Event, r *Ruling) {
	further := false
	for _, p := range e.Session.paths {
		further = further || p != e.Path && p.Connected()
	}
	b := e.build
	switch {
	case !further || e.From != Target:
	case e.Kind == InfoResponse:
		r.Holds()
	case b.infoRequests == 1 && !b.hasInfo && e.Connection.Closer == Target && e.Connection.cid == 0:
		if f := e.Connection.flow(Target); f != nil && !f.started {
			r.Breaks("a further path of the session is closed upon its INFO request")
		}
	}
}

// checkInitiatorWaits: the initiator sends nothing but the INFO request before it has the answer.
func checkInitiatorWaits(e *Event, r *Ruling) {
	b := e.build
	if e.From != Initiator {
		return
	}
	if b.hasInfo {
		r.Holds()
		return
	}
	admin := b.lanes[0]
	if admin == nil || admin.conn.flow(Target) == nil || !admin.conn.HasRequest {
		r.Unsure("sent while the INFO response was not seen")
		return
	}
	r.BreaksUnlessMissed([]stream{admin.conn.flow(Target)}, admin.conn.reqSeq, "%v sent before the INFO response", e.Kind)
}

// checkTargetWaits: the target sends nothing before the INFO response.
func checkTargetWaits(e *Event, r *Ruling) {
	b := e.build
	if e.From != Target {
		return
	}
	switch {
	case e.Kind == InfoResponse:
		r.Holds()
	case b.hasInfo:
	case e.Connection.cid == 0 && e.Connection.HasRequest && e.flow.cleanSince(e.Connection.reqSeq):
		r.Breaks("%v sent before the INFO response", e.Kind)
	case b.lanes[0] != nil && b.lanes[0].conn.flow(Target) != nil && b.lanes[0].conn.HasRequest && e.Connection.cid != 0:
		r.BreaksUnlessMissed([]stream{b.lanes[0].conn.flow(Target)}, b.lanes[0].conn.reqSeq, "%v sent before the INFO response", e.Kind)
	default:
		r.Unsure("%v sent while the INFO response was not seen", e.Kind)
	}
}
