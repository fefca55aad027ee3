// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// flowKey names one direction of a queue pair: who gets the packets, on which queue pair, from whom.
type flowKey struct {
	dst, src [16]byte
	qpn      uint32
}

// Flow is one direction of a connection: the requests that one side sends, in the order of their packet sequence numbers.
type Flow struct {
	conn *Connection
	from Side
	key  flowKey
	back *Flow // the other direction

	started   bool
	next      roce.PSN // of the next request packet
	acked     roce.PSN // last acknowledged
	ackedAny  bool
	ackedAt   time.Time
	lastAt    time.Time // of the last packet, ACKs and responses included
	lastGap   uint64    // sequence number of the frame at which a gap was found; 0: none
	lastAgain uint64    // the same for a retransmission, and for a packet that arrived nowhere
	gaps      [4]psnRange
	held      []*heldPacket // packets after a missing one, by PSN
	reads     []readRange   // READs under way
	overrun   readRange     // the oldest of more READs than were granted
	overrunBy int
	msg       Message
	inMessage bool
	watchers  []Watcher
	takers    []taker

	sent          uint64 // request packets
	retransmitted uint64
	rnr           uint64
}

type psnRange struct {
	first roce.PSN
	n     int
}

// readRange are the packets of a READ that waits for its responses.
type readRange = psnRange

// heldPacket is a packet that came before an earlier one.
type heldPacket struct {
	psn     roce.PSN
	at      packetTime
	packet  roce.Packet
	payload []byte
}

// Stream is what packets come in: a direction of a queue pair, or the datagrams of connection management.
type Stream interface {
	// Watch makes w hear of what comes next: something in order, or a gap. It is false if there are too many who wait.
	Watch(w Watcher) bool
	// CleanSince reports whether everything that was sent from a frame on was seen.
	CleanSince(seq uint64) bool
}

// Watcher waits for a stream to go on. A message in order shows that nothing was missed; a gap shows the contrary.
type Watcher interface {
	InOrder()
	Gap()
}

// Acknowledgements is the stream of the acknowledgements of what is sent in a flow: its receiver gives them as long as its queue
// pair lives.
type Acknowledgements struct{ Of *Flow }

// taker waits for the acknowledgement of a packet.
type taker struct {
	Watcher
	psn roce.PSN
}

// keptTail is how many bytes of the end of an RDMA WRITE are kept: the longest user header in use, transport message and
// descriptors.
const keptTail = 512

// Message is a SEND, or RDMA WRITE or READ request, put together from its packets. It is valid only during the event.
type Message struct {
	Operation   roce.Operation
	Length      int    // bytes of the whole message; 0 in a READ request
	Data        []byte // of a SEND: all of it; of a WRITE: the last bytes, 512 at most
	Immediate   uint32
	HasImm      bool
	InvalidKey  uint32 // key to be invalidated
	Invalidates bool
	VA          uint64 // of WRITE and READ
	RKey        uint32
	DMALen      uint32
	HeadMissing bool // packets before were not seen: address, key and length are unknown
	Cut         bool // bytes are missing: a snap length, or more than the tracker keeps
	Solicited   bool

	First, Last     FrameID
	FirstAt, LastAt time.Time
	FirstPSN, PSN   roce.PSN // of the first and of the last packet
	Packets         int
	FirstSeq        uint64 // number of the first frame among all frames
	Late            bool   // it was held back: what follows from it may have been seen before
	buf             []byte
}

// takeRC takes a packet of a reliable connection.
func (t *Tracker) takeRC(p *roce.Packet) {
	f := t.findFlow(p)
	if f == nil {
		t.takeStray(p)
		return
	}
	f.lastAt = t.now.at
	t.touch(f.conn)
	if p.BTH.OpCode.IsResponse() {
		t.takeResponse(f, p)
		return
	}
	t.takeRequest(f, p)
}

