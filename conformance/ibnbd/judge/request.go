// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Comparison is how something that a request carries compares with what the target had told before.
type Comparison uint8

// What comes of a comparison.
const (
	NotKnown Comparison = iota // what the target told was not captured
	Right
	Wrong
	Stale       // of a key: the one before
	OfOtherPath // that of another path of the session
)

// Request is one IBTRS request: an RDMA WRITE with immediate into a chunk.
type Request struct {
	ChunkKnown  bool
	Chunk       uint32 // number of the chunk, and of the permit
	Offset      uint32 // of the transport message in the chunk, bytes
	Parsed      bool   // a transport message was found; otherwise the fields down to Header are zero
	Direction   ibtrs.Direction
	HeaderLen   int // U
	DataLen     int // D, bytes
	Flags       uint16
	Count       int // of descriptors
	Descriptor  ibtrs.Descriptor
	Header      []byte // the block message, nil if it was not captured
	MessageType uint16 // of the block message; 0xFFFF if not known
	IO          ibnbd.IORequest
	HasIO       bool

	VA         uint64
	RKey       uint32
	Length     int  // bytes of the RDMA WRITE
	Incomplete bool // parts of it were not captured
	Place      Comparison
	Key        Comparison
	Frames     [2]audit.FrameID // first and last
	At         time.Time        // of its first packet
	LastAt     time.Time
	Failover   bool // the same request was sent before, over a path that was lost
	Reused     bool // its permit was still in use
	ReusedBusy int  // requests outstanding in the session, with this one, when that happened
	HasLastKey bool // the read key of the permit's last answered request on this path is known
	SameKey    bool // and it is used again

	lane     *lane
	seq      uint64
	firstPSN roce.PSN
	psn      roce.PSN
	ghost    *audit.Suspicion // that an answer before it answered nothing
	epoch    uint32
	orphaned bool
	header   [320]byte
	body     [64]byte // of the answer, if it is short
	previous *Request
	rival    *lane // of the request that had the permit
}

// Connection returns the connection that the request came on.
func (r *Request) Connection() *audit.Connection { return r.lane.conn }

// Path returns the path of the request.
func (r *Request) Path() *Path { return r.lane.build.path }

// onOtherPath reports whether the permit was still in use on another path.
func (r *Request) onOtherPath() bool { return r.Reused && r.rival.build != r.lane.build }

// unsure reports whether its answer may have been missed.
func (r *Request) unsure() bool { return r.epoch != r.lane.epoch }

func (t *follower) newRequest() *Request {
	if n := len(t.freeReqs); n > 0 {
		r := t.freeReqs[n-1]
		t.freeReqs = t.freeReqs[:n-1]
		return r
	}
	return new(Request)
}

func (t *follower) releaseRequest(r *Request) {
	if len(t.freeReqs) < 4096 {
		t.freeReqs = append(t.freeReqs, r)
	}
}

// Message takes a message.
func (c *conversation) Message(f *audit.Flow, m *audit.Message) {
	l := c.lane
	if l == nil {
		return
	}
	b := l.build
	defer func() { b.heard[f.From()] = m.LastAt; b.beats[f.From().Other()].hear(m.LastAt) }()
	switch {
	case m.HasImm && isHeartbeat(m):
		c.takeHeartbeat(f, l, m)
	case m.HasImm && f.From() == audit.Initiator && ibtrs.Immediate(m.Immediate).Type() == ibtrs.ImmRequest && m.Operation == roce.OperationWrite:
		c.takeIORequest(f, l, m)
	case m.HasImm && f.From() == audit.Target && isResponse(m):
		c.takeIOResponse(f, l, m)
	case f.From() == audit.Target && m.Operation == roce.OperationWrite && !m.HasImm:
		l.takeData(m)
	case f.From() == audit.Target && m.Operation == roce.OperationSend && m.Invalidates && !m.HasImm:
		c.takeInvalidate(f, l, m)
	case l.cid == 0 && m.Operation == roce.OperationSend && !m.HasImm && !m.Invalidates:
		c.takeInfo(f, l, m)
	default:
		e := c.fresh(Stray)
		e.setMessage(f, m)
		c.Emit(e.Event)
	}
}

func isHeartbeat(m *audit.Message) bool {
	kind := ibtrs.Immediate(m.Immediate).Type()
	return kind == ibtrs.ImmHeartbeat || kind == ibtrs.ImmHeartbeatAck
}

func isResponse(m *audit.Message) bool {
	kind := ibtrs.Immediate(m.Immediate).Type()
	return kind == ibtrs.ImmResponse || kind == ibtrs.ImmResponseInvalidated
}

