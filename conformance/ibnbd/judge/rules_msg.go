// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/layout"
)

var (
	sessInfoLayout    = ibnbd.Layout.MustMessage("sess_info")
	sessInfoRspLayout = ibnbd.Layout.MustMessage("sess_info_rsp")
	openLayout        = ibnbd.Layout.MustMessage("open")
	openRspLayout     = ibnbd.Layout.MustMessage("open_rsp")
	ioLayout          = ibnbd.Layout.MustMessage("io")
	closeLayout       = ibnbd.Layout.MustMessage("close")
)

// Sizes of the answers to block messages, in bytes.
const (
	sessInfoReply = ibnbd.SessInfoSize
	openReply     = ibnbd.OpenResponseSize
)

// msgRules judge the form of block messages.
var msgRules = []rule{
	{"IBNBD-MSG-001", on(RequestSent), func(e *Event, r *audit.Ruling) {
		if e.Session != nil && e.Session.lostSeq == 0 {
			checkSessInfoFirst(e, r)
		}
	}},
	{"IBNBD-MSG-002", on(RequestSent, RequestAnswered), func(e *Event, r *audit.Ruling) {
		if !isMessage(e, ibnbd.TypeSessInfo) {
			return
		}
		q := e.Request
		if e.Kind == RequestSent {
			if !r.Kept(q.HeaderLen == ibnbd.SessInfoSize && q.Header[4] > 0) {
				r.Breaks("SESS_INFO has %d bytes", q.HeaderLen)
			}
			return
		}
		if a := &e.Response; e.goodReply() {
			m, err := ibnbd.ParseSessInfoResponse(a.Body)
			if !r.Kept(err == nil && a.DataLen == sessInfoReply && m.Version > 0) {
				r.Breaks("SESS_INFO_RSP has %d bytes, type %d, version %d", a.DataLen, m.Type, m.Version)
			}
		}
	}},
	{"IBNBD-MSG-003", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		if !isMessage(e, ibnbd.TypeSessInfo) || !e.goodReply() {
			return
		}
		if m, err := ibnbd.ParseSessInfoResponse(e.Response.Body); err == nil {
			asked := e.Request.Header[4]
			if !r.Kept(m.Version == min(asked, ibnbd.Version) || m.Version < ibnbd.Version && m.Version <= asked && m.Version > 0) {
				r.Breaks("answer to version %d is version %d", asked, m.Version)
			}
		}
	}},
	{"IBNBD-MSG-004", on(RequestSent, RequestAnswered), checkMessageSizes},
	{"IBNBD-MSG-007", on(RequestSent), func(e *Event, r *audit.Ruling) {
		q := e.Request
		switch {
		case isMessage(e, ibnbd.TypeSessInfo):
			if !r.Kept(q.Direction == ibtrs.Read && q.DataLen == sessInfoReply) {
				r.Breaks("SESS_INFO is a transport %v with room for %d bytes", q.Direction, q.DataLen)
			}
		case isMessage(e, ibnbd.TypeOpen):
			if !r.Kept(q.Direction == ibtrs.Read && q.DataLen == openReply) {
				r.Breaks("OPEN is a transport %v with room for %d bytes", q.Direction, q.DataLen)
			}
		}
	}},
	{"IBNBD-MSG-008", on(RequestSent), func(e *Event, r *audit.Ruling) {
		if q := e.Request; isMessage(e, ibnbd.TypeClose) {
			if !r.Kept(q.Direction == ibtrs.Write && q.DataLen == 0) {
				r.Breaks("CLOSE is a transport %v with %d bytes of data", q.Direction, q.DataLen)
			}
		}
	}},
	{"IBNBD-MSG-009", on(RequestSent, RequestAnswered), func(e *Event, r *audit.Ruling) {
		set, known := reservedOf(e)
		if known {
			if !r.Kept(len(set) == 0) {
				r.Breaks("not zero: %s", audit.ReservedText(set))
			}
		}
	}},
	{"IBNBD-MSG-014", on(RequestAnswered), func(e *Event, r *audit.Ruling) {
		set, known := reservedOf(e)
		if known {
			if !r.Kept(len(set) == 0) {
				r.Breaks("reply has %s from before", audit.ReservedText(set))
			}
		}
	}},
	{"IBNBD-MSG-020", on(RequestSent), func(e *Event, r *audit.Ruling) {
		if e.Session != nil && e.Session.lostSeq > 0 {
			checkSessInfoFirst(e, r)
		}
	}},
	{"IBNBD-MSG-021", on(RequestSent), ofIO(checkFeatures)},
}

// checkFeatures: what a server of this project has not agreed to is not used. Of write-same IBNBD-COMPAT-009 speaks.
func checkFeatures(e *Event, r *audit.Ruling) {
	s := e.Session
	if !s.hasAgreement || s.agreement.Profile != ibnbd.ProfileX {
		return
	}
	used := e.Request.IO.Flags() & (ibnbd.FlagPreflush | ibnbd.FlagNoUnmap)
	if !r.Kept(used == 0 || s.agreement.Has(ibnbd.FeatureFlags)) {
		r.Breaks("I/O has the flags %#x, which the server has not agreed to", used)
	}
}