func (t *Tracker) findFlow(p *roce.Packet) *Flow {
	key := flowKey{addr16(p.Dst), addr16(p.Src), p.BTH.DestQP}
	if t.lastFlow != nil && t.lastFlow.key == key {
		return t.lastFlow
	}
	f := t.flows[key]
	if f != nil {
		t.lastFlow = f
	}
	return f
}

// farAway is a distance of packet sequence numbers that no retransmission and no gap spans: another connection uses the
// queue pair number.
const farAway = 1 << 20

func (t *Tracker) takeRequest(f *Flow, p *roce.Packet) {
	if !f.started {
		f.started = true
		if !f.conn.psnKnown(f) {
			f.next = p.BTH.PSN
		}
	}
	switch d := p.BTH.PSN.Sub(f.next); {
	case d == 0:
		t.acceptPacket(f, p, t.now)
		t.releaseHeld(f)
	case d < -farAway || d > farAway:
		t.lostTrack(f, p)
	case d < 0:
		t.takeAgain(f, p)
	default:
		t.hold(f, p)
	}
}

// lostTrack begins anew at a packet that cannot belong to what was seen before.
func (t *Tracker) lostTrack(f *Flow, p *roce.Packet) {
	t.dropHeld(f)
	t.gapFound(f, f.next, 1)
	f.conn.uncertain = true
	f.inMessage = false
	f.next = p.BTH.PSN
	t.acceptPacket(f, p, t.now)
}

// takeAgain takes a packet with a number that has passed: a retransmission, or one that had been given up.
func (t *Tracker) takeAgain(f *Flow, p *roce.Packet) {
	for i := range f.gaps {
		if g := f.gaps[i]; g.n > 0 && p.BTH.PSN.In(g.first, g.n) {
			t.counters.Late++
			return
		}
	}
	t.counters.Retransmitted++
	f.retransmitted++
	f.lastAgain = t.now.seq
	e := t.Fresh(Retransmission)
	e.SetFlow(f)
	e.PSN = p.BTH.PSN
	t.Emit(e)
}

// hold keeps a packet that came before an earlier one.
func (t *Tracker) hold(f *Flow, p *roce.Packet) {
	at, found := slices.BinarySearchFunc(f.held, p.BTH.PSN, func(h *heldPacket, psn roce.PSN) int { return h.psn.Sub(psn) })
	if found {
		t.counters.Retransmitted++
		f.retransmitted++
		f.lastAgain = t.now.seq
		return
	}
	t.counters.Reordered++
	h := t.newHeld()
	h.psn, h.at, h.packet = p.BTH.PSN, t.now, *p
	h.payload = append(h.payload[:0], p.Payload...)
	h.packet.Payload = h.payload
	f.held = slices.Insert(f.held, at, h)
	if len(f.held) > t.opt.MaxHeld {
		t.giveUp(f, f.held[0].psn)
	}
}

func (t *Tracker) newHeld() *heldPacket {
	if n := len(t.freeHeld); n > 0 {
		h := t.freeHeld[n-1]
		t.freeHeld = t.freeHeld[:n-1]
		return h
	}
	return new(heldPacket)
}

func (t *Tracker) freeHeldPacket(h *heldPacket) {
	if len(t.freeHeld) < 1024 {
		t.freeHeld = append(t.freeHeld, h)
	}
}

func (t *Tracker) dropHeld(f *Flow) {
	for _, h := range f.held {
		t.freeHeldPacket(h)
	}
	f.held = f.held[:0]
}

// releaseHeld takes the packets that are in order now.
func (t *Tracker) releaseHeld(f *Flow) {
	for len(f.held) > 0 {
		h := f.held[0]
		d := h.psn.Sub(f.next)
		if d > 0 {
			return
		}
		f.held = slices.Delete(f.held, 0, 1)
		if d == 0 {
			t.acceptPacket(f, &h.packet, h.at)
		}
		t.freeHeldPacket(h)
	}
}