// takeInfo takes a plain SEND on connection 0: one of the two INFO messages, or something that does not belong there.
func (t *follower) takeInfo(f *audit.Flow, l *lane, m *audit.Message) {
	b := l.build
	kind := InfoRequest
	if f.From() == audit.Target {
		kind = InfoResponse
	}
	e := t.fresh(kind)
	e.setMessage(f, m)
	s := b.path.session
	if kind == InfoRequest {
		b.infoRequests++
		b.infoReqSeq = m.FirstSeq
		info, err := ibtrs.ParseInfoRequest(m.Data)
		e.InfoRequest, e.ParseError = info, err
		if !m.HeadMissing && len(m.Data) >= ibtrs.InfoRequestSize && info.SessionName.Terminated() {
			e.formerName, s.Name = s.Name, info.SessionName.String()
			e.namesake = t.namesake(s, b.path)
		}
		t.Emit(e.Event)
		return
	}
	info, err := ibtrs.ParseInfoResponse(m.Data)
	e.InfoResponse, e.ParseError = info, err
	first := !b.hasInfo
	if err == nil && first && !m.HeadMissing && !m.Cut {
		b.learn(info, s)
	}
	t.Emit(e.Event)
	if first && !b.lost {
		t.pathUp(b, m)
	}
}

// namesake finds another session of the same name that the initiator of a path has, and that is up.
func (t *follower) namesake(s *Session, p *Path) *Session {
	tries := 0
	for e := t.recent.Front(); e != nil && tries < 64; e, tries = e.Next(), tries+1 {
		other := e.Value.(*Session)
		if other == s || other.Name != s.Name || other.connected == 0 {
			continue
		}
		for _, q := range other.paths {
			if q.Initiator == p.Initiator && q.Target == p.Target {
				return other
			}
		}
	}
	return nil
}

// learn stores the chunks that an INFO response publishes.
func (b *build) learn(info ibtrs.InfoResponse, s *Session) {
	n := info.Regions.Len()
	if b.keyRefresh && s.hasGeometry && n == int(s.geometry.QueueDepth) {
		b.chunks = make([]chunkKey, n)
		for i, d := range info.Regions.All() {
			b.chunks[i] = chunkKey{address: d.Address, key: d.RKey, epoch: b.keyEpoch}
		}
	} else {
		size := max(1, s.geometry.ChunkSize())
		b.regions = make([]region, 0, n)
		at := uint32(0)
		for _, d := range info.Regions.All() {
			b.regions = append(b.regions, region{d, at, at + d.Length/size})
			at += d.Length / size
		}
	}
}

func (t *follower) pathUp(b *build, m *audit.Message) {
	b.hasInfo, b.infoSeq, b.infoAt, b.connected = true, m.FirstSeq, m.LastAt, true
	p := b.path
	e := t.fresh(PathUp)
	e.setPath(p)
	t.Emit(e.Event)
	s := p.session
	s.connected++
	s.everUp = true
	if s.connected == 1 {
		s.upSeq = b.startSeq
		e := t.fresh(SessionUp)
		e.setPath(p)
		t.Emit(e.Event)
	}
}

// takeData takes what the target writes in front of an answer. A write of nothing belongs to none.
func (l *lane) takeData(m *audit.Message) {
	if m.Length == 0 {
		return
	}
	if len(l.data) >= maxUnclaimed {
		l.data = slices.Delete(l.data, 0, 1)
	}
	l.data = append(l.data, dataWrite{va: m.VA, key: m.RKey, length: m.Length, frame: m.First, cut: m.HeadMissing || m.Cut})
	if m.Length <= len(l.data[0].head) {
		copy(l.data[len(l.data)-1].head[:], m.Data)
	}
}

// takeInvalidate takes a SEND with invalidate: it belongs to the next answer, or is late.
func (t *follower) takeInvalidate(f *audit.Flow, l *lane, m *audit.Message) {
	if i := slices.Index(l.owed, m.InvalidKey); i >= 0 {
		l.owed = slices.Delete(l.owed, i, i+1)
		e := t.fresh(LateInvalidation)
		e.setMessage(f, m)
		t.Emit(e.Event)
		return
	}
	if len(l.inval) >= maxUnclaimed {
		l.inval = slices.Delete(l.inval, 0, 1)
	}
	l.inval = append(l.inval, keyUse{m.InvalidKey, m.First})
}

