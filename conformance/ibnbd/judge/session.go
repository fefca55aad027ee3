// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"container/list"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

type groupUUID = ibtrs.UUID

// Session is an IBTRS session: all paths whose connection requests carry the same group UUID.
type Session struct {
	ID    uint64 // unique in a tracker
	Group ibtrs.UUID
	Name  string // "" until an INFO request was seen

	paths       []*Path
	geometry    ibtrs.Geometry
	hasGeometry bool
	permits     []*Request // outstanding requests by chunk
	outstanding int
	connected   int // paths that are connected
	everUp      bool
	firstSeq    uint64
	firstAt     time.Time

	hasAgreement bool  // SESS_INFO_RSP seen
	offered      uint8 // version in SESS_INFO
	agreement    ibnbd.Agreement
	infoSeq      uint64 // when SESS_INFO was last seen
	upSeq        uint64 // when the session came up
	lostSeq      uint64 // when the last path went down
	carried      carried
	requests     uint64 // requests seen
	answers      uint64 // answers seen
	opens        int    // devices opened since the session came up
	openFailed   bool   // a path of the first open was refused
	devices      map[uint32]*Device
	openDevices  int
	closedAt     time.Time // when the last device was closed
	element      *list.Element
}

// Device is what an OPEN_RSP said of a device of a session.
type Device struct {
	ID       uint32
	Path     string // as in OPEN; "" if that was not seen
	Access   ibnbd.AccessMode
	Response ibnbd.OpenResponse
	at       time.Time // of the answer
	seq      uint64    // of the answer
	from     *audit.Flow
	closed   bool
	void     bool // the session was lost since
	served   bool // I/O to it has succeeded
}

// Geometry returns what the accepts of the session said, and whether one was seen.
func (s *Session) Geometry() (ibtrs.Geometry, bool) { return s.geometry, s.hasGeometry }

// Paths returns the paths in the order in which they were first seen.
func (s *Session) Paths() []*Path { return s.paths }

// Device returns what is known of a device of the session.
func (s *Session) Device(id uint32) (*Device, bool) {
	d, ok := s.devices[id]
	return d, ok
}

// String is the session's name, or its group UUID while the name is unknown.
func (s *Session) String() string {
	if s.Name != "" {
		return s.Name
	}
	return fmt.Sprintf("%x", s.Group[:])
}

// Path is one path of a session, over all times that it was built.
type Path struct {
	ID        uint64 // unique in a tracker
	UUID      ibtrs.UUID
	Initiator netip.Addr
	Target    netip.Addr
	Rail      string // where it was first seen

	session *Session
	build   *build
	builds  int
	file    int       // where it was first seen
	lostAt  time.Time // when the present build was lost
	firstAt time.Time
	added   bool // came to a session that was already up
}

// Session returns the session of the path.
func (p *Path) Session() *Session { return p.session }

// Connected reports whether the INFO exchange of the path's present build is done and nothing was closed since.
func (p *Path) Connected() bool { return p.build != nil && p.build.connected && !p.build.lost }

// mayBeConnectedBeside reports whether the initiator can take another path than p for connected: it has neither ended it nor asked for
// it again. What the target ends on a silent wire, it does not know yet.
func (s *Session) mayBeConnectedBeside(p *Path) bool {
	return slices.ContainsFunc(s.paths, func(other *Path) bool {
		b := other.build
		return other != p && b != nil && b.connected && !(b.lost && b.lostBy == audit.Initiator)
	})
}

// KeyRefresh reports whether the target announced that it refreshes keys.
func (p *Path) KeyRefresh() bool { return p.build != nil && p.build.keyRefresh }

// Incarnation is the incarnation of the present build.
func (p *Path) Incarnation() uint16 {
	if p.build == nil {
		return 0
	}
	return p.build.incarnation
}

// String gives "10.0.0.2 to 10.0.0.1".
func (p *Path) String() string { return fmt.Sprintf("%s to %s", p.Initiator, p.Target) }