// giveUp goes on at psn: what lies before will not come.
func (t *Tracker) giveUp(f *Flow, psn roce.PSN) {
	n := psn.Sub(f.next)
	if n <= 0 {
		return
	}
	t.counters.Missing += uint64(n)
	t.gapFound(f, f.next, n)
	f.inMessage = false
	f.next = psn
	t.releaseHeld(f)
}

// gapFound records that n packets from first on were not seen.
func (t *Tracker) gapFound(f *Flow, first roce.PSN, n int) {
	copy(f.gaps[1:], f.gaps[:])
	f.gaps[0] = psnRange{first, n}
	f.lastGap = t.now.seq
	f.tellGap()
	f.conn.gapFound(f)
	e := t.Fresh(Gap)
	e.SetFlow(f)
	e.PSN, e.Packets = first, n
	t.Emit(e)
}

// tellGap tells all who waited that something was missed.
func (f *Flow) tellGap() {
	for _, w := range f.watchers {
		w.Gap()
	}
	for _, w := range f.takers {
		w.Gap()
	}
	f.watchers, f.takers = f.watchers[:0], f.takers[:0]
}

// takeResponse takes what the receiver of flow f's counterpart answers: acknowledgements and READ responses for requests
// of the other direction. f is the direction in which the answer travels.
func (t *Tracker) takeResponse(f *Flow, p *roce.Packet) {
	requests := f.back
	if requests == nil {
		return
	}
	psn := p.BTH.PSN
	switch p.BTH.OpCode {
	case roce.RCAcknowledge:
		t.takeAck(requests, p)
	case roce.RCReadResponseFirst, roce.RCReadResponseMiddle, roce.RCReadResponseLast, roce.RCReadResponseOnly:
		t.acknowledged(requests, psn)
		t.takeReadResponse(requests, p)
	default:
		t.acknowledged(requests, psn)
	}
}

func (t *Tracker) takeAck(requests *Flow, p *roce.Packet) {
	syndrome := p.AETH.Syndrome
	switch syndrome.Class() {
	case roce.SyndromeACK:
		t.acknowledged(requests, p.BTH.PSN)
		return
	case roce.SyndromeRNRNAK:
		t.counters.RNRNAKs++
		requests.rnr++
		t.acknowledged(requests, p.BTH.PSN.Add(-1))
		t.emitAck(requests, p, ReceiverNotReady)
	case roce.SyndromeNAK:
		t.acknowledged(requests, p.BTH.PSN.Add(-1))
		if code, _ := syndrome.NAKCode(); code == roce.NAKSequenceError {
			t.counters.SequenceNAKs++
			t.emitAck(requests, p, SequenceNAK)
			return
		}
		t.counters.FatalNAKs++
		t.emitAck(requests, p, FatalNAK)
	}
}

func (t *Tracker) emitAck(requests *Flow, p *roce.Packet, kind Kind) {
	e := t.Fresh(kind)
	e.SetFlow(requests)
	e.From = requests.from.Other()
	e.PSN, e.Syndrome = p.BTH.PSN, p.AETH.Syndrome
	t.Emit(e)
}

// acknowledged notes that the peer has everything up to psn; what was not seen of it until now was missed.
func (t *Tracker) acknowledged(requests *Flow, psn roce.PSN) {
	if !requests.started {
		if !requests.conn.psnKnown(requests) {
			return
		}
		requests.started = true
	}
	d := psn.Sub(requests.next)
	if d >= farAway || d < -farAway {
		return
	}
	if d >= 0 {
		t.giveUp(requests, psn.Add(1))
	}
	if !requests.ackedAny || psn.After(requests.acked) {
		requests.acked, requests.ackedAny, requests.ackedAt = psn, true, t.now.at
	}
	requests.taken(psn)
}

// taken tells those who waited that the receiver has what was sent up to psn.
func (f *Flow) taken(psn roce.PSN) {
	f.takers = slices.DeleteFunc(f.takers, func(t taker) bool {
		if psn.Before(t.psn) {
			return false
		}
		t.InOrder()
		return true
	})
}

