// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Files that were captured on several machines have several clocks. How far these are apart shows where a cause stands in one file
// and its effect in another:
//
//   - The same packet in both files: sent at one end, it arrives at the other. Half the difference of the two directions is skew.
//   - A packet in one file and its acknowledgement in the other, as where each direction has a file.
//   - A permit that is used on a path while another path has not answered its last request. A session has one holder of each
//     permit, so that the times of use on two paths must not overlap; and the paths of a session begin and end with it. That only
//     the protocol knows, see [Traced].
//
// A first pass over the files collects that, the second one judges.

// trace is what a file shows of cause and effect. Times are nanoseconds since 1970.
type trace struct {
	packets  sample[packetSight] // by what is the same at every place
	requests sample[int64]       // when a packet that asks for an answer was first seen, by its answer
	answers  sample[int64]
	permits  map[permitKey][]useOf
	sessions map[SessionKey]*SessionTimes
	uses     int
}

// packetSight is when a packet was seen, and which way it went.
type packetSight struct {
	at      int64
	upwards bool // from the lower address to the higher
}

// permitKey names a permit of a session.
type permitKey struct {
	session SessionKey
	permit  uint32
}

// useOf is when a permit was used, from the request to its answer.
type useOf struct{ from, to int64 }

// SessionKey names a session in whatever file its paths are.
type SessionKey [16]byte

// Traced is the detail of an event that shows something of a session whose paths may be in several files.
type Traced interface {
	SessionKey() (SessionKey, bool)
	// Trace notes what the event shows.
	Trace(l *SessionTimes)
}

// SessionTimes is what a file shows of the life of a session: moments, 0 if not seen.
type SessionTimes struct {
	accepted int64
	joins    int64
	opened   int64
	closing  int64
	firstIO  int64
	lastIO   int64
	last     int64 // of all that happened in it

	in  *trace
	key SessionKey
}

// Accepted notes that the connection which begins the session is accepted.
func (l *SessionTimes) Accepted() { noteFirst(&l.accepted, l.last) }

// Joins notes that a path is asked for that joins the session.
func (l *SessionTimes) Joins() { noteFirst(&l.joins, l.last) }

// Opened notes that the opening of a device is answered.
func (l *SessionTimes) Opened() { noteFirst(&l.opened, l.last) }

// Closing notes that the closing of a device is asked for.
func (l *SessionTimes) Closing() { l.closing = l.last }

// IO notes a read, a write or the like.
func (l *SessionTimes) IO() {
	l.lastIO = l.last
	noteFirst(&l.firstIO, l.last)
}

// Used notes the use of a permit since the end of a request, now that it is answered.
func (l *SessionTimes) Used(permit uint32, since time.Time) {
	if l.in.uses++; l.in.uses <= mostUses {
		key := permitKey{l.key, permit}
		l.in.permits[key] = append(l.in.permits[key], useOf{since.UnixNano(), l.last})
	}
}

func noteFirst(moment *int64, at int64) {
	if *moment == 0 {
		*moment = at
	}
}

// ruled reports whether devices were opened or closed in the file.
func (l *SessionTimes) ruled() bool { return l.opened != 0 || l.closing != 0 }

// mostUses is how many uses of permits are kept of a file.
const mostUses = 1 << 18

// sample keeps things by key: of too many a part that is the same for every file.
type sample[V any] struct {
	mask uint64
	kept map[uint64]V
}

const mostSampled = 1 << 16

// add keeps the first value of a key.
func (s *sample[V]) add(key uint64, value V) {
	if s.kept == nil {
		s.kept = make(map[uint64]V)
	}
	if key&s.mask != 0 {
		return
	}
	if _, known := s.kept[key]; known {
		return
	}
	s.kept[key] = value
	for len(s.kept) > mostSampled {
		s.mask = s.mask<<1 | 1
		for k := range s.kept {
			if k&s.mask != 0 {
				delete(s.kept, k)
			}
		}
	}
}

