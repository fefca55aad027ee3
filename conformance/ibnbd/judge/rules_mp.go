// SPDX-License-Identifier: Apache-2.0

package judge

import "github.com/ibnbd/ibnbd/conformance/audit"

import "time"

// enoughPicks is how many choices of a path are looked at before a policy is judged: single choices may look wrong
// because answers are on their way.
const enoughPicks = 256

// mpRules judge which path requests take.
var mpRules = []rule{
	{"IBTRS-MP-002", on(RequestSent), policy(audit.RoundRobin, (*picks).alternates)},
	{"IBTRS-MP-003", on(RequestSent), policy(audit.MinInflight, (*picks).fewest)},
	{"IBTRS-MP-004", on(RequestSent), policy(audit.MinLatency, (*picks).quickest)},
	{"IBTRS-MP-005", on(RequestSent), ofPath(checkConnectedPath)},
	{"IBTRS-MP-009", on(RequestSent), ofPath(func(e *Event, r *audit.Ruling) {
		if e.Path.added && e.CID() > 0 && e.build.hasInfo {
			r.Holds()
		}
	})},
	{"IBTRS-MP-010", on(RequestSent), checkOwnPath},
}

// policy makes the check of a multipath policy: most choices among the connected paths must be the policy's.
func policy(p audit.Policy, good func(*picks, *Event) bool) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if r.Config().Policy != p || e.CID() == 0 || connectedPaths(e.Session) < 2 {
			return
		}
		m := memoryOf(r).picksOf(e.Session)
		if good(m, e) {
			m.good++
		} else {
			m.bad++
		}
		if n := m.good + m.bad; n == enoughPicks {
			if !r.Kept(m.bad <= enoughPicks/4) {
				r.Breaks("of %d choices of a path %d are not those of the policy %s", n, m.bad, p)
			}
			m.good, m.bad = 0, 0
		}
	}
}

func connectedPaths(s *Session) int {
	n := 0
	for _, p := range s.paths {
		if p.Connected() {
			n++
		}
	}
	return n
}

// alternates: each processor, to which a connection number belongs, takes another path than the last time.
func (p *picks) alternates(e *Event) bool {
	last, known := p.last[e.CID()]
	return !known || last != e.Path.ID
}

func (p *picks) fewest(e *Event) bool {
	for _, other := range e.Session.paths {
		if other.Connected() && p.inflight[other.ID] < p.inflight[e.Path.ID] {
			return false
		}
	}
	return true
}

func (p *picks) quickest(e *Event) bool {
	const alike = 100 * time.Microsecond // the wire's time is not the initiator's
	for _, other := range e.Session.paths {
		if other.Connected() && p.latency[other.ID]+alike < p.latency[e.Path.ID] {
			return false
		}
	}
	return true
}

// checkConnectedPath: a path that was closed is not picked.
func checkConnectedPath(e *Event, r *audit.Ruling) {
	b := e.build
	switch {
	case b.lost && b.lostBy != audit.Nobody:
		if _, known := r.Elapsed(b.path.lostAt); known && e.Message.FirstAt.Sub(b.path.lostAt) > time.Second {
			r.Breaks("request on a path that was closed")
		}
	case b.hasInfo:
		r.Holds()
	}
}

// checkOwnPath: address and key of a request are those of the path that it takes.
func checkOwnPath(e *Event, r *audit.Ruling) {
	q := e.Request
	switch {
	case q.Place == OfOtherPath:
		r.Breaks("request is written to %#x, chunk %d of another path", q.VA, q.Chunk)
	case q.Key == OfOtherPath, q.Key == Wrong && (q.Place == Right || q.Place == NotKnown):
		if !e.build.complete() {
			r.Unsure("key %#x of chunk %d", q.RKey, q.Chunk)
			return
		}
		r.BreaksUnlessMissed(streamsOf(e.build), e.Seq, "request has key %#x, which is not that of chunk %d on this path", q.RKey, q.Chunk)
	case q.Place == Right && q.Key == Right:
		r.Holds()
	}
}
