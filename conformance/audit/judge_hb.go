// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Times of the heartbeat. The interval of the protocol is 5 s; timers of kernels round it up, and virtual machines are
// late now and then.
const (
	beatInterval = 5 * time.Second
	beatEarly    = 4 * time.Second // a heartbeat sooner after the last one comes out of its turn
	beatLate     = 3*beatInterval + beatInterval/2
	ackBound     = beatInterval / 2 // what "immediately" means at most
	deadAfter    = 30 * time.Second // silence after which a peer may be given up
)

// hbRules judge heartbeats.
var hbRules = []Rule{
	{"IBTRS-HB-001", on(Heartbeat, HeartbeatAck), checkTicks},
	{"IBTRS-HB-002", on(Heartbeat, HeartbeatAck), checkAcks},
	{"IBTRS-HB-003", on(Heartbeat, HeartbeatAck), func(e *Event, r *Ruling) {
		if !e.Message.HeadMissing {
			if !r.Kept(e.Message.Operation == roce.OperationWrite && e.Message.Length == 0) {
				r.Breaks("%v is a %s of %d bytes", e.Kind, ofOperation(e.Message), e.Message.Length)
			}
		}
	}},
	{"IBTRS-HB-005", on(Heartbeat, RequestSent, RequestAnswered, DisconnectRequest), ofPath(checkTrafficCounts)},
	{"IBTRS-HB-011", on(Heartbeat), ofPath(checkConnectedBeat)},
}

// checkTicks: one heartbeat a tick, and none while the peer is silent.
func checkTicks(e *Event, r *Ruling) {
	if e.Kind == HeartbeatAck {
		checkBeats(e, r)
		return
	}
	beat := e.Beat
	if e.Connection.cid != 0 {
		r.Breaks("heartbeat on connection %d", e.Connection.cid)
		return
	}
	if !beat.HasSince || !beat.Clean || e.build == nil {
		return
	}
	switch {
	case beat.Since < 0 && beat.PeerHeard:
		r.unsureOfTime(r.tally())
	case beat.Since >= 0 && beat.Since < beatEarly:
		r.Breaks("heartbeat %s after the last, the interval is %s", shortTime(beat.Since), beatInterval)
	case !beat.PeerHeard && e.flow.back != nil && e.flow.back.started:
		r.BreaksUnlessMissed(fromSide(e.build, e.From.other()), beat.lastSeq, "heartbeat, although nothing came since the last one%s", ago(beat.Since))
	case beat.Since > beatLate && !beat.Waiting:
		r.Unsure("heartbeat %s after the last", shortTime(beat.Since)) // the machine may have been stopped
	default:
		r.Holds()
	}
}

// checkBeats: a side that acknowledges heartbeats, tick after tick, sends its own as well.
func checkBeats(e *Event, r *Ruling) {
	if e.build == nil || e.Connection.cid != 0 || e.From == Nobody {
		return
	}
	h := &e.build.beats[e.From]
	if h.acks < 2 || h.overdue || !e.tells(h.ackedAt) {
		return
	}
	if silent := e.At.Sub(h.ackedAt); silent > beatLate {
		h.overdue = true
		r.BreaksUnlessMissed([]stream{e.flow}, h.ackedSeq, "%d heartbeats are acknowledged in %s, and none is sent", h.acks, shortTime(silent))
	}
}

// fromSide lists the streams in which one side sends on a path.
func fromSide(b *build, side Side) []stream {
	var streams []stream
	for _, l := range b.lanes {
		if f := l.conn.flow(side); f != nil {
			streams = append(streams, f)
		}
	}
	return streams
}

