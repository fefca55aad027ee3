// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// The kinds of events of IBTRS and IBNBD.
const (
	InfoRequest      audit.Kind = "info-request"
	InfoResponse     audit.Kind = "info-response"
	PathUp           audit.Kind = "path-up"
	PathDown         audit.Kind = "path-down"
	SessionUp        audit.Kind = "session-up"
	SessionDown      audit.Kind = "session-down"
	RequestSent      audit.Kind = "request"
	RequestAnswered  audit.Kind = "io"                // also a response that answers no request that was seen
	Unanswered       audit.Kind = "unanswered"        // the connection ended before the answer
	LateInvalidation audit.Kind = "late-invalidation" // of a read's key, after the answer
	Heartbeat        audit.Kind = "heartbeat"
	HeartbeatAck     audit.Kind = "heartbeat-ack"
	Stray            audit.Kind = "stray"           // a message that has no place in the protocol
	EarlierRequest   audit.Kind = "earlier-request" // of a connection that began before the capture
)

// Event is an event with what IBTRS and IBNBD know of it.
type Event struct {
	*audit.Event
	Path       *Path
	Session    *Session
	ParseError error // what is wrong with the message of this event

	// Of connection management.
	ConnRequest  ibtrs.ConnRequest
	ConnResponse ibtrs.ConnResponse
	Accept       ibtrs.ConnResponse // what the path's build was told before
	HasAccept    bool
	NewPath      bool   // the path was not seen before
	HasPrevious  bool   // the path was built before, and this begins a new build
	Previous     uint16 // incarnation of that build
	LostAt       time.Time

	// Of messages.
	InfoRequest  ibtrs.InfoRequest
	InfoResponse ibtrs.InfoResponse
	Request      *Request
	Refused      *Request // the request that a NAK refuses
	Response     Response
	Beat         HeartbeatFacts
	Between      [2]string // addresses of sender and receiver, of an EarlierRequest

	build      *build
	ghost      *audit.Suspicion // of a response, that it answers nothing: dropped if its request comes after it
	prior      *build           // the build that a connection request replaces
	otherGroup *Session         // that had the path's UUID before
	formerName string           // of an INFO request: the name that the session had before it; "" if none was seen
	namesake   *Session         // of an INFO request: the same initiator has this session of the same name, which is up
}

// Of is the event with what IBTRS and IBNBD know of it; nil if it is not of theirs.
func Of(e *audit.Event) *Event {
	d, _ := e.Detail.(*Event)
	return d
}

// describe makes the detail of an event.
func (t *follower) describe(e *audit.Event) *Event {
	t.event = Event{Event: e}
	e.Detail = &t.event
	return &t.event
}

// fresh returns the tracker's event, emptied, for the next Emit.
func (t *follower) fresh(kind audit.Kind) *Event {
	e := t.Fresh(kind)
	e.Protocol = t.protocol
	return t.describe(e)
}

// aside emits other events while one is being filled.
func (t *follower) aside(emit func()) {
	saved := t.event
	t.Aside(emit)
	t.event = saved
}

// CID is the number of the event's connection in its path, -1 if there is none.
func (e *Event) CID() int {
	if c := e.conversation(); c != nil {
		return c.cid
	}
	return -1
}

// conversation is that of the event's connection; nil if there is none.
func (e *Event) conversation() *conversation {
	if e.Connection == nil {
		return nil
	}
	c, _ := e.Connection.Carries().(*conversation)
	return c
}

// locate says on which path it happened.
func (e *Event) locate(c *conversation) {
	if c.lane != nil {
		e.build = c.lane.build
	}
	if c.path != nil {
		e.Path, e.Session = c.path, c.path.session
	}
}

func (e *Event) setConnection(c *audit.Connection, from audit.Side) {
	e.SetConnection(c, from)
	if c := e.conversation(); c != nil {
		e.locate(c)
	}
}

func (e *Event) setPath(p *Path) {
	e.Path, e.Session, e.build = p, p.session, p.build
}

func (e *Event) setFlow(f *audit.Flow) {
	e.SetFlow(f)
	e.locate(e.conversation())
}

func (e *Event) setMessage(f *audit.Flow, m *audit.Message) {
	e.SetMessage(f, m)
	e.locate(e.conversation())
}

func (e *Event) setRequest(r *Request) {
	e.Request = r
	e.setConnection(r.lane.conn, e.From)
	if e.From == audit.Nobody {
		e.AddFrame(r.Frames[0])
		e.AddFrame(r.Frames[1])
	}
}

// SessionKey names the session in whatever file its paths are.
func (e *Event) SessionKey() (audit.SessionKey, bool) {
	if e.Session == nil {
		return audit.SessionKey{}, false
	}
	return audit.SessionKey(e.Session.Group), true
}

// Trace notes when the paths of a session began and ended, and when its permits were used.
func (e *Event) Trace(l *audit.SessionTimes) {
	switch e.Kind {
	case audit.ConnectionRequest:
		if r := e.ConnRequest; r.CID == 0 && r.Incarnation == 1 && r.FirstConnection != ibtrs.FirstConnection {
			l.Joins()
		}
	case audit.ConnectionReply:
		if b := e.build; b != nil && e.CID() == 0 && b.first.Incarnation == 1 && b.first.FirstConnection == ibtrs.FirstConnection {
			l.Accepted()
		}
	case RequestSent:
		switch r := e.Request; {
		case r.MessageType == ibnbd.TypeClose:
			l.Closing()
		case r.HasIO:
			l.IO()
		}
	case RequestAnswered:
		r := e.Request
		if r == nil || !r.ChunkKnown || e.Response.DataUnsure {
			return
		}
		if r.MessageType == ibnbd.TypeOpen {
			l.Opened()
		}
		l.Used(r.Chunk, r.LastAt)
	}
}
