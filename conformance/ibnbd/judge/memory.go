// SPDX-License-Identifier: Apache-2.0

package judge

import "github.com/ibnbd/ibnbd/conformance/audit"

import "time"

// memories is what rules must remember beyond what the tracker keeps, of bounded size.
type memories struct {
	attempts map[uint64]*attempts // by path
	picks    map[uint64]*picks    // by session
}

// attempts are the automatic reconnects of a path since it was last connected.
type attempts struct {
	n int
}

// picks are the choices of paths in a session.
type picks struct {
	inflight map[uint64]int
	last     map[int]uint64 // by connection number
	good     int
	bad      int
	latency  map[uint64]time.Duration
}

const maxMemories = 8192

func newMemories() *memories {
	return &memories{attempts: make(map[uint64]*attempts), picks: make(map[uint64]*picks)}
}

func memoryOf(r *audit.Ruling) *memories { return r.Memory().(*memories) }

// After learns from an event that the rules have seen.
func (m *memories) After(event *audit.Event) {
	e := Of(event)
	switch e.Kind {
	case audit.ConnectionRequest:
		m.startAttempt(e)
	case PathUp:
		delete(m.attempts, e.Path.ID)
	case RequestSent, RequestAnswered, Unanswered:
		if p := m.picksOf(e.Session); p != nil {
			p.learn(e)
		}
	case HeartbeatAck:
		if p := m.picksOf(e.Session); p != nil && e.From == audit.Target && e.Beat.Expected && e.Beat.Since >= 0 {
			p.latency[e.Path.ID] = e.Beat.Since
		}
	}
}

func (m *memories) startAttempt(e *Event) {
	if !e.HasPrevious || e.Path == nil {
		return
	}
	if len(m.attempts) >= maxMemories {
		clear(m.attempts)
	}
	a := m.attempts[e.Path.ID]
	if a == nil {
		a = new(attempts)
		m.attempts[e.Path.ID] = a
	}
	a.n++
}

func (m *memories) picksOf(s *Session) *picks {
	if s == nil {
		return nil
	}
	p := m.picks[s.ID]
	if p == nil {
		if len(m.picks) >= maxMemories {
			clear(m.picks)
		}
		p = &picks{inflight: make(map[uint64]int), last: make(map[int]uint64), latency: make(map[uint64]time.Duration)}
		m.picks[s.ID] = p
	}
	return p
}

func (p *picks) learn(e *Event) {
	if e.Request == nil || e.Path == nil {
		return
	}
	switch e.Kind {
	case RequestSent:
		p.inflight[e.Path.ID]++
		p.last[e.CID()] = e.Path.ID
	default:
		p.inflight[e.Path.ID] = max(0, p.inflight[e.Path.ID]-1)
	}
}
