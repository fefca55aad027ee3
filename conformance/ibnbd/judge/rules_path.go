// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
)

const (
	// lingering is how long messages of a connection may follow the loss of another one of its path.
	lingering = 5 * time.Second
	// extraDelay is what an initiator waits before an attempt, beyond the reconnect delay.
	extraDelay = time.Second
)

// pathRules judge loss and recovery of paths.
var pathRules = []rule{
	{"IBTRS-PATH-003", on(audit.DisconnectRequest, RequestSent, RequestAnswered), ofPath(checkWholePath)},
	{"IBTRS-PATH-004", on(audit.ConnectionRequest), ofPath(checkIncarnationGrows)},
	{"IBTRS-PATH-005", on(audit.ConnectionRequest), ofPath(checkFirstIncarnation)},
	{"IBTRS-PATH-008", on(audit.ConnectionRequest), ofPath(checkAttempts)},
	{"IBTRS-PATH-009", on(audit.ConnectionRequest), ofPath(checkDelay)},
	{"IBTRS-PATH-012", on(RequestSent), checkFailover},
}

// checkWholePath: with one connection the whole path goes down.
func checkWholePath(e *Event, r *audit.Ruling) {
	b := e.build
	if !b.lost || b.lostBy == audit.Nobody {
		return
	}
	if e.Kind == audit.DisconnectRequest {
		if e.Seq > b.lostSeq {
			r.Holds()
		}
		return
	}
	if since, known := r.Elapsed(b.path.lostAt); known && since > lingering && e.Path.build == b && e.Message.Packets > 0 {
		r.Breaks("%v on connection %d, %s after another connection of the path was closed", e.Kind, e.CID(), audit.ShortTime(since))
	}
}

func checkIncarnationGrows(e *Event, r *audit.Ruling) {
	if !e.HasPrevious || e.ConnRequest.CID != 0 || e.Path.build != e.build {
		return
	}
	step := e.ConnRequest.Incarnation - e.Previous // modulo 2^16
	if !r.Kept(step > 0 && step < 1<<15) {
		r.Breaks("incarnation is %d after %d", e.ConnRequest.Incarnation, e.Previous)
	}
}

func checkFirstIncarnation(e *Event, r *audit.Ruling) {
	if !e.NewPath || e.ConnRequest.CID != 0 || e.otherGroup != nil {
		return
	}
	switch n := e.ConnRequest.Incarnation; n {
	case 1:
		r.Holds()
	case 0:
		r.Breaks("incarnation of the first build is 0")
	default:
		r.BreaksIfSawAll("incarnation of the first build is %d", n)
	}
}

// newAttempt reports whether a connection request begins another attempt to build a path that was lost.
func newAttempt(e *Event) bool {
	return e.HasPrevious && e.ConnRequest.CID == 0 && !e.LostAt.IsZero()
}

func checkAttempts(e *Event, r *audit.Ruling) {
	limit := r.Config().ReconnectAttempts
	if limit == nil || *limit < 0 || !newAttempt(e) {
		return
	}
	made := 1
	if a := memoryOf(r).attempts[e.Path.ID]; a != nil {
		made += a.n
	}
	if !r.Kept(made <= *limit) {
		r.Breaks("attempt %d to reconnect, %d are allowed", made, *limit)
	}
}

func checkDelay(e *Event, r *audit.Ruling) {
	delay := r.Config().ReconnectDelay
	if delay <= 0 || !newAttempt(e) {
		return
	}
	const rounding = 50 * time.Millisecond // loss is noted before its DREQ is on the wire
	waited, known := r.Elapsed(e.LostAt)
	if !known {
		return
	}
	if !r.Kept(waited >= delay+extraDelay-rounding) {
		r.Breaks("path is asked for %s after its loss, the delay is %s and %s", audit.ShortTime(waited), delay, extraDelay)
	}
}

// checkFailover: a request of a lost path comes again with the same permit, header and data.
func checkFailover(e *Event, r *audit.Ruling) {
	q := e.Request
	if !q.Failover || q.previous == nil || !q.Parsed || !q.previous.Parsed || q.Incomplete || q.previous.Incomplete {
		return
	}
	old := q.previous
	switch {
	case old.lane.build.path == q.lane.build.path:
		return // the session was rebuilt: the old request failed, and this is another
	case bytes.Equal(old.Header, q.Header) && old.DataLen == q.DataLen:
		r.Holds()
	case old.Path().session.carried.byAnother(old):
		return // it was a late copy: another path has carried it before, and its permit went on from there
	default:
		r.BreaksUnlessMissed([]audit.Stream{old.lane.conn.Flow(audit.Target)}, e.Seq, "permit %d of a lost path is used for another request", q.Chunk)
	}
}
