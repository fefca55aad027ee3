// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// hbRules judge heartbeats.
var hbRules = []rule{
	{"IBTRS-HB-001", on(Heartbeat, HeartbeatAck), checkTicks},
	{"IBTRS-HB-002", on(Heartbeat, HeartbeatAck), checkAcks},
	{"IBTRS-HB-003", on(Heartbeat, HeartbeatAck), func(e *Event, r *audit.Ruling) {
		if !e.Message.HeadMissing {
			if !r.Kept(e.Message.Operation == roce.OperationWrite && e.Message.Length == 0) {
				r.Breaks("%v is a %s of %d bytes", e.Kind, ofOperation(e.Message), e.Message.Length)
			}
		}
	}},
	{"IBTRS-HB-005", on(Heartbeat, RequestSent, RequestAnswered, audit.DisconnectRequest), ofPath(checkTrafficCounts)},
	{"IBTRS-HB-011", on(Heartbeat), ofPath(checkConnectedBeat)},
	{"IBTRS-HB-013", on(Heartbeat), func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.CID() == 0) {
			r.Breaks("heartbeat on connection %d", e.CID())
		}
	}},
}

// checkTicks: one heartbeat a tick, and none while the peer is silent.
func checkTicks(e *Event, r *audit.Ruling) {
	if e.Kind == HeartbeatAck {
		checkBeats(e, r)
		return
	}
	beat, own := e.Beat, r.Config().Heartbeats(e.From)
	if !beat.HasSince || !beat.Clean || e.build == nil {
		return
	}
	switch {
	case beat.Since < 0 && beat.PeerHeard:
		r.UnsureOfTime(e.From)
	case beat.Since >= 0 && beat.Since+lateness(beat.Before, own) < own.Early():
		r.Breaks("heartbeat %s after the last, the interval is %s", audit.ShortTime(beat.Since), own.Interval)
	case !beat.PeerHeard && e.Flow.Back() != nil && e.Flow.Back().Started():
		r.BreaksUnlessMissed(fromSide(e.build, e.From.Other()), beat.lastSeq, "heartbeat, although nothing came since the last one%s", audit.Ago(beat.Since))
	case beat.Since > own.Late() && !beat.Waiting:
		r.Unsure("heartbeat %s after the last", audit.ShortTime(beat.Since)) // the machine may have been stopped
	default:
		r.Holds()
	}
}

// lateness is by how much a heartbeat missed its tick that came some time after the one before it, because its side was busy: the next
// tick comes so much earlier. A heartbeat that left out a tick did not miss one.
func lateness(since time.Duration, own audit.Heartbeats) time.Duration {
	if since < own.Interval || since >= 2*own.Interval {
		return 0
	}
	return since - own.Interval
}

// checkBeats: a side that acknowledges heartbeats, tick after tick, sends its own as well.
func checkBeats(e *Event, r *audit.Ruling) {
	if e.build == nil || e.CID() != 0 || e.From == audit.Nobody {
		return
	}
	h := &e.build.beats[e.From]
	if h.acks < 2 || h.overdue || !e.Tells(h.ackedAt) {
		return
	}
	if silent := e.At.Sub(h.ackedAt); silent > r.Config().Heartbeats(e.From).Late() {
		h.overdue = true
		r.BreaksUnlessMissed([]audit.Stream{e.Flow}, h.ackedSeq, "%d heartbeats are acknowledged in %s, and none is sent", h.acks, audit.ShortTime(silent))
	}
}

// fromSide lists the streams in which one side sends on a path.
func fromSide(b *build, side audit.Side) []audit.Stream {
	var streams []audit.Stream
	for _, l := range b.lanes {
		if f := l.conn.Flow(side); f != nil {
			streams = append(streams, f)
		}
	}
	return streams
}