// collect reads a file for what it shows.
func collect(ctx context.Context, name string, protocols []*Protocol) (*trace, error) {
	file, err := OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	source := newSteady(file, protocols)
	defer source.Close()
	e := &trace{permits: make(map[permitKey][]useOf), sessions: make(map[SessionKey]*SessionTimes)}
	tracker := NewTracker(Options{SkipICRC: true, Protocols: protocols})
	tracker.Observe(e.observe)
	for n := 0; ; n++ {
		if n%cancelEvery == 0 && ctx.Err() != nil {
			return nil, endOf(ctx)
		}
		frame, err := source.Next()
		if err != nil {
			return e, nil // if it is not the end, it comes again when the file is judged
		}
		before := tracker.counters.RoCE
		tracker.Add(frame)
		if !frame.Untimed && tracker.counters.RoCE > before {
			e.packet(&tracker.packet, frame.At)
		}
	}
}

// packet notes a packet of RDMA.
func (e *trace) packet(p *roce.Packet, at time.Time) {
	now := at.UnixNano()
	e.packets.add(digestOf(p), packetSight{now, p.Src.Less(p.Dst)})
	op := p.BTH.OpCode
	if op.Class() != roce.ClassRC {
		return
	}
	src, dst := p.Src.As16(), p.Dst.As16()
	if op.IsResponse() {
		src, dst = dst, src
	}
	key := mix(mix(uint64(p.BTH.PSN), be.Uint64(src[8:])), be.Uint64(dst[8:]))
	if op.IsResponse() {
		e.answers.add(key, now)
	} else {
		e.requests.add(key, now)
	}
}

// mostSessions is how many sessions are compared.
const mostSessions = 8192

// observe notes what is told of sessions.
func (e *trace) observe(event *Event) {
	detail, traced := event.Detail.(Traced)
	if !traced {
		return
	}
	key, known := detail.SessionKey()
	if !known {
		return
	}
	l := e.sessions[key]
	if l == nil {
		if len(e.sessions) >= mostSessions {
			return
		}
		l = &SessionTimes{in: e, key: key}
		e.sessions[key] = l
	}
	l.last = event.At.UnixNano()
	detail.Trace(l)
}

// skew is how far the clock of one file is ahead of that of another.
type skew struct {
	ahead time.Duration
	known bool // something in the files tells
}

// skewOf compares two files.
func skewOf(a, b *trace) skew {
	if s := bySamePackets(a, b); s.known {
		return s
	}
	if s := byAcknowledgements(a, b); s.known {
		return s
	}
	return bySessions(a, b)
}

// mostApart is how far the same clock may seem to be from itself: by the way between two places of capture.
const mostApart = 100 * time.Microsecond

// bySamePackets compares when the same packets were seen.
func bySamePackets(a, b *trace) skew {
	const few = 4
	var ways [2][]int64
	for key, in := range a.packets.kept {
		if there, both := b.packets.kept[key]; both {
			way := 0
			if in.upwards {
				way = 1
			}
			ways[way] = append(ways[way], there.at-in.at)
		}
	}
	if len(ways[0])+len(ways[1]) < few {
		return skew{}
	}
	sum, n := int64(0), int64(0)
	for _, w := range ways {
		if len(w) > 0 {
			slices.Sort(w)
			sum, n = sum+w[len(w)/2], n+1
		}
	}
	ahead := time.Duration(sum / n)
	if ahead.Abs() <= mostApart {
		ahead = 0
	}
	return skew{ahead, true}
}

// byAcknowledgements compares packets in one file with their answers in the other.
func byAcknowledgements(a, b *trace) skew {
	most := edge(a.requests.kept, b.answers.kept)   // an answer in b comes after its packet in a
	least := -edge(b.requests.kept, a.answers.kept) // and the other way round
	switch {
	case most == unbounded && least == -unbounded:
		return skew{}
	case least <= 0 && most >= 0:
		return skew{0, true}
	}
	return skew{time.Duration(between(least, most)), true}
}

const unbounded = math.MaxInt64

// edge is the least time from a packet to its answer, but for a few that may come from packets that were not captured.
func edge(requests, answers map[uint64]int64) int64 {
	var took []int64
	for key, asked := range requests {
		if answered, both := answers[key]; both {
			took = append(took, answered-asked)
		}
	}
	if len(took) == 0 {
		return unbounded
	}
	slices.Sort(took)
	return took[len(took)/100]
}

// between is the middle of a range, or its end if it has but one.
func between(least, most int64) int64 {
	switch {
	case least == -unbounded:
		return most
	case most == unbounded:
		return least
	}
	return least + (most-least)/2
}

