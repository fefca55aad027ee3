// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"container/list"
	"errors"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Tracker follows connections, messages and storage requests through a stream of frames. What it finds goes to its
// observers as events, at once; it keeps only what it needs to understand the frames to come. It belongs to one
// goroutine at a time.
type Tracker struct {
	opt        Options
	observers  []func(*Event)
	packet     roce.Packet
	unwrapper  unwrapper
	wrap       wrapping  // around the present packet
	vagueUntil time.Time // since when it is known how much time has passed
	untimed    bool      // the present frame has no time
	apart      bool      // the clocks of the files are not one
	file       int       // of the present frame
	fitsV1     bool      // a RoCEv1 packet has come whose ICRC is right
	doubles    doubles
	place      uint64 // where the present packet was captured
	counters   Counters
	tallies    tallies

	now     packetTime
	rails   map[string]*uint64
	lastRly string
	lastNum *uint64

	flows    map[flowKey]*Flow
	lastFlow *Flow
	byComm   map[commKey]*Connection
	open     *list.List // established connections, the one heard of last in front
	halfOpen *list.List
	managers map[managerKey]*Manager
	ids      uint64

	followers []Follower // of the protocols in the options
	event     Event
	freeHeld  []*heldPacket
}

// packetTime is when and where the present packet was seen.
type packetTime struct {
	seq   uint64 // position among all frames of all rails
	at    time.Time
	frame FrameID
}

// Counters tell what the tracker saw, frame by frame.
type Counters struct {
	Frames          uint64 `json:"frames"`
	Lost            uint64 `json:"lost,omitempty"`    // more of them, that arrived nowhere
	RoCE            uint64 `json:"roce"`              // RoCEv2 packets
	Other           uint64 `json:"other"`             // frames of other protocols
	Foreign         uint64 `json:"foreign"`           // UDP port 4791, but no RoCEv2
	Truncated       uint64 `json:"truncated"`         // cut by a snap length so far that headers are missing
	Cut             uint64 `json:"cut"`               // cut by a snap length, headers complete
	Untimed         uint64 `json:"untimed,omitempty"` // frames of which the capture does not say when they came
	Long            uint64 `json:"long"`              // records longer than the snap length of their file, taken as they are
	Doubles         uint64 `json:"doubles,omitempty"` // packets that were captured at several places, or mirrored: the first is taken
	Corrupted       uint64 `json:"corrupted"`         // wrong ICRC, ignored
	Unverified      uint64 `json:"unverified"`        // of RoCEv1, while no ICRC of it was right: taken all the same
	Management      uint64 `json:"management"`        // connection management datagrams
	UnknownQP       uint64 `json:"unknown_qp"`        // packets of queue pairs whose connection was not seen
	OtherTransport  uint64 `json:"other_transport"`   // unreliable datagrams and connections, congestion notifications
	Messages        uint64 `json:"messages"`          // messages put together
	Retransmitted   uint64 `json:"retransmitted"`     // request packets seen before
	Reordered       uint64 `json:"reordered"`         // packets that came before an earlier one
	Missing         uint64 `json:"missing"`           // packets that were acknowledged and never seen
	Late            uint64 `json:"late"`              // packets that came after they had been given up
	RNRNAKs         uint64 `json:"rnr_naks"`          //
	SequenceNAKs    uint64 `json:"sequence_naks"`     //
	FatalNAKs       uint64 `json:"fatal_naks"`        //
	ManagementAgain uint64 `json:"management_again"`  // repeated connection management datagrams
	ManagementGaps  uint64 `json:"management_gaps"`   // connection management datagrams that were never seen
	Connections     uint64 `json:"connections"`       // connections asked for
	ForgottenOpen   uint64 `json:"forgotten_open"`    // established connections given up for lack of room
	ForgottenHalf   uint64 `json:"forgotten_half"`    // half-open connections given up for lack of room
	ForgottenGroups uint64 `json:"forgotten_session"` // sessions given up for lack of room
}

// AllCorrupted reports whether no packet is good: not the wire has damaged them all, but who has rewritten the capture.
func (c Counters) AllCorrupted() bool { return c.Corrupted > 0 && c.Corrupted == c.RoCE-c.Cut }