// checkAcks: each heartbeat is acknowledged at once. It is settled by the acknowledgement, or by a later heartbeat of the
// same side if none came.
func checkAcks(e *Event, r *Ruling) {
	beat := e.Beat
	acker := e.From
	if e.Kind == Heartbeat {
		acker = e.From.other()
		r.confirmLateAck(e)
	}
	t := r.tallyOf(acker)
	switch {
	case e.Kind == HeartbeatAck && e.Connection.cid != 0:
		r.Breaks("acknowledgement on connection %d", e.Connection.cid)
	case e.Kind == HeartbeatAck && beat.Expected && beat.Since < 0:
		r.unsureOfTime(t)
	case e.Kind == HeartbeatAck && beat.Expected && beat.Clean && beat.Since > ackBound:
		r.unsureOfTime(t)
		if e.build != nil {
			e.build.lateAcks[e.From.other()] = &lateAck{t, r.violation("heartbeat acknowledged after %s", shortTime(beat.Since)), beat.Since}
		}
	case e.Kind == HeartbeatAck && beat.Expected && beat.Since <= ackBound:
		r.holds(t)
	case e.Kind == Heartbeat && beat.Waiting && beat.Clean && e.flow.back != nil && beat.PeerHeard && e.flow.back.cleanSince(beat.lastSeq):
		s := &suspicion{tally: t, violation: r.violation("the heartbeat before this one was not acknowledged, although its sender was heard"), waiting: 1}
		t.open++
		if !e.flow.back.watch(s) {
			s.gap(nil)
		}
	}
}

// lateAck is an acknowledgement that came late, or behind a clock that was set or a machine that stood still.
type lateAck struct {
	tally     *tally
	violation Violation
	since     time.Duration
}

// confirmLateAck blames for a late acknowledgement when the next heartbeat of the side that waited for it comes in its turn: the
// time was right, and the side was not stopped.
func (r *Ruling) confirmLateAck(e *Event) {
	if e.build == nil {
		return
	}
	late := e.build.lateAcks[e.From]
	e.build.lateAcks[e.From] = nil
	if late != nil && e.Beat.HasSince && e.Beat.Since >= 0 && e.Beat.Since < beatInterval+late.since/2 {
		late.tally.add(late.violation)
	}
}

// checkTrafficCounts: who gets I/O does not give up its peer for lack of acknowledgements.
func checkTrafficCounts(e *Event, r *Ruling) {
	b := e.build
	side := e.From
	if side == Nobody {
		return
	}
	h := &b.beats[side]
	if !h.any || !h.waiting || !h.peerHeard {
		return
	}
	silence, known := r.Elapsed(h.lastAt)
	heard := b.heard[side.other()]
	switch {
	case !known || silence < deadAfter:
	case e.Kind != DisconnectRequest:
		if !b.lost {
			r.Holds() // it still works, as long after the heartbeat
		}
	case e.Connection.Closer == side && e.At.Sub(heard) < deadAfter/2 && b.lanes[0] != nil && cleanStreams(b, side, h.lastSeq):
		r.Breaks("the path is closed %s after a heartbeat without acknowledgement, although the peer was heard %s ago",
			shortTime(silence), shortTime(e.At.Sub(heard)))
	}
}

// cleanStreams reports whether nothing that the side's peer sent on connection 0 since a frame was missed.
func cleanStreams(b *build, side Side, since uint64) bool {
	f := b.lanes[0].conn.flow(side.other())
	return f != nil && f.started && f.cleanSince(since)
}

// checkConnectedBeat: no heartbeat before the path is connected, or after it was closed.
func checkConnectedBeat(e *Event, r *Ruling) {
	b := e.build
	switch {
	case b.lost:
		if b.lostBy != e.From {
			return
		}
		if since, known := r.Elapsed(b.path.lostAt); known && since > time.Second {
			r.Breaks("heartbeat after the %s closed the path", e.From)
		}
	case b.hasInfo:
		r.Holds()
	case e.From == Target && b.infoRequests > 0:
		return // connected from its own point of view
	case b.lanes[0] == nil || !b.lanes[0].conn.HasRequest || !b.lanes[0].conn.HasReply:
		r.Unsure("heartbeat on a path whose INFO exchange was not seen")
	default:
		r.BreaksUnlessMissed([]stream{b.lanes[0].conn.flow(e.From.other())}, always, "heartbeat before the INFO exchange")
	}
}
