// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// Counts gives the line of the event's path, if the event counts.
func (e *Event) Counts() (audit.Line, bool) {
	if e.Session == nil || e.Path == nil {
		return nil, false
	}
	switch e.Kind {
	case RequestAnswered, RequestSent, Unanswered, Heartbeat, PathUp:
		return e.Path, true
	}
	return e.Path, e.Transport()
}

// Key is the path's id.
func (p *Path) Key() uint64 { return p.ID }

// Describe names the path's line of the statistics.
func (p *Path) Describe(s *audit.PathStatistics) {
	s.Session, s.Path, s.Rail = p.session.Name, p.String(), p.Rail
}

// Count counts the event. The name of a session may be known only after its first event.
func (e *Event) Count(s *audit.PathStatistics) {
	if s.Session == "" {
		s.Session = e.Session.Name
	}
	switch e.Kind {
	case RequestAnswered:
		e.countAnswer(s)
	case RequestSent:
		if e.Request.Failover {
			s.Failovers++
		}
	case Unanswered:
		s.Unanswered++
	case Heartbeat:
		s.Heartbeats++
	case PathUp:
		s.Connects++
	}
}

func (e *Event) countAnswer(s *audit.PathStatistics) {
	r := e.Request
	if r == nil {
		s.Op("unknown", 0, e.Response.Errno != 0, -1)
		return
	}
	name, bytes := "unknown", uint64(0)
	switch {
	case r.HasIO:
		name, bytes = r.IO.Op().String(), uint64(r.IO.Size)
	case r.MessageType == ibnbd.TypeSessInfo:
		name = "SESS_INFO"
	case r.MessageType == ibnbd.TypeOpen:
		name = "OPEN"
	case r.MessageType == ibnbd.TypeClose:
		name = "CLOSE"
	}
	s.Op(name, bytes, e.Response.Errno != 0, e.Response.Latency)
}