// takeReadResponse notes the progress of READs: a response ends its own READ if it is the last, and all before it.
func (t *Tracker) takeReadResponse(requests *Flow, p *roce.Packet) {
	psn := p.BTH.PSN
	if over := requests.overrun; over.n > 0 && psn.In(over.first, over.n) {
		requests.overrun = psnRange{}
		e := t.Fresh(ReadOverrun)
		e.SetFlow(requests)
		e.PSN, e.Packets = over.first, requests.overrunBy
		t.Emit(e)
	}
	requests.reads = slices.DeleteFunc(requests.reads, func(r readRange) bool { return !psn.Before(r.first.Add(r.n - 1)) })
}

// noteRead remembers a READ; granted is how many may be under way. Whether there are too many shows when the oldest of them
// is answered only now.
func (f *Flow) noteRead(psn roce.PSN, n int, granted int) {
	if len(f.reads) >= 64 {
		return
	}
	f.reads = append(f.reads, readRange{psn, n})
	if granted > 0 && len(f.reads) > granted && f.overrun.n == 0 {
		f.overrun, f.overrunBy = f.reads[0], len(f.reads)
	}
}

// acceptPacket takes the next packet in order.
func (t *Tracker) acceptPacket(f *Flow, p *roce.Packet, at packetTime) {
	op := p.BTH.OpCode
	f.sent++
	f.next = p.BTH.PSN.Add(1)
	waiting := len(f.watchers)
	switch op.Operation() {
	case roce.OperationReadRequest:
		n := roce.Packets(p.RETH.DMALen, f.conn.mtu)
		f.next = p.BTH.PSN.Add(n)
		f.noteRead(p.BTH.PSN, n, f.conn.grantedReads(f))
		f.begin(op, p, at)
		t.finishMessage(f, p, at)
	case roce.OperationSend, roce.OperationWrite:
		t.assemble(f, op, p, at)
	default:
		f.begin(op, p, at)
		t.finishMessage(f, p, at)
	}
	if waiting > 0 && !f.inMessage {
		f.wentOn(waiting)
	}
}

// wentOn tells those who waited that a whole message came in order. A part of one is not enough: it may be the message that
// was missed, sent again.
func (f *Flow) wentOn(waiting int) {
	for _, w := range f.watchers[:waiting] {
		w.InOrder()
	}
	f.watchers = slices.Delete(f.watchers, 0, waiting)
}

func (t *Tracker) assemble(f *Flow, op roce.OpCode, p *roce.Packet, at packetTime) {
	switch {
	case op.StartsMessage():
		f.begin(op, p, at)
	case !f.inMessage || f.msg.Operation != op.Operation():
		f.begin(op, p, at)
		f.msg.HeadMissing = true
	}
	f.append(p, t.opt.MaxMessage)
	if op.EndsMessage() {
		t.finishMessage(f, p, at)
	}
}

// begin starts a message at a packet.
func (f *Flow) begin(op roce.OpCode, p *roce.Packet, at packetTime) {
	buf := f.msg.buf
	if cap(buf) > 64<<10 {
		buf = nil // a large INFO response is the exception
	}
	f.msg = Message{
		Operation: op.Operation(), First: at.frame, FirstAt: at.at, FirstPSN: p.BTH.PSN, FirstSeq: at.seq, buf: buf[:0],
	}
	f.inMessage = true
	if op.Ext().Has(roce.ExtRETH) {
		f.msg.VA, f.msg.RKey, f.msg.DMALen = p.RETH.VA, p.RETH.RKey, p.RETH.DMALen
	}
}