// build is one attempt to establish the connections of a path, and what became of it.
type build struct {
	path        *Path
	incarnation uint16
	count       int // connections announced
	lanes       map[int]*lane
	first       ibtrs.ConnRequest
	accept      ibtrs.ConnResponse
	hasAccept   bool
	acceptCID   int
	keyRefresh  bool
	startAt     time.Time
	startSeq    uint64
	lastCID     int

	infoRequests int
	infoReqSeq   uint64
	hasInfo      bool // INFO response seen
	infoSeq      uint64
	infoAt       time.Time
	regions      []region   // of a target without key refresh
	chunks       []chunkKey // of a target with key refresh
	keyEpoch     uint32     // grows when key responses may have been missed
	readKeys     []readKey  // by chunk
	connected    bool
	lost         bool
	lostSeq      uint64
	lostBy       audit.Side
	heard        [3]time.Time       // last message of a side
	beats        [3]heartbeat       // by side
	lateAcks     [3]*lateAck        // of a heartbeat of a side, until its next one
	suspicions   []*audit.Suspicion // dropped if the path is lost
}

// chunkKey is a chunk of a target with key refresh.
type chunkKey struct {
	address uint64
	key     uint32
	old     uint32 // the key before
	hasOld  bool
	epoch   uint32 // in which the key was learned
}

// readKey is the key for the data of the last read with a permit.
type readKey struct {
	key uint32
	any bool
}

// heartbeat is what is known of the heartbeats of one side of a path.
type heartbeat struct {
	lastAt    time.Time     // of the last heartbeat
	since     time.Duration // before that one; 0 if there was none, negative if the capture does not tell
	lastSeq   uint64
	any       bool
	waiting   bool // for its acknowledgement
	late      bool // it was held back, or may have been sent before
	lastFrame audit.FrameID
	peerHeard bool      // a message of the peer came since
	heardAt   time.Time // the first

	acks     int       // acknowledgements that the side has sent since, of heartbeats that waited for them
	ackedAt  time.Time // of the first
	ackedSeq uint64
	overdue  bool // that it has sent none was reported
}

// lane is one connection of a build.
type lane struct {
	build  *build
	of     *conversation
	conn   *audit.Connection
	cid    int
	old    []*Request  // outstanding requests whose permit was used again
	data   []dataWrite // RDMA WRITEs of the target that no response has followed yet
	inval  []keyUse    // SENDs with invalidate, likewise
	owed   []uint32    // keys whose invalidation was announced and not seen
	epoch  uint32      // grows when answers may have been missed
	blind  uint32      // grows when requests may have been missed
	ghosts []ghost     // permits of answers whose request was not seen
	stalls [3]stall    // by the side whose packets are not taken
	used   bool        // an answered request was seen
}

type dataWrite struct {
	va     uint64
	key    uint32
	length int
	head   [64]byte // of a short one
	frame  audit.FrameID
	cut    bool
}

type keyUse struct {
	key   uint32
	frame audit.FrameID
}

const maxUnclaimed = 256

// chunk returns address and key of a chunk as the path last told them; known is false if that is uncertain.
func (b *build) chunk(k uint32, size uint32) (address uint64, key uint32, placeKnown, keyKnown bool) {
	if !b.hasInfo {
		return 0, 0, false, false
	}
	if b.chunks != nil {
		if int(k) >= len(b.chunks) {
			return 0, 0, false, false
		}
		c := &b.chunks[k]
		return c.address, c.key, true, c.epoch == b.keyEpoch
	}
	if size == 0 {
		return 0, 0, false, false
	}
	i := sort.Search(len(b.regions), func(i int) bool { return b.regions[i].end > k })
	if i == len(b.regions) {
		return 0, 0, false, false
	}
	r := &b.regions[i]
	return r.Address + uint64(k-r.first)*uint64(size), r.RKey, true, true
}

// chunkAt finds the chunk in whose place an address lies, at start bytes from its begin.
func (b *build) chunkAt(address uint64, start int, size uint32) (uint32, bool) {
	base := address - uint64(start)
	for k := range b.chunks {
		if b.chunks[k].address == base {
			return uint32(k), true
		}
	}
	for i := range b.regions {
		r := &b.regions[i]
		if off := base - r.Address; base >= r.Address && off < uint64(r.Length) && size > 0 && off%uint64(size) == 0 {
			return r.first + uint32(off/uint64(size)), true
		}
	}
	return 0, false
}