// takeIORequest takes an RDMA WRITE with an immediate of type 0.
func (t *follower) takeIORequest(f *audit.Flow, l *lane, m *audit.Message) {
	s := l.build.path.session
	r := t.newRequest()
	*r = Request{
		VA: m.VA, RKey: m.RKey, Length: m.Length, Incomplete: m.HeadMissing || m.Cut, Frames: [2]audit.FrameID{m.First, m.Last},
		At: m.FirstAt, LastAt: m.LastAt, lane: l, seq: t.Seq(), firstPSN: m.FirstPSN, psn: m.PSN, epoch: l.epoch, MessageType: 0xFFFF,
	}
	if s.hasGeometry {
		r.Chunk, r.Offset, _ = s.geometry.Request(ibtrs.Immediate(m.Immediate))
		r.ChunkKnown = r.Chunk < uint32(s.geometry.QueueDepth)
	}
	if m.Late || r.ChunkKnown && l.isGhost(r) {
		r.epoch-- // it may have been answered already
	}
	r.parse(m)
	r.locate(s)
	l.compareReadKey(r)
	s.noteRequest(r, t.Seq())
	s.carried.add(r)
	t.usePermit(s, r)
	e := t.fresh(RequestSent)
	e.setMessage(f, m)
	e.setRequest(r)
	t.Emit(e.Event)
	if r.previous != nil {
		t.releaseRequest(r.previous)
		r.previous = nil
	}
	if !r.takesPermit() {
		t.releaseRequest(r)
	}
}

// takesPermit reports whether r is a request, as far as is known: its immediate says so, also when nobody can read its messages. A
// target answers it, or ends the path. Without any bytes it is none, but some other immediate that was spoilt.
func (r *Request) takesPermit() bool { return r.ChunkKnown && (r.Incomplete || r.Length > 0) }

// parse finds transport message and block message at the end of the RDMA WRITE.
func (r *Request) parse(m *audit.Message) {
	data := m.Data
	if m.Cut || !r.findMessage(data) {
		return
	}
	le := binary.LittleEndian
	end := len(data) - ibtrs.WriteMessageSize
	if r.Direction == ibtrs.Read {
		end = len(data) - ibtrs.ReadMessageSize - r.Count*ibtrs.DescriptorSize
		if r.Count > 0 {
			r.Descriptor, _ = ibtrs.ParseDescriptor(data[end+ibtrs.ReadMessageSize:])
		}
	}
	r.Parsed = true
	if r.HeaderLen <= end && r.HeaderLen <= len(r.header) {
		r.Header = r.header[:copy(r.header[:], data[end-r.HeaderLen:end])]
		if len(r.Header) >= 4 {
			r.MessageType = le.Uint16(r.Header)
		}
		if r.MessageType == ibnbd.TypeIO {
			io, err := ibnbd.ParseIORequest(r.Header)
			r.IO, r.HasIO = io, err == nil
		}
	}
	switch {
	case r.Direction == ibtrs.Write && !m.HeadMissing:
		r.DataLen = m.Length - r.HeaderLen - ibtrs.WriteMessageSize
	case r.Direction == ibtrs.Read && r.ChunkKnown:
		r.DataLen = int(r.Offset) - r.HeaderLen
	case r.Count > 0:
		r.DataLen = int(r.Descriptor.Length)
	}
}

// findMessage looks for a transport message that ends where data ends.
func (r *Request) findMessage(data []byte) bool {
	le := binary.LittleEndian
	n := len(data)
	for count := 0; count <= 16; count++ {
		at := n - ibtrs.ReadMessageSize - count*ibtrs.DescriptorSize
		if at < 0 {
			break
		}
		if le.Uint16(data[at:]) == ibtrs.TypeRead && int(le.Uint16(data[at+6:])) == count && int(le.Uint16(data[at+2:])) <= at {
			r.Direction, r.HeaderLen, r.Flags, r.Count = ibtrs.Read, int(le.Uint16(data[at+2:])), le.Uint16(data[at+4:]), count
			return true
		}
	}
	if at := n - ibtrs.WriteMessageSize; at >= 0 && le.Uint16(data[at:]) == ibtrs.TypeWrite {
		r.Direction, r.HeaderLen = ibtrs.Write, int(le.Uint16(data[at+2:]))
		return true
	}
	return false
}

