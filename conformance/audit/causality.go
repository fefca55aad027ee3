// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"net/netip"
	"slices"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// prober looks for cause and effect among a few frames, without what a tracker knows of connections.
type prober struct {
	packet    roce.Packet
	unwrap    unwrapper
	protocols []*Protocol
}

// sighting is what a packet shows by itself.
type sighting struct {
	src, dst  netip.Addr
	kind      sightingKind
	qpn       uint32
	psn       roce.PSN
	again     uint64 // transaction of a management datagram
	attribute roce.AttributeID
	beats     bool // it is a heartbeat, or looks like one
}

type sightingKind uint8

const (
	unrelated  sightingKind = iota
	request                 // of a reliable connection
	answer                  // acknowledgement or response
	management              // datagram of connection management
)

// see reads frames; those that show nothing are unrelated.
func (p *prober) see(frames []*timedFrame) []sighting {
	seen := make([]sighting, len(frames))
	for i, f := range frames {
		seen[i] = p.one(f.frame)
	}
	return seen
}

func (p *prober) one(f Frame) sighting {
	p.unwrap.packet = &p.packet
	if f.Lost || p.unwrap.unwrap(f) != nil {
		return sighting{}
	}
	q := &p.packet
	s := sighting{src: q.Src, dst: q.Dst, qpn: q.BTH.DestQP, psn: q.BTH.PSN}
	switch op := q.BTH.OpCode; {
	case op.Class() == roce.ClassRC && op.IsResponse():
		s.kind = answer
	case op.Class() == roce.ClassRC:
		s.kind = request
		s.beats = slices.ContainsFunc(p.protocols, func(p *Protocol) bool { return p.IsHeartbeat != nil && p.IsHeartbeat(q) })
	case q.IsMAD():
		if mad, _, err := roce.DecodeCM(q.Payload); err == nil {
			s.kind, s.again, s.attribute = management, mad.TransactionID, mad.AttributeID
		}
	}
	return s
}

// sent names a request packet as its answer does: who sent it to whom, with which number.
type sent struct {
	from, to netip.Addr
	psn      roce.PSN
}

// told names a management datagram.
type told struct {
	transaction uint64
	attribute   roce.AttributeID
}

// causes are the datagrams that others answer in the same transaction.
var causes = map[roce.AttributeID]roce.AttributeID{roce.AttrREP: roce.AttrREQ, roce.AttrMRA: roce.AttrREQ, roce.AttrREJ: roce.AttrREQ, roce.AttrDREP: roce.AttrDREQ}

// flowOf names a direction of a queue pair.
type flowOf struct {
	from, to netip.Addr
	qpn      uint32
}

// violations counts what is in the wrong order: effects before their causes, and packets before those with lower numbers.
func (p *prober) violations(frames []*timedFrame) int {
	seen := p.see(frames)
	requests, datagrams := make(map[sent]int), make(map[told]int)
	newest := make(map[flowOf]roce.PSN)
	wrong := 0
	for i, s := range seen {
		switch s.kind {
		case request:
			if key := (sent{s.src, s.dst, s.psn}); !has(requests, key) {
				requests[key] = i
			}
			flow := flowOf{s.src, s.dst, s.qpn}
			if last, known := newest[flow]; known && s.psn.Before(last) {
				wrong++
			} else {
				newest[flow] = s.psn
			}
		case management:
			if key := (told{s.again, s.attribute}); !has(datagrams, key) {
				datagrams[key] = i
			}
		}
	}
	for i, s := range seen {
		switch s.kind {
		case answer:
			if cause, known := requests[sent{s.dst, s.src, s.psn}]; known && cause > i {
				wrong++
			}
		case management:
			if cause, known := datagrams[told{s.again, causes[s.attribute]}]; known && cause > i {
				wrong++
			}
		}
	}
	return wrong
}

func has[K comparable, V any](m map[K]V, key K) bool {
	_, ok := m[key]
	return ok
}

// acknowledgedAhead is how far behind a packet the number in an acknowledgement of it may be.
const acknowledgedAhead = 1 << 12

// stoodStill tells from the frames around a silence that hardly any time has passed in it, or that everything stood still: a
// packet that was sent before it is acknowledged after it and not sent again; or, after a silence that is dead, a connection with
// heartbeats goes on as if there had been none.
func (p *prober) stoodStill(past, ahead []*timedFrame, dead bool) bool {
	before, behind := p.see(past), p.see(ahead)
	return waits(before, behind) || dead && goesOn(before, behind)
}

// waits reports whether a packet of before is answered in behind for the first time, and not sent again until then.
func waits(before, behind []sighting) bool {
	for i, s := range before {
		if s.kind != request || slices.ContainsFunc(before[i:], s.answeredBy) {
			continue
		}
		answered := slices.IndexFunc(behind, s.answeredBy)
		again := slices.IndexFunc(behind, func(a sighting) bool {
			return a.kind == request && a.src == s.src && a.dst == s.dst && a.qpn == s.qpn && a.psn.Sub(s.psn) <= 0
		})
		if answered >= 0 && (again < 0 || again > answered) {
			return true
		}
	}
	return false
}

// answeredBy reports whether an answer is to the packet or to one behind it.
func (s sighting) answeredBy(a sighting) bool {
	distance := a.psn.Sub(s.psn)
	return a.kind == answer && a.src == s.dst && a.dst == s.src && distance >= 0 && distance < acknowledgedAhead
}

// goesOn reports whether a direction of a queue pair has its next packet in behind, between two that have heartbeats.
func goesOn(before, behind []sighting) bool {
	newest := make(map[flowOf]roce.PSN)
	beats := make(map[flowOf]bool)
	note := func(s sighting) {
		beats[flowOf{s.src, s.dst, 0}] = beats[flowOf{s.src, s.dst, 0}] || s.beats
		beats[flowOf{s.dst, s.src, 0}] = beats[flowOf{s.dst, s.src, 0}] || s.beats
	}
	for _, s := range before {
		if s.kind == request {
			newest[flowOf{s.src, s.dst, s.qpn}] = s.psn
			note(s)
		}
	}
	for _, s := range behind {
		if s.kind == request {
			note(s)
		}
	}
	return slices.ContainsFunc(behind, func(s sighting) bool {
		last, known := newest[flowOf{s.src, s.dst, s.qpn}]
		return s.kind == request && known && s.psn == last.Add(1) && beats[flowOf{s.src, s.dst, 0}]
	})
}