// region is a region of chunks, those from first to before end.
type region struct {
	ibtrs.Descriptor
	first, end uint32
}

// setKey stores a new key of a chunk.
func (b *build) setKey(k, key uint32) {
	if int(k) >= len(b.chunks) {
		return
	}
	c := &b.chunks[k]
	if c.key != key {
		c.old, c.hasOld = c.key, c.epoch == b.keyEpoch
	}
	c.key, c.epoch = key, b.keyEpoch
}

func (t *follower) joinPath(c *conversation, e *Event) {
	r, err := ibtrs.ParseConnRequest(c.conn.Private())
	e.ConnRequest, e.ParseError = r, err
	if err != nil {
		return // a target refuses it before it looks for the session
	}
	s := t.sessionOf(r.GroupUUID)
	if group, known := t.groups[r.PathUUID]; known && group != r.GroupUUID {
		e.otherGroup = t.sessions[group]
	} else {
		t.groups[r.PathUUID] = r.GroupUUID
	}
	p := t.pathOf(s, r.PathUUID, c.conn)
	e.NewPath = p.builds == 0
	if p.build == nil || p.build.incarnation != r.Incarnation || p.build.lanes[0] != nil && r.CID == 0 && !p.build.lanes[0].conn.State.Live() {
		t.startBuild(p, r, e)
	}
	b := p.build
	l := &lane{build: b, of: c, conn: c.conn, cid: int(r.CID)}
	c.cid, c.path, c.lane = int(r.CID), p, l
	if old := b.lanes[l.cid]; old == nil || !old.conn.State.Live() {
		b.lanes[l.cid] = l
	}
	e.Path, e.Session = p, s
	e.build = b
}

func (t *follower) startBuild(p *Path, r ibtrs.ConnRequest, e *Event) {
	if p.build != nil {
		e.prior = p.build
		e.Previous = p.build.incarnation
		e.HasPrevious = true
		e.LostAt = p.lostAt
		t.loseBuild(p.build, audit.Nobody)
	}
	p.builds++
	p.build = &build{
		path: p, incarnation: r.Incarnation, count: int(r.ConnectionCount), lanes: make(map[int]*lane), first: r,
		startAt: t.Now(), startSeq: t.Seq(), lastCID: -1, acceptCID: -1,
	}
}

func (t *follower) sessionOf(group ibtrs.UUID) *Session {
	s := t.sessions[group]
	if s != nil {
		t.recent.MoveToFront(s.element)
		return s
	}
	s = &Session{ID: t.NewID(), Group: group, devices: make(map[uint32]*Device), firstSeq: t.Seq(), firstAt: t.Now()}
	t.sessions[group] = s
	s.element = t.recent.PushFront(s)
	for t.recent.Len() > t.Options().MaxSessions {
		t.forgetSession()
	}
	return s
}

// forgetSession drops a session: among those heard of longest ago preferably one that never came up.
func (t *follower) forgetSession() {
	victim := t.recent.Back()
	for e, tries := victim, 0; e != nil && tries < 16; e, tries = e.Prev(), tries+1 {
		if !e.Value.(*Session).everUp {
			victim = e
			break
		}
	}
	s := victim.Value.(*Session)
	t.recent.Remove(victim)
	delete(t.sessions, s.Group)
	t.SessionForgotten()
	for _, p := range s.paths {
		if t.groups[p.UUID] == s.Group {
			delete(t.groups, p.UUID)
		}
		if p.build == nil {
			continue
		}
		for _, l := range p.build.lanes {
			l.of.lane, l.of.path = nil, nil
			l.conn.Release()
		}
	}
}

const maxPathsRemembered = 256

func (t *follower) pathOf(s *Session, id ibtrs.UUID, c *audit.Connection) *Path {
	for _, p := range s.paths {
		if p.UUID == id {
			return p
		}
	}
	p := &Path{
		ID: t.NewID(), UUID: id, Initiator: c.Initiator, Target: c.Target, Rail: c.Rail, file: t.File(), session: s, firstAt: t.Now(),
		added: s.connected > 0,
	}
	if len(s.paths) >= maxPathsRemembered {
		delete(t.groups, s.paths[0].UUID)
		s.paths = s.paths[1:]
	}
	s.paths = append(s.paths, p)
	return p
}