// NewTracker makes a tracker without observers.
func NewTracker(options Options) *Tracker {
	t := &Tracker{
		opt:      options.withDefaults(),
		tallies:  newTallies(),
		rails:    make(map[string]*uint64),
		flows:    make(map[flowKey]*Flow),
		byComm:   make(map[commKey]*Connection),
		open:     list.New(),
		halfOpen: list.New(),
		managers: make(map[managerKey]*Manager),
	}
	for _, p := range t.opt.Protocols {
		t.followers = append(t.followers, p.Follow(t))
	}
	t.unwrapper.packet = &t.packet
	return t
}

// Observe adds an observer. It gets every event in order; the event and what it refers to are valid only during the call,
// see [Event].
func (t *Tracker) Observe(see func(*Event)) { t.observers = append(t.observers, see) }

// Counters returns what was counted so far.
func (t *Tracker) Counters() Counters { return t.counters }

// Contents returns what there was so far beside storage.
func (t *Tracker) Contents() Contents {
	c := t.tallies.contents()
	if n := t.counters.UnknownQP; n > 0 {
		c.Transports = append(c.Transports, Count{"of reliable connections (RC) that began before it", n})
		sortCounts(c.Transports)
	}
	return c
}

// Frame takes one live Ethernet frame that was seen on a rail; it numbers the frames of each rail from 1. data may be used
// again after the call. origLen is the frame's length on the wire.
func (t *Tracker) Frame(rail string, at time.Time, data []byte, origLen int) {
	if t.lastNum == nil || t.lastRly != rail {
		number, known := t.rails[rail]
		if !known {
			number = new(uint64)
			t.rails[rail] = number
		}
		t.lastRly, t.lastNum = rail, number
	}
	*t.lastNum++
	t.Add(Frame{FrameID: FrameID{rail, *t.lastNum}, At: at, Data: data, OrigLen: origLen, Link: Ethernet})
}

// Add takes one frame.
func (t *Tracker) Add(f Frame) {
	t.now.seq++
	if f.Lost {
		t.takeLost(f)
		return
	}
	t.counters.Frames++
	if f.Long {
		t.counters.Long++
	}
	t.now.at, t.now.frame = f.At, f.FrameID
	t.noteClock(f)
	err := t.decode(f)
	switch {
	case err == nil && t.isForeign():
		t.counters.Foreign++
	case err == nil:
		t.counters.RoCE++
		if t.wrap != 0 {
			countOne(t.tallies.wrapped, t.wrap)
		}
		t.place = t.doubles.place(f, t.wrap)
		t.takePacket()
	case errors.Is(err, roce.ErrNotRoCE):
		t.counters.Other++
		countOne(t.tallies.others, t.unwrapper.found)
	case errors.Is(err, roce.ErrTruncated) && (f.OrigLen > len(f.Data) || t.wrap != 0): // a mirror may cut what it wraps
		t.counters.Truncated++
	default:
		t.counters.Foreign++
	}
}

// takeLost notes that a packet was sent and did not arrive: its stream goes on with a retransmission, also where that is the
// first packet of its number that arrives.
func (t *Tracker) takeLost(f Frame) {
	t.counters.Lost++
	if t.decode(f) != nil || t.packet.BTH.OpCode.Class() != roce.ClassRC || t.packet.BTH.OpCode.IsResponse() {
		return
	}
	if flow := t.findFlow(&t.packet); flow != nil {
		flow.lastAgain = t.now.seq
	}
}

// decode finds the packet in a frame. A plain one, or one with a VLAN tag, is what most frames hold.
func (t *Tracker) decode(f Frame) error {
	if f.Link == Ethernet {
		if err := t.packet.Decode(f.Data); !errors.Is(err, roce.ErrNotRoCE) {
			t.wrap = 0
			if t.packet.Tagged {
				t.wrap = wrapping(inVLAN)
			}
			return err
		}
	}
	err := t.unwrapper.unwrap(f)
	t.wrap = t.unwrapper.found.wrap
	return err
}