// locate compares address and key with what the target published.
func (r *Request) locate(s *Session) {
	if !r.ChunkKnown || r.Incomplete {
		return
	}
	size := s.geometry.ChunkSize()
	b := r.lane.build
	base, key, placeKnown, keyKnown := b.chunk(r.Chunk, size)
	if placeKnown && r.Parsed {
		r.Place = Right
		if r.VA != base+uint64(r.start()) {
			r.Place = Wrong
			if s.elsewhere(b.path, func(other *build) bool {
				address, _, known, _ := other.chunk(r.Chunk, size)
				return known && r.VA == address+uint64(r.start())
			}) {
				r.Place = OfOtherPath
			}
		}
	}
	if !keyKnown {
		return
	}
	r.Key = Right
	if r.RKey == key {
		return
	}
	r.Key = Wrong
	if b.chunks != nil && b.chunks[r.Chunk].hasOld && b.chunks[r.Chunk].old == r.RKey {
		r.Key = Stale
	} else if s.elsewhere(b.path, func(other *build) bool {
		_, k, _, known := other.chunk(r.Chunk, size)
		return known && k == r.RKey
	}) {
		r.Key = OfOtherPath
	}
}

// start is where in the chunk the RDMA WRITE begins: at the data of a write, behind the room for the data of a read.
func (r *Request) start() int {
	if r.Direction == ibtrs.Read {
		return r.DataLen
	}
	return 0
}

func (s *Session) elsewhere(but *Path, match func(*build) bool) bool {
	for _, p := range s.paths {
		if p != but && p.build != nil && match(p.build) {
			return true
		}
	}
	return false
}

// dismissGhost drops the suspicion that an answer before r answered nothing: r got no other.
func (r *Request) dismissGhost() {
	if r.ghost != nil {
		r.ghost.Dismiss()
	}
}

// compareReadKey compares the key for the data of a read with the one that the last read with the same permit had.
func (l *lane) compareReadKey(r *Request) {
	if !r.Parsed || !r.ChunkKnown || r.Count == 0 {
		return
	}
	b := l.build
	for len(b.readKeys) <= int(r.Chunk) {
		b.readKeys = append(b.readKeys, readKey{})
	}
	last := &b.readKeys[r.Chunk]
	r.HasLastKey = last.any
	r.SameKey = last.any && last.key == r.Descriptor.RKey
	*last = readKey{key: r.Descriptor.RKey, any: true}
}

// usePermit makes r the outstanding request of its chunk.
func (t *follower) usePermit(s *Session, r *Request) {
	if !r.takesPermit() {
		return
	}
	for len(s.permits) <= int(r.Chunk) {
		s.permits = append(s.permits, nil)
	}
	old := s.permits[r.Chunk]
	s.permits[r.Chunk] = r
	if old == nil {
		s.outstanding++
		return
	}
	switch {
	case old.orphaned:
		r.Failover = true
		r.previous = old
	case old.unsure():
		old.dismissGhost()
		t.releaseRequest(old)
	default:
		r.Reused, r.ReusedBusy, r.rival = true, s.outstanding+1, old.lane
		if len(old.lane.old) < 64 {
			old.lane.old = append(old.lane.old, old)
		}
	}
}

// hasFreePermitBelow says whether a permit below one belongs to no request that was seen. One of a request whose path is lost
// may have been given back without a word.
func (s *Session) hasFreePermitBelow(permit uint32) bool {
	for k := range permit {
		if int(k) >= len(s.permits) || s.permits[k] == nil || s.permits[k].orphaned {
			return true
		}
	}
	return false
}

// refusedRequest finds the outstanding request that a NAK of a packet refuses.
func (c *conversation) refusedRequest(f *audit.Flow, psn roce.PSN) *Request {
	if c.lane == nil || f.From() != audit.Initiator {
		return nil
	}
	for _, r := range c.lane.build.path.session.permits {
		if r != nil && r.lane == c.lane && !psn.Before(r.firstPSN) && !psn.After(r.psn) {
			return r
		}
	}
	return nil
}

// findRequest finds the request that a response answers, and tells whether its permit becomes free. If a permit was used
// twice nobody knows which of the requests it is; the oldest is taken, and nothing is certain about either.
func (l *lane) findRequest(s *Session, id uint32) (*Request, bool) {
	for i, r := range l.old {
		if r.Chunk == id {
			l.old = slices.Delete(l.old, i, i+1)
			r.epoch--
			if newer := s.permits[id]; newer != nil {
				newer.epoch = newer.lane.epoch - 1
			}
			return r, false
		}
	}
	if int(id) >= len(s.permits) || s.permits[id] == nil || s.permits[id].orphaned {
		return nil, false
	}
	return s.permits[id], true
}

