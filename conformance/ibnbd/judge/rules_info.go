// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

var infoRequestLayout = ibtrs.Layout.MustMessage("info_request")

// infoRules judge the INFO exchange, and that nothing comes before it.
var infoRules = []rule{
	{"IBTRS-INFO-001", on(InfoRequest, Stray), checkOneInfoRequest},
	{"IBTRS-INFO-002", on(InfoRequest), whole(func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.Message.Length == ibtrs.InfoRequestSize && e.InfoRequest.Type == ibtrs.TypeInfoRequest) {
			r.Breaks("INFO request has %d bytes and type %d", e.Message.Length, e.InfoRequest.Type)
		}
	})},
	{"IBTRS-INFO-003", on(InfoRequest), whole(func(e *Event, r *audit.Ruling) {
		if e.Message.Length < ibtrs.InfoRequestSize {
			return
		}
		set := infoRequestLayout.ReservedSet(e.Message.Data)
		if !r.Kept(e.InfoRequest.SessionName.Terminated() && len(set) == 0) {
			r.Breaks("session name is %q; not zero behind it: %s",
				e.InfoRequest.SessionName.Bytes(), audit.ReservedText(set))
		}
	})},
	{"IBTRS-INFO-004", on(InfoResponse), whole(func(e *Event, r *audit.Ruling) {
		n := int(e.InfoResponse.Count)
		if !r.Kept(e.InfoResponse.Type == ibtrs.TypeInfoResponse && e.Message.Length == ibtrs.InfoResponseSize+n*ibtrs.DescriptorSize) {
			r.Breaks("INFO response has type %d, %d regions and %d bytes", e.InfoResponse.Type, n, e.Message.Length)
		}
	})},
	{"IBTRS-INFO-005", on(InfoResponse), whole(func(e *Event, r *audit.Ruling) {
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
	{"IBTRS-INFO-007", on(InfoResponse), regions(func(e *Event, r *audit.Ruling, g ibtrs.Geometry) {
		if e.build.keyRefresh {
			if !r.Kept(e.InfoResponse.Count == g.QueueDepth) {
				r.Breaks("%d regions for a queue depth of %d, with key refresh", e.InfoResponse.Count, g.QueueDepth)
			}
		}
	})},
	{"IBTRS-INFO-013", on(InfoResponse, audit.DisconnectRequest), ofPath(checkSameName)},
	{"IBTRS-INFO-019", on(RequestSent, Heartbeat, HeartbeatAck), ofPath(checkInitiatorWaits)},
	{"IBTRS-INFO-020", on(InfoResponse, RequestAnswered, Heartbeat, HeartbeatAck, Stray), ofPath(checkTargetWaits)},
}

// whole lets only messages pass that were captured completely.
func whole(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if !e.Message.HeadMissing && !e.Message.Cut {
			check(e, r)
			return
		}
		r.Unsure("parts of the message are missing")
	}
}

// regions lets only INFO responses pass that list regions for a geometry that is known.
func regions(check func(*Event, *audit.Ruling, ibtrs.Geometry)) func(*Event, *audit.Ruling) {
	return whole(func(e *Event, r *audit.Ruling) {
		g, known := e.Session.Geometry()
		if e.ParseError == nil && known && e.build.hasAccept {
			check(e, r, g)
		}
	})
}

func checkRegionLengths(e *Event, r *audit.Ruling, g ibtrs.Geometry) {
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

func checkOneInfoRequest(e *Event, r *audit.Ruling) {
	b := e.build
	if b == nil || e.From != audit.Initiator {
		return
	}
	if e.Kind == Stray {
		if e.Message.Operation == roce.OperationSend && !e.Message.HasImm && e.Message.Length == ibtrs.InfoRequestSize && !b.hasInfo {
			r.Breaks("INFO request on connection %d", e.CID())
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
		if c.Manager(audit.Target) == nil || c.Manager(audit.Initiator) == nil {
			r.Unsure("connection %d of %d was not seen before the INFO request", cid, b.count)
			return
		}
		r.BreaksUnlessMissed([]audit.Stream{c.Manager(audit.Target), c.Manager(audit.Initiator)}, b.startSeq, "INFO request before connection %d of %d was established", cid, b.count)
		return
	}
	r.Holds()
}

// checkSameName: a further path may bring the session name again.
func checkSameName(e *Event, r *audit.Ruling) {
	further := false
	for _, p := range e.Session.paths {
		further = further || p != e.Path && p.Connected()
	}
	b := e.build
	switch {
	case !further || e.From != audit.Target:
	case e.Kind == InfoResponse:
		r.Holds()
	case b.infoRequests == 1 && !b.hasInfo && e.Connection.Closer == audit.Target && e.CID() == 0:
		if f := e.Connection.Flow(audit.Target); f != nil && !f.Started() {
			r.Breaks("a further path of the session is closed upon its INFO request")
		}
	}
}

// checkInitiatorWaits: the initiator sends nothing but the INFO request before it has the answer.
func checkInitiatorWaits(e *Event, r *audit.Ruling) {
	b := e.build
	if e.From != audit.Initiator {
		return
	}
	if b.hasInfo {
		r.Holds()
		return
	}
	admin := b.lanes[0]
	if admin == nil || admin.conn.Flow(audit.Target) == nil || !admin.conn.HasRequest {
		r.Unsure("sent while the INFO response was not seen")
		return
	}
	r.BreaksUnlessMissed([]audit.Stream{admin.conn.Flow(audit.Target)}, admin.conn.RequestSeq(), "%v sent before the INFO response", e.Kind)
}

// checkTargetWaits: the target sends nothing before the INFO response.
func checkTargetWaits(e *Event, r *audit.Ruling) {
	b := e.build
	if e.From != audit.Target {
		return
	}
	switch {
	case e.Kind == InfoResponse:
		r.Holds()
	case b.hasInfo:
	case e.CID() == 0 && e.Connection.HasRequest && e.Flow.CleanSince(e.Connection.RequestSeq()):
		r.Breaks("%v sent before the INFO response", e.Kind)
	case b.lanes[0] != nil && b.lanes[0].conn.Flow(audit.Target) != nil && b.lanes[0].conn.HasRequest && e.CID() != 0:
		r.BreaksUnlessMissed([]audit.Stream{b.lanes[0].conn.Flow(audit.Target)}, b.lanes[0].conn.RequestSeq(), "%v sent before the INFO response", e.Kind)
	default:
		r.Unsure("%v sent while the INFO response was not seen", e.Kind)
	}
}