// acceptPath reads the private data of a REP.
func (t *follower) acceptPath(c *conversation, e *Event) {
	r, err := ibtrs.ParseConnResponse(e.Private)
	e.ConnResponse, e.ParseError = r, err
	if c.lane == nil {
		return
	}
	b := c.lane.build
	if err != nil || r.Errno != 0 {
		return
	}
	if !b.hasAccept || c.cid == 0 {
		if b.hasAccept {
			e.Accept, e.HasAccept = b.accept, true
		}
		b.accept, b.hasAccept, b.acceptCID = r, true, c.cid
		b.keyRefresh = r.Flags&ibtrs.KeyRefresh != 0
	} else {
		e.Accept, e.HasAccept = b.accept, true
	}
	s := c.path.session
	if g, err := r.Geometry(); err == nil && !s.hasGeometry {
		s.geometry, s.hasGeometry = g, true
	}
}

// noteReject remembers that a path of the session's open was refused.
func (s *Session) noteReject(p *Path) {
	if s.requests == 0 && s.connected > 0 && p.builds == 1 {
		s.openFailed = true
	}
}

// closeLane gives up the requests of a connection, and with the first connection of a path the path.
func (t *follower) closeLane(l *lane) {
	s := l.build.path.session
	for k, r := range s.permits {
		if r != nil && r.lane == l && !r.orphaned {
			t.orphan(s, uint32(k), r)
		}
	}
	for _, r := range l.old {
		e := t.fresh(Unanswered)
		e.setRequest(r)
		t.Emit(e.Event)
		t.releaseRequest(r)
	}
	l.old = nil
	t.loseBuild(l.build, l.conn.Closer)
}

// orphan marks a request that its path will not answer any more. It may be sent again over another path.
func (t *follower) orphan(s *Session, k uint32, r *Request) {
	r.orphaned = true
	r.dismissGhost()
	e := t.fresh(Unanswered)
	e.setRequest(r)
	t.Emit(e.Event)
}

func (t *follower) loseBuild(b *build, by audit.Side) {
	if b.lost {
		return
	}
	b.lost, b.lostSeq, b.lostBy = true, t.Seq(), by
	for _, s := range b.suspicions {
		s.Dismiss()
	}
	b.suspicions = nil
	p := b.path
	p.lostAt = t.Now()
	s := p.session
	for k, r := range s.permits {
		if r != nil && r.lane.build == b && !r.orphaned {
			t.orphan(s, uint32(k), r)
		}
	}
	if !b.connected {
		return
	}
	t.aside(func() { t.reportLoss(p, by) })
}

// reportLoss tells that a path is lost, and with the last path the session.
func (t *follower) reportLoss(p *Path, by audit.Side) {
	s := p.session
	e := t.fresh(PathDown)
	e.setPath(p)
	e.From = by
	t.Emit(e.Event)
	if s.connected--; s.connected != 0 {
		return
	}
	s.lostSeq = t.Seq()
	for _, d := range s.devices {
		d.void = true
	}
	e = t.fresh(SessionDown)
	e.setPath(p)
	t.Emit(e.Event)
}

// leavePath detaches a connection that is forgotten.
func (t *follower) leavePath(c *conversation) {
	l := c.lane
	if l == nil {
		return
	}
	c.lane = nil
	if l.build.lanes[l.cid] == l {
		delete(l.build.lanes, l.cid)
	}
	s := l.build.path.session
	for k, r := range s.permits {
		if r != nil && r.lane == l {
			s.permits[k] = nil
			s.outstanding--
			t.releaseRequest(r)
		}
	}
}

// gapFound notes that messages of one direction may have been missed.
func (l *lane) gapFound(f *audit.Flow) {
	if f.From() == audit.Initiator {
		l.blind++
		return
	}
	l.epoch++
	l.build.keyEpoch++
	l.data, l.inval = l.data[:0], l.inval[:0]
}