// Response is the answer to a request.
type Response struct {
	ID          uint32 // message id: the number of the chunk
	Errno       ibtrs.Errno
	Invalidated bool // type 2: the key of the read was invalidated
	Send        bool // it is a SEND, not an RDMA WRITE
	Length      int  // bytes of the message
	Key         ibtrs.KeyResponse
	HasKey      bool
	KeyError    error
	DataLen     int  // bytes that were written to the descriptor's memory
	DataOutside bool // some of them beyond its end
	DataUnsure  bool // some may have been missed
	SawInvalid  bool // a SEND with invalidate of the descriptor's key came before
	Body        []byte
	Latency     time.Duration // since the first packet of the request; negative if the capture does not tell
	OtherLane   *lane         // the request is outstanding, but on this connection
	Unchanged   bool          // the key is the old one
}

func (t *follower) takeIOResponse(f *audit.Flow, l *lane, m *audit.Message) {
	b := l.build
	s := b.path.session
	var a Response
	id, errno, invalidated, _ := ibtrs.Immediate(m.Immediate).Response()
	a.ID, a.Errno, a.Invalidated, a.Send, a.Length = id, errno, invalidated, m.Operation == roce.OperationSend, m.Length
	r, current := l.findRequest(s, id)
	if r != nil && current && r.lane != l {
		a.OtherLane = r.lane
		if r.unsure() || r.lane.build != b {
			a.OtherLane = nil
		}
		r = nil
	}
	if r != nil {
		if r.ghost != nil {
			r.ghost.InOrder()
		}
		a.Latency = t.Elapsed(r.At, m.LastAt)
		a.DataUnsure = r.unsure()
		if r.Count > 0 {
			l.claimData(r, &a)
		}
		l.used = true
	}
	if a.Send && !m.Cut && !m.HeadMissing {
		a.Key, a.KeyError = ibtrs.ParseKeyResponse(m.Data)
		if a.HasKey = a.KeyError == nil; a.HasKey && uint32(a.Key.Chunk) == id {
			if _, key, _, known := b.chunk(id, 0); known && key == a.Key.RKey {
				a.Unchanged = true
			}
			b.setKey(id, a.Key.RKey)
		}
	}
	e := t.fresh(RequestAnswered)
	e.setFlow(f)
	e.Message, e.At = m, m.LastAt
	if r != nil {
		e.setRequest(r)
		e.AddFrame(r.Frames[0])
		if r.Frames[1] != r.Frames[0] {
			e.AddFrame(r.Frames[1])
		}
		e.AddFrame(m.Last)
	}
	e.Response = a
	if r != nil && r.Parsed {
		t.takeBlockAnswer(s, r, &e.Response)
	}
	t.Emit(e.Event)
	if r == nil {
		if len(l.ghosts) < 64 {
			l.ghosts = append(l.ghosts, ghost{id, e.ghost})
		}
		return
	}
	if current {
		s.permits[id] = nil
		s.outstanding--
	}
	t.releaseRequest(r)
}

// ghost is an answer that came before its request was seen.
type ghost struct {
	chunk     uint32
	suspicion *audit.Suspicion // that there is no such request; nil if nobody had it
}

// isGhost reports whether an answer to the permit of r came before r was seen, and forgets that. The answer may be that to r,
// which was missed when it was sent first; if r gets another one, it was not.
func (l *lane) isGhost(r *Request) bool {
	i := slices.IndexFunc(l.ghosts, func(g ghost) bool { return g.chunk == r.Chunk })
	if i < 0 {
		return false
	}
	if s := l.ghosts[i].suspicion; s != nil && !s.Settled() {
		s.WaitFor()
		r.ghost = s
	}
	l.ghosts = slices.Delete(l.ghosts, i, i+1)
	return true
}

// claimData finds the RDMA WRITEs and the invalidation that belong to the answer of r.
func (l *lane) claimData(r *Request, a *Response) {
	begin, end := r.Descriptor.Address, r.Descriptor.Address+uint64(r.Descriptor.Length)
	kept := l.data[:0]
	for i := range l.data {
		d := &l.data[i]
		if d.key != r.Descriptor.RKey || d.va < begin || d.va > end {
			kept = append(kept, *d)
			continue
		}
		a.DataLen += d.length
		a.DataUnsure = a.DataUnsure || d.cut
		a.DataOutside = a.DataOutside || d.va+uint64(d.length) > end
		if d.va == begin && d.length <= len(d.head) {
			a.Body = r.body[:copy(r.body[:], d.head[:d.length])]
		}
	}
	l.data = kept
	for i, k := range l.inval {
		if k.key == r.Descriptor.RKey {
			a.SawInvalid = true
			l.inval = slices.Delete(l.inval, i, i+1)
			return
		}
	}
	if a.Invalidated && len(l.owed) < 64 {
		l.owed = append(l.owed, r.Descriptor.RKey)
	}
}