// bySessions compares when the paths of a session began and ended, and when its permits were used.
func bySessions(a, b *trace) skew {
	least, most, shared := int64(-unbounded), int64(unbounded), false
	for id, in := range a.sessions {
		there := b.sessions[id]
		if there == nil {
			continue
		}
		shared = true
		most = min(most, lifeOf(in, there))
		least = max(least, -lifeOf(there, in))
	}
	if !shared {
		return skew{}
	}
	if least > most { // it is not as simple as that
		least, most = -unbounded, unbounded
	}
	return byPermits(a, b, least, most)
}

// lifeOf is how far the clock of a file may be ahead at most of that of another in which a session began or ended.
func lifeOf(of, in *SessionTimes) int64 {
	most := int64(unbounded)
	if of.accepted != 0 && in.joins != 0 {
		most = min(most, in.joins-of.accepted)
	}
	if of.joins != 0 && in.accepted != 0 { // it joins a session that lives
		most = min(most, in.last-of.joins)
	}
	if of.opened != 0 && in.firstIO != 0 && !in.ruled() {
		most = min(most, in.firstIO-of.opened)
	}
	if in.closing != 0 && of.lastIO != 0 && !of.ruled() {
		most = min(most, in.closing-of.lastIO)
	}
	return most
}

// span is a range of skews that the use of a permit forbids.
type span struct{ from, to int64 }

// mostSpans is how many are compared.
const mostSpans = 1 << 20

// reach is how far from where it may be at least a skew is looked for.
const reach = int64(30 * time.Second)

// byPermits finds the skew at which the fewest permits are used on two paths at once, within a range, and nearest to none.
func byPermits(a, b *trace, least, most int64) skew {
	wanted := min(max(0, least), most)
	least, most = max(least, wanted-reach), min(most, wanted+reach)
	spans := forbidden(a, b, least, most)
	at, overlaps, without := leastCovered(spans, least, most, wanted)
	if wanted == 0 && (without == 0 || overlaps*4 > without) { // nothing is to be explained, or it would explain too little
		return skew{0, true}
	}
	return skew{time.Duration(at), true}
}

// forbidden lists the skews at which two uses of a permit overlap.
func forbidden(a, b *trace, least, most int64) []span {
	var spans []span
	for key, in := range a.permits {
		there := b.permits[key]
		first := 0
		for _, u := range in {
			for first < len(there) && there[first].to-u.from <= least {
				first++
			}
			for _, v := range there[first:] {
				if v.from-u.to >= most || len(spans) >= mostSpans {
					break
				}
				spans = append(spans, span{v.from - u.to, v.to - u.from})
			}
		}
	}
	return spans
}

// leastCovered finds in a range the place that the fewest spans cover, nearest to the wanted one, and how many cover that and the
// wanted one.
func leastCovered(spans []span, least, most, wanted int64) (at int64, fewest, there int) {
	type turn struct {
		at   int64
		more int
	}
	var turns []turn
	for _, s := range spans {
		turns = append(turns, turn{s.from, 1}, turn{s.to, -1})
		if s.from < wanted && wanted < s.to {
			there++
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.more, b.more)) })
	fewest = math.MaxInt
	covered, from, gap := 0, int64(math.MinInt64), span{}
	consider := func(to int64) {
		lo, hi := max(from, least), min(to, most)
		if lo > hi || covered > fewest {
			return
		}
		near := min(max(wanted, lo), hi)
		if covered < fewest || distance(near, wanted) < distance(at, wanted) {
			at, fewest, gap = near, covered, span{lo, hi}
		}
	}
	for _, t := range turns {
		consider(t.at)
		covered, from = covered+t.more, t.at
	}
	consider(math.MaxInt64)
	return gap.inside(wanted), fewest, there
}

// inside gives a place in a range, near the wanted one and not at an end.
func (s span) inside(wanted int64) int64 {
	const inset = int64(time.Millisecond)
	if wanted == 0 && s.from < 0 && s.to > 0 {
		return 0
	}
	d := min((s.to-s.from)/2, inset)
	return min(max(wanted, s.from+d), s.to-d)
}

func distance(a, b int64) int64 { return max(a-b, b-a) }