// append adds the payload of a packet: all of a SEND, the last bytes of a WRITE. The payload of a message of one packet is
// not copied.
func (f *Flow) append(p *roce.Packet, most int) {
	m, op := &f.msg, p.BTH.OpCode
	m.Packets++
	m.Length += payloadLen(p)
	m.Cut = m.Cut || p.Truncated
	if op.Position() == roce.PositionOnly {
		m.Data = p.Payload
		if m.Operation == roce.OperationWrite && len(m.Data) > keptTail {
			m.Data = m.Data[len(m.Data)-keptTail:]
		}
		return
	}
	switch {
	case m.Operation == roce.OperationSend && len(m.buf)+len(p.Payload) <= most:
		m.buf = append(m.buf, p.Payload...)
	case m.Operation == roce.OperationSend:
		m.Cut = true
	case len(p.Payload) >= keptTail:
		m.buf = append(m.buf[:0], p.Payload[len(p.Payload)-keptTail:]...)
	default:
		if over := len(m.buf) + len(p.Payload) - keptTail; over > 0 {
			m.buf = m.buf[:copy(m.buf, m.buf[over:])]
		}
		m.buf = append(m.buf, p.Payload...)
	}
	m.Data = m.buf
}

// payloadLen is the length of the payload on the wire, captured or not.
func payloadLen(p *roce.Packet) int {
	if !p.Truncated {
		return len(p.Payload)
	}
	return max(0, int(p.UDPLength)-8-p.BTH.OpCode.HeaderLen()-int(p.BTH.PadCnt)-roce.ICRCLen)
}

// finishMessage completes a message at its last packet and hands it to the protocol of the connection.
func (t *Tracker) finishMessage(f *Flow, p *roce.Packet, at packetTime) {
	m, op := &f.msg, p.BTH.OpCode
	f.inMessage = false
	m.Late = at.seq != t.now.seq
	m.Last, m.LastAt, m.PSN, m.Solicited = at.frame, at.at, p.BTH.PSN, p.BTH.Solicited
	if op.Ext().Has(roce.ExtImmDt) {
		m.HasImm, m.Immediate = true, p.ImmDt.Value
	}
	if op.Ext().Has(roce.ExtIETH) {
		m.Invalidates, m.InvalidKey = true, p.IETH.RKey
	}
	t.counters.Messages++
	held := t.now
	t.now.at, t.now.frame = at.at, at.frame
	t.takeMessage(f, m)
	t.now = held
}

// CleanSince reports whether everything that was sent from frame seq on was seen, up to now.
func (f *Flow) CleanSince(seq uint64) bool { return f.lastGap < seq && len(f.held) == 0 }

// From is the side that sends in the flow.
func (f *Flow) From() Side { return f.from }

// Connection is the one that the flow is a direction of.
func (f *Flow) Connection() *Connection { return f.conn }

// Back is the other direction; nil if it is not known.
func (f *Flow) Back() *Flow { return f.back }

// Started reports whether anything was sent.
func (f *Flow) Started() bool { return f.started }

// AgainSince reports whether a packet was sent again, or arrived nowhere, after a frame.
func (f *Flow) AgainSince(seq uint64) bool { return f.lastAgain > seq }

// AllTaken reports whether the last packet that was sent is acknowledged.
func (f *Flow) AllTaken() bool { return f.ackedAny && f.acked == f.next.Add(-1) }

// MaxWatchers is how many wait for a flow at a time.
const MaxWatchers = 256

// Watch makes w hear of the flow's next message in order or gap, whichever is first.
func (f *Flow) Watch(w Watcher) bool {
	if len(f.watchers) >= MaxWatchers {
		return false
	}
	f.watchers = append(f.watchers, w)
	return true
}

// CleanSince is that of the flow.
func (a Acknowledgements) CleanSince(seq uint64) bool { return a.Of.CleanSince(seq) }

// Watch makes w hear of the first acknowledgement of what is sent from now on, or of a gap, whichever is first.
func (a Acknowledgements) Watch(w Watcher) bool {
	f := a.Of
	if !f.started || len(f.takers) >= MaxWatchers {
		return false
	}
	f.takers = append(f.takers, taker{w, f.next})
	return true
}
