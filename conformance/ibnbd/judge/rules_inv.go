// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// invRules judge key refresh.
var invRules = []rule{
	{"IBTRS-INV-001", on(audit.ConnectionReply), ofAccept(func(e *Event, r *audit.Ruling) {
		if !e.HasAccept {
			r.Holds()
			return
		}
		if !r.Kept((e.ConnResponse.Flags^e.Accept.Flags)&ibtrs.KeyRefresh == 0) {
			r.Breaks("flags of the accept are %#x, those of another connection of the path are %#x",
				e.ConnResponse.Flags, e.Accept.Flags)
		}
	})},
	{"IBTRS-INV-002", on(RequestAnswered), refresh(func(e *Event, r *audit.Ruling) {
		a := &e.Response
		if !r.Kept(a.Send && a.Length == ibtrs.KeyResponseSize && a.HasKey) {
			r.Breaks("response is a %s of %d bytes, not a key response", ofOperation(e.Message), a.Length)
		}
	})},
	{"IBTRS-INV-003", on(RequestAnswered), refresh(func(e *Event, r *audit.Ruling) {
		if a := &e.Response; a.HasKey {
			if !r.Kept(uint32(a.Key.Chunk) == a.ID) {
				r.Breaks("key response is for chunk %d, the message id is %d", a.Key.Chunk, a.ID)
			}
		}
	})},
	{"IBTRS-INV-004", on(RequestAnswered, audit.FatalNAK), func(e *Event, r *audit.Ruling) {
		if e.Kind == RequestAnswered {
			if e.Request != nil && e.build != nil && e.build.keyRefresh && e.Request.Key == Right {
				r.HoldsFor(audit.Target)
			}
			return
		}
		code, _ := e.Syndrome.NAKCode()
		if q := e.Refused; q != nil && code == roce.NAKRemoteAccessError && q.Key == Right && q.Place == Right && e.build.keyRefresh {
			r.Breaks("the target refuses key %#x of chunk %d, which it published", q.RKey, q.Chunk)
		}
	}},
	{"IBTRS-INV-006", on(RequestAnswered, LateInvalidation), func(e *Event, r *audit.Ruling) {
		if e.build == nil || !e.build.keyRefresh {
			return
		}
		if e.Kind == LateInvalidation {
			r.Breaks("key %#x is invalidated after the key response", e.Message.InvalidKey)
		} else if e.Request != nil && e.Response.SawInvalid {
			r.Holds()
		}
	}},
	{"IBTRS-INV-007", on(RequestSent), func(e *Event, r *audit.Ruling) {
		q := e.Request
		if e.build == nil || !e.build.keyRefresh || !e.build.hasInfo {
			return
		}
		switch q.Key {
		case Right:
			r.Holds()
		case Stale:
			if !e.build.complete() {
				r.Unsure("key %#x of chunk %d", q.RKey, q.Chunk)
				return
			}
			r.BreaksUnlessMissed(streamsOf(e.build), e.Seq, "request uses key %#x of chunk %d, which a key response has replaced", q.RKey, q.Chunk)
		}
	}},
	{"IBTRS-INV-012", on(HeartbeatAck, Heartbeat), func(e *Event, r *audit.Ruling) {
		if e.build == nil || !e.build.keyRefresh {
			return
		}
		if e.Message.Operation == roce.OperationSend {
			r.Breaks("a heartbeat is a SEND")
		} else if e.Kind == HeartbeatAck && e.Beat.Expected {
			r.Holds()
		}
	}},
}

// refresh lets only responses of targets pass that announced key refresh.
func refresh(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if knownMode(e) && e.build.keyRefresh && !e.Message.HeadMissing && !e.Message.Cut {
			check(e, r)
		}
	}
}

// complete reports whether all connections of the build were seen from their begin on.
func (b *build) complete() bool {
	if len(b.lanes) != b.count {
		return false
	}
	for _, l := range b.lanes {
		if !l.conn.HasRequest || !l.conn.HasReply {
			return false
		}
	}
	return true
}

// streamsOf lists all streams of a path that carried anything, or should have, because they carry the answers to such.
func streamsOf(b *build) []audit.Stream {
	var streams []audit.Stream
	for _, l := range b.lanes {
		for _, side := range []audit.Side{audit.Initiator, audit.Target} {
			if f := l.conn.Flow(side); f != nil && (f.Started() || f.Back() != nil && f.Back().Started()) {
				streams = append(streams, f)
			}
		}
	}
	return streams
}