// checkAcks: each heartbeat is acknowledged at once. It is settled by the acknowledgement, or by a later heartbeat of the
// same side if none came.
func checkAcks(e *Event, r *audit.Ruling) {
	beat := e.Beat
	acker := e.From
	if e.Kind == Heartbeat {
		acker = e.From.Other()
		confirmLateAck(e, r.Config().Heartbeats(e.From).Interval)
	}
	switch {
	case e.Kind == HeartbeatAck && e.CID() != 0:
		r.Breaks("acknowledgement on connection %d", e.CID())
	case e.Kind == HeartbeatAck && beat.Expected && beat.Since < 0:
		r.UnsureOfTime(acker)
	case e.Kind == HeartbeatAck && beat.Expected && beat.Clean && beat.Since > r.Config().Acknowledged():
		r.UnsureOfTime(acker)
		if e.build != nil {
			e.build.lateAcks[e.From.Other()] = &lateAck{r.Accuse(acker, "heartbeat acknowledged after %s", audit.ShortTime(beat.Since)), beat.Since}
		}
	case e.Kind == HeartbeatAck && beat.Expected && beat.Since <= r.Config().Acknowledged():
		r.HoldsFor(acker)
	case e.Kind == Heartbeat && beat.Waiting && beat.Clean && e.Flow.Back() != nil && beat.PeerHeard && e.Flow.Back().CleanSince(beat.lastSeq):
		r.SuspectSide(acker, []audit.Stream{e.Flow.Back()}, beat.lastSeq, "the heartbeat before this one was not acknowledged, although its sender was heard")
	}
}

// lateAck is an acknowledgement that came late, or behind a clock that was set or a machine that stood still.
type lateAck struct {
	*audit.Accusation
	since time.Duration
}

// confirmLateAck blames for a late acknowledgement when the next heartbeat of the side that waited for it comes in its turn: the
// time was right, and the side was not stopped.
func confirmLateAck(e *Event, interval time.Duration) {
	if e.build == nil {
		return
	}
	late := e.build.lateAcks[e.From]
	e.build.lateAcks[e.From] = nil
	if late != nil && e.Beat.HasSince && e.Beat.Since >= 0 && e.Beat.Since < interval+late.since/2 {
		late.Confirm()
	}
}

// checkTrafficCounts: who gets I/O does not give up its peer for lack of acknowledgements. What came for the first time within one
// interval before the end may not have been taken yet.
func checkTrafficCounts(e *Event, r *audit.Ruling) {
	b := e.build
	side := e.From
	if side == audit.Nobody {
		return
	}
	h := &b.beats[side]
	if !h.any || !h.waiting || !h.peerHeard {
		return
	}
	silence, known := r.Elapsed(h.lastAt)
	own := r.Config().Heartbeats(side)
	heard := b.heard[side.Other()]
	switch {
	case !known || silence < own.Dead():
	case e.Kind != audit.DisconnectRequest:
		if !b.lost {
			r.Holds() // it still works, as long after the heartbeat
		}
	case e.Connection.Closer == side && e.At.Sub(h.heardAt) > own.Interval && e.At.Sub(heard) < own.Dead()/2 && b.lanes[0] != nil && cleanStreams(b, side, h.lastSeq):
		r.Breaks("the path is closed %s after a heartbeat without acknowledgement, although the peer was heard %s ago",
			audit.ShortTime(silence), audit.ShortTime(e.At.Sub(heard)))
	}
}

// cleanStreams reports whether nothing that the side's peer sent on connection 0 since a frame was missed.
func cleanStreams(b *build, side audit.Side, since uint64) bool {
	f := b.lanes[0].conn.Flow(side.Other())
	return f != nil && f.Started() && f.CleanSince(since)
}

// checkConnectedBeat: no heartbeat before the path is connected, or after it was closed.
func checkConnectedBeat(e *Event, r *audit.Ruling) {
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
	case e.From == audit.Target && b.infoRequests > 0:
		return // connected from its own point of view
	case b.lanes[0] == nil || !b.lanes[0].conn.HasRequest || !b.lanes[0].conn.HasReply:
		r.Unsure("heartbeat on a path whose INFO exchange was not seen")
	default:
		r.BreaksUnlessMissed([]audit.Stream{b.lanes[0].conn.Flow(e.From.Other())}, audit.Always, "heartbeat before the INFO exchange")
	}
}