// isForeign tells a datagram of another protocol on the port from a RoCEv2 packet that was damaged on its way: not even its
// first bytes are those of a packet, and what stands where the ICRC would be is none.
func (t *Tracker) isForeign() bool {
	p := &t.packet
	if p.BTH.OpCode.Known() && p.BTH.TVer == 0 {
		return false
	}
	return p.CheckICRC() == roce.ICRCBad
}

// takePacket takes the RoCEv2 packet that was decoded.
func (t *Tracker) takePacket() {
	p := &t.packet
	if p.Truncated {
		t.counters.Cut++
	} else if !t.opt.SkipICRC && !t.isWhole(p) {
		t.counters.Corrupted++
		return
	}
	if t.doubles.seen(p, t.place, t.now.at) {
		t.counters.Doubles++
		return
	}
	switch {
	case p.BTH.OpCode.Class() == roce.ClassRC:
		t.takeRC(p)
	case p.IsMAD():
		t.takeManagement(p)
	default:
		t.counters.OtherTransport++
		t.tallies.transports[p.BTH.OpCode>>5]++
	}
}

// isWhole tells by the ICRC whether a packet arrived as it was sent. Captures of RoCEv1 that were made from others kept the ICRC
// of these: none is blamed as long as none is right.
func (t *Tracker) isWhole(p *roce.Packet) bool {
	good := p.CheckICRC() != roce.ICRCBad
	if t.wrap.innermost() != inRoCEv1 || t.fitsV1 {
		return good
	}
	if t.fitsV1 = good; !good {
		t.counters.Unverified++
	}
	return true
}

// End tells the tracker that there are no more frames: what was still missing will not come.
func (t *Tracker) End() {
	for _, l := range []*list.List{t.open, t.halfOpen} {
		for e := l.Front(); e != nil; e = e.Next() {
			e.Value.(*Connection).finish(t)
		}
	}
	t.Emit(&Event{Kind: CaptureEnd})
}

// Emit completes an event with time, frame and detail, and shows it to the observers.
func (t *Tracker) Emit(e *Event) {
	if len(t.observers) == 0 {
		return
	}
	if e.At.IsZero() {
		e.At = t.now.at
	}
	if e.nframes == 0 {
		e.AddFrame(t.now.frame)
	}
	if e.Detail == nil && e.Connection != nil && e.Connection.carries != nil {
		e.Connection.carries.Describe(e)
	}
	e.Seq, e.vagueUntil, e.Untimed, e.Apart = t.now.seq, t.vagueUntil, t.untimed, t.apart
	for _, see := range t.observers {
		see(e)
	}
}

// Fresh returns the tracker's event, emptied, for the next Emit.
func (t *Tracker) Fresh(kind Kind) *Event {
	t.event = Event{Kind: kind}
	return &t.event
}

// Aside emits other events while one is being filled.
func (t *Tracker) Aside(emit func()) {
	saved := t.event
	emit()
	t.event = saved
}

// Options are those of the tracker, with defaults.
func (t *Tracker) Options() Options { return t.opt }

// NewID gives a number that nothing else in the tracker has: no connection, and nothing of a protocol.
func (t *Tracker) NewID() uint64 {
	t.ids++
	return t.ids
}

// Seq numbers the present frame among all frames, from 1.
func (t *Tracker) Seq() uint64 { return t.now.seq }

// Now is when the present frame was captured; of a message, its last frame.
func (t *Tracker) Now() time.Time { return t.now.at }

// File is the number of the present frame's file among those that are judged together.
func (t *Tracker) File() int { return t.file }

// SessionForgotten counts a session that was given up for lack of room.
func (t *Tracker) SessionForgotten() { t.counters.ForgottenGroups++ }

// Held is how much a tracker keeps.
type Held struct{ Established, HalfOpen, Flows, IDs int }

// Held counts what the tracker keeps; see [Options] for the limits.
func (t *Tracker) Held() Held {
	return Held{t.open.Len(), t.halfOpen.Len(), len(t.flows), len(t.byComm)}
}

// takeStray takes a packet of a queue pair whose connection was not seen: the capture began later.
func (t *Tracker) takeStray(p *roce.Packet) {
	t.counters.UnknownQP++
	for _, f := range t.followers {
		f.Stray(p)
	}
}

func addr16(a netip.Addr) [16]byte { return a.As16() }
