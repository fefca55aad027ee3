// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// HeartbeatFacts is what is known around one heartbeat or acknowledgement.
type HeartbeatFacts struct {
	Since     time.Duration // of a heartbeat: since the side's last one; of an acknowledgement: since the heartbeat; negative if the capture does not tell
	HasSince  bool
	Before    time.Duration // of a heartbeat: from the side's last but one to its last; 0 if that is not known
	Expected  bool          // of an acknowledgement: a heartbeat waited for it
	PeerHeard bool          // of a heartbeat: a message of the peer came since the last one
	Connected bool          // the INFO exchange was done
	Clean     bool          // nothing was missed, sent again or out of order since
	Waiting   bool          // of a heartbeat: the last one was not acknowledged

	lastSeq uint64 // the frame of the last heartbeat
}

func (t *follower) takeHeartbeat(f *audit.Flow, l *lane, m *audit.Message) {
	b := l.build
	kind := Heartbeat
	if ibtrs.Immediate(m.Immediate).Type() == ibtrs.ImmHeartbeatAck {
		kind = HeartbeatAck
	}
	e := t.fresh(kind)
	e.setMessage(f, m)
	e.build = b
	if kind == Heartbeat {
		e.Beat = t.takeBeat(b, f, m)
	} else {
		e.Beat = t.takeBeatAck(b, f, m)
		if e.Beat.Expected {
			e.AddFrame(b.beats[f.From().Other()].lastFrame)
		}
	}
	t.Emit(e.Event)
}

func (t *follower) takeBeat(b *build, f *audit.Flow, m *audit.Message) HeartbeatFacts {
	h := &b.beats[f.From()]
	beat := HeartbeatFacts{
		HasSince: h.any, lastSeq: h.lastSeq, PeerHeard: h.peerHeard, Connected: b.connected && !b.lost, Waiting: h.waiting,
		Clean: f.CleanSince(h.lastSeq) && !f.AgainSince(h.lastSeq) && !m.Late && !h.late,
	}
	late := m.Late || f.AgainSince(h.lastSeq)
	if h.any {
		beat.Since, beat.Before = t.Elapsed(h.lastAt, m.FirstAt), h.since
	}
	*h = heartbeat{lastAt: m.FirstAt, since: beat.Since, lastSeq: t.Seq(), any: true, waiting: true, late: late, lastFrame: m.First}
	return beat
}

// hear takes a message of the peer.
func (h *heartbeat) hear(at time.Time) {
	if !h.peerHeard {
		h.peerHeard, h.heardAt = true, at
	}
}

func (t *follower) takeBeatAck(b *build, f *audit.Flow, m *audit.Message) HeartbeatFacts {
	h := &b.beats[f.From().Other()]
	beat := HeartbeatFacts{Connected: b.connected && !b.lost, Expected: h.waiting, HasSince: h.any}
	if h.any {
		beat.Since = t.Elapsed(h.lastAt, m.FirstAt)
		beat.Clean = f.CleanSince(h.lastSeq) && !f.AgainSince(h.lastSeq) && !f.Back().AgainSince(h.lastSeq) && !m.Late
	}
	if own := &b.beats[f.From()]; h.waiting {
		if own.acks++; own.acks == 1 {
			own.ackedAt, own.ackedSeq = m.FirstAt, m.FirstSeq
		}
	}
	h.waiting = false
	return beat
}