// isMessage reports whether the event is about a block message of a type that was captured.
func isMessage(e *Event, kind uint16) bool {
	q := e.Request
	return q != nil && q.Parsed && !q.Incomplete && q.MessageType == kind && len(q.Header) >= 8
}

// goodReply reports whether a request was answered with success and the reply was seen.
func (e *Event) goodReply() bool {
	return e.Response.Errno == 0 && !e.Response.DataUnsure && e.Response.Body != nil
}

// checkSessInfoFirst: SESS_INFO comes before the first OPEN since the session came up.
func checkSessInfoFirst(e *Event, r *audit.Ruling) {
	if !isMessage(e, ibnbd.TypeOpen) {
		return
	}
	s := e.Session
	switch {
	case s.upSeq > 0 && s.infoSeq > s.lostSeq:
		r.Holds()
	case s.upSeq == 0 || e.build == nil || !e.build.hasInfo:
		r.Unsure("OPEN, SESS_INFO was not seen")
	case s.connected > 1 && s.hasFreePermitBelow(e.Request.Chunk):
		// An initiator takes the first free permit, so that one is taken: its request is still on the wire of another path.
		r.Unsure("OPEN, SESS_INFO may be on its way on another path")
	default:
		for _, stream := range fromInitiators(s) {
			if !stream.CleanSince(s.upSeq) {
				r.Unsure("OPEN, SESS_INFO was not seen")
				return
			}
		}
		r.BreaksUnlessMissed(asStreams(fromInitiators(s)), s.upSeq, "OPEN before SESS_INFO")
	}
}

// fromInitiators lists the directions in which requests of a session travel.
func fromInitiators(s *Session) []*audit.Flow {
	var flows []*audit.Flow
	for _, p := range s.paths {
		if p.build == nil || p.build.lost {
			continue
		}
		for _, l := range p.build.lanes {
			if f := l.conn.Flow(audit.Initiator); f != nil && f.Started() {
				flows = append(flows, f)
			}
		}
	}
	return flows
}

func asStreams(flows []*audit.Flow) []audit.Stream {
	streams := make([]audit.Stream, len(flows))
	for i, f := range flows {
		streams[i] = f
	}
	return streams
}

func checkMessageSizes(e *Event, r *audit.Ruling) {
	q := e.Request
	switch {
	case isMessage(e, ibnbd.TypeOpen) && e.Kind == RequestSent:
		if !r.Kept(q.HeaderLen == ibnbd.OpenRequestSize) {
			r.Breaks("OPEN has %d bytes", q.HeaderLen)
		}
	case isMessage(e, ibnbd.TypeOpen) && e.goodReply():
		m, err := ibnbd.ParseOpenResponse(e.Response.Body)
		if !r.Kept(m.Type == ibnbd.TypeOpenResponse && e.Response.DataLen == openReply) {
			r.Breaks("OPEN_RSP has %d bytes: %v", e.Response.DataLen, err)
		}
	case isMessage(e, ibnbd.TypeClose) && e.Kind == RequestSent:
		if !r.Kept(q.HeaderLen == ibnbd.CloseRequestSize) {
			r.Breaks("CLOSE has %d bytes", q.HeaderLen)
		}
	}
}

// reservedOf lists the reserved bytes that are set in a block message or its reply; known is false if there is none, or
// it was not captured.
func reservedOf(e *Event) (set []layout.NonZero, known bool) {
	q := e.Request
	if e.Kind == RequestAnswered {
		return reservedOfReply(e)
	}
	if !q.Parsed || q.Incomplete || q.Header == nil {
		return nil, false
	}
	switch q.MessageType {
	case ibnbd.TypeSessInfo:
		return reservedOfSessInfo(&sessInfoLayout, q.Header), true
	case ibnbd.TypeOpen:
		return openLayout.ReservedSet(q.Header), true
	case ibnbd.TypeIO:
		return ioLayout.ReservedSet(q.Header), true
	case ibnbd.TypeClose:
		return closeLayout.ReservedSet(q.Header), true
	}
	return nil, false
}

func reservedOfReply(e *Event) (set []layout.NonZero, known bool) {
	switch {
	case isMessage(e, ibnbd.TypeSessInfo) && e.goodReply():
		return reservedOfSessInfo(&sessInfoRspLayout, e.Response.Body), true
	case isMessage(e, ibnbd.TypeOpen) && e.goodReply():
		return openRspLayout.ReservedSet(e.Response.Body), true
	}
	return nil, false
}

// reservedOfSessInfo adds the bytes of marker and features, which are reserved where there is no marker.
func reservedOfSessInfo(m *layout.Message, message []byte) []layout.NonZero {
	set := m.ReservedSet(message)
	if len(message) < 20 || [8]byte(message[8:16]) == ibnbd.Marker {
		return set
	}
	for _, b := range message[8:20] {
		if b != 0 {
			return append(set, layout.NonZero{Message: m.Name, Field: "marker", Offset: 8, Bytes: message[8:20]})
		}
	}
	return set
}
