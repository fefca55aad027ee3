// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"math/bits"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// connRules judge what stands in connection management, and its order.
var connRules = []rule{
	{"IBTRS-CONN-002", on(audit.ConnectionRequest), checkServiceID},
	{"IBTRS-CONN-004", on(audit.ConnectionRequest), checkPrivateLength},
	{"IBTRS-CONN-005", on(audit.ConnectionRequest), ofRequest(func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.ConnRequest.Overlay == [2]byte{}) {
			r.Breaks("bytes 0 and 1 of the connection request are % x", e.ConnRequest.Overlay)
		}
	})},
	{"IBTRS-CONN-006", on(audit.ConnectionRequest), ofRequest(func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.ConnRequest.Magic == ibtrs.Magic) {
			r.Breaks("magic of the connection request is %#04x", e.ConnRequest.Magic)
		}
	})},
	{"IBTRS-CONN-007", on(audit.ConnectionRequest), ofRequest(func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.ConnRequest.Version == ibtrs.Version) {
			r.Breaks("version of the connection request is %#04x", e.ConnRequest.Version)
		}
	})},
	{"IBTRS-CONN-008", on(audit.ConnectionRequest), ofPath(checkFirstConnection)},
	{"IBTRS-CONN-009", on(audit.ConnectionRequest), ofPath(checkSameBuild)},
	{"IBTRS-CONN-010", on(audit.ConnectionRequest), ofRequest(func(e *Event, r *audit.Ruling) {
		n := e.ConnRequest.ConnectionCount
		if !r.Kept(n >= 2 && n <= ibtrs.MaxConnections) {
			r.Breaks("connection count is %d", n)
		}
	})},
	{"IBTRS-CONN-011", on(audit.ConnectionRequest, InfoRequest), ofPath(checkDistinctUUIDs)},
	{"IBTRS-CONN-012", on(audit.ConnectionRequest), ofPath(checkSameUUIDs)},
	{"IBTRS-CONN-013", on(audit.ConnectionRequest), ofPath(checkFirstFlag)},
	{"IBTRS-CONN-014", on(audit.ConnectionRequest), ofRequest(func(e *Event, r *audit.Ruling) {
		flags, reserved := e.ConnRequest.FirstConnection&^ibtrs.FirstConnection, e.ConnRequest.Reserved
		if !r.Kept(flags == 0 && reserved == [11]byte{}) {
			r.Breaks("of the connection request, byte 44 is %#02x and bytes 45 to 55 are % x", e.ConnRequest.FirstConnection, reserved)
		}
	})},
	{"IBTRS-CONN-015", on(audit.ConnectionReply), func(e *Event, r *audit.Ruling) {
		a := e.ConnResponse
		if !r.Kept(e.ParseError == nil && a.Errno == 0) {
			r.Breaks("accept with magic %#04x, version %#04x, errno %s", a.Magic, a.Version, errnoOf(a))
		}
	}},
	{"IBTRS-CONN-016", on(audit.ConnectionReply), ofAccept(func(e *Event, r *audit.Ruling) {
		if !e.HasAccept {
			return
		}
		a, first := e.ConnResponse, e.Accept
		same := a.QueueDepth == first.QueueDepth && a.MaxIOSize == first.MaxIOSize && a.MaxHeaderSize == first.MaxHeaderSize
		if !r.Kept(same) {
			r.Breaks("accept says depth %d, I/O %d, header %d; another of the path said %d, %d, %d",
				a.QueueDepth, a.MaxIOSize, a.MaxHeaderSize, first.QueueDepth, first.MaxIOSize, first.MaxHeaderSize)
		}
	})},
	{"IBTRS-CONN-017", on(audit.ConnectionReply), ofAccept(func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.ConnResponse.QueueDepth > 0) {
			r.Breaks("queue depth is 0")
		}
	})},
	{"IBTRS-CONN-018", on(audit.ConnectionReply), ofAccept(func(e *Event, r *audit.Ruling) {
		size := uint64(e.ConnResponse.MaxIOSize) + uint64(e.ConnResponse.MaxHeaderSize)
		if !r.Kept(bits.OnesCount64(size) == 1) {
			r.Breaks("max I/O size plus max header size is %d", size)
		}
	})},
	{"IBTRS-CONN-019", on(audit.ConnectionReply), ofAccept(func(e *Event, r *audit.Ruling) {
		size := uint64(e.ConnResponse.MaxIOSize) + uint64(e.ConnResponse.MaxHeaderSize)
		if size == 0 || e.ConnResponse.QueueDepth == 0 {
			return
		}
		need := bits.Len16(e.ConnResponse.QueueDepth-1) + bits.Len64(size-1)
		if !r.Kept(need <= 28) {
			r.Breaks("depth %d and chunk size %d need %d bits of the immediate", e.ConnResponse.QueueDepth, size, need)
		}
	})},
	{"IBTRS-CONN-020", on(audit.ConnectionReply), ofAccept(func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.ConnResponse.Reserved == [36]byte{}) {
			r.Breaks("reserved bytes of the accept are % x", e.ConnResponse.Reserved)
		}
	})},
	{"IBTRS-CONN-028", on(audit.ConnectionReply, audit.ConnectionReject), ofPath(checkJoin)},
	{"IBTRS-CONN-041", on(audit.ConnectionRequest, audit.ConnectionReply), func(e *Event, r *audit.Ruling) {
		n := e.Connection.Request.RNRRetryCount
		if e.Kind == audit.ConnectionReply {
			n = e.Connection.Reply.RNRRetryCount
		}
		if !r.Kept(n == 7) {
			r.Breaks("RNR retry count is %d", n)
		}
	}},
	{"IBTRS-CONN-042", on(audit.ConnectionRequest, audit.ConnectionReply), func(e *Event, r *audit.Ruling) {
		resources, depth := e.Connection.Request.ResponderResources, e.Connection.Request.InitiatorDepth
		if e.Kind == audit.ConnectionReply {
			resources, depth = e.Connection.Reply.ResponderResources, e.Connection.Reply.InitiatorDepth
		}
		if !r.Kept(resources == 0 && depth == 0) {
			r.Breaks("responder resources are %d, initiator depth is %d", resources, depth)
		}
	}},
	{"IBTRS-CONN-043", on(audit.ConnectionRequest), func(e *Event, r *audit.Ruling) {
		if !r.Kept(e.Connection.Request.RetryCount == 7) {
			r.Breaks("retry count is %d", e.Connection.Request.RetryCount)
		}
	}},
	{"IBTRS-CONN-044", on(RequestSent, RequestAnswered, Stray), func(e *Event, r *audit.Ruling) {
		switch {
		case e.Kind != Stray:
			r.Holds()
		case e.Message.Operation == roce.OperationReadRequest:
			r.Breaks("the %s issues an RDMA READ of %d bytes", e.From, e.Message.DMALen)
		}
	}},
	{"IBTRS-CONN-049", on(RequestSent, PathDown), checkFailedOpen},
	{"IBTRS-CONN-058", on(audit.ConnectionRequest), ofPath(func(e *Event, r *audit.Ruling) {
		if !e.HasPrevious || e.ConnRequest.CID != 0 || !e.prior.connected || e.Session.mayBeConnectedBeside(e.Path) {
			return
		}
		if !r.Kept(e.ConnRequest.FirstConnection&ibtrs.FirstConnection != 0) {
			r.Breaks("a path that was connected is asked for again without the first-connection flag")
		}
	})},
	{"IBTRS-CONN-059", on(audit.ConnectionRequest), ofPath(checkConnectionOrder)},
	{"IBTRS-CONN-061", on(audit.ConnectionReply), ofPath(ofAccept(checkSameDepth))},
	{"IBTRS-CONN-063", on(audit.ConnectionRequest), ofPath(checkFurtherFlags)},
}

// ofRequest lets only connection requests pass that are long enough to be read.
func ofRequest(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if len(e.Private) >= ibtrs.ConnRequestSize {
			check(e, r)
		}
	}
}

// ofPath lets only events pass whose path is known.
func ofPath(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if e.Path != nil && e.build != nil {
			check(e, r)
		}
	}
}

// ofAccept lets only accepts pass that can be read.
func ofAccept(check func(*Event, *audit.Ruling)) func(*Event, *audit.Ruling) {
	return func(e *Event, r *audit.Ruling) {
		if len(e.Private) >= ibtrs.ConnResponseSize && e.ConnResponse.Magic == ibtrs.Magic {
			check(e, r)
		}
	}
}

func checkServiceID(e *Event, r *audit.Ruling) {
	id := e.Connection.Request.ServiceID
	const ipTCP, native = 0x106, 0x13F
	if uint64(id)>>16 == native {
		return
	}
	if !r.Kept(uint64(id)>>16 == ipTCP) {
		r.Breaks("service id is %v", id)
	}
}

func checkPrivateLength(e *Event, r *audit.Ruling) {
	req := &e.Connection.Request
	if !audit.Addressed(req.ServiceID) {
		rest := bytes.TrimLeft(e.Private[min(len(e.Private), ibtrs.ConnRequestSize):], "\x00")
		if !r.Kept(len(e.Private) >= ibtrs.ConnRequestSize && len(rest) == 0) {
			r.Breaks("private data goes on behind its 56 bytes")
		}
		return
	}
	if !r.Kept(len(e.Private) == ibtrs.ConnRequestSize) {
		r.Breaks("private data behind the address header has %d bytes", len(e.Private))
	}
}

// checkFirstConnection sees to it that connection 0 is the first of its path that is asked for.
func checkFirstConnection(e *Event, r *audit.Ruling) {
	b, cid := e.build, e.ConnRequest.CID
	switch {
	case sameBuildOtherwise(e) || e.otherGroup != nil: // as in checkConnectionOrder
	case b.first.CID == 0:
		r.Holds()
	case cid == 0:
		r.BreaksIfClean(b.startSeq, "connection 0 is asked for after connection %d", b.first.CID)
	case b.first.CID == cid && b.lastCID == -1:
		r.BreaksIfSawAll("the build of the path begins with connection %d", cid)
	}
}

// checkSameDepth: the paths of a session, which share its permits, have one queue depth.
func checkSameDepth(e *Event, r *audit.Ruling) {
	if e.CID() != 0 {
		return // IBTRS-CONN-016
	}
	for _, p := range e.Session.paths {
		if p == e.Path || !p.Connected() || !p.build.hasAccept {
			continue
		}
		depth, other := e.ConnResponse.QueueDepth, p.build.accept.QueueDepth
		if !r.Kept(depth == other) {
			r.Breaks("accept says depth %d, that of %s says %d", depth, p, other)
		}
		return
	}
}

// checkConnectionOrder sees to it that connections are asked for in ascending order, each after the one before was
// accepted.
func checkConnectionOrder(e *Event, r *audit.Ruling) {
	b, cid := e.build, int(e.ConnRequest.CID)
	defer func() { b.lastCID = cid }()
	if sameBuildOtherwise(e) || e.otherGroup != nil {
		return // the connection belongs to another build by mistake, which is for IBTRS-CONN-009
	}
	previous := b.lanes[cid-1]
	switch {
	case cid == 0 && b.lastCID == -1:
		r.Holds()
	case cid == b.lastCID+1 && previous != nil && previous.conn.HasReply:
		r.Holds()
	case cid == b.lastCID && b.lanes[cid] == e.conversation().lane:
		return // asked for again after a refusal
	case cid == b.lastCID+1 && previous != nil:
		breaksUnlessManagementMissed(e, r, previous.conn.RequestSeq(), "connection %d is asked for before connection %d was accepted", cid, cid-1)
	case b.lastCID == -1: // IBTRS-CONN-008
	default:
		r.BreaksIfClean(b.startSeq, "connection %d is asked for after connection %d", cid, b.lastCID)
	}
}

// breaksUnlessManagementMissed blames unless an answer of the target was missed.
func breaksUnlessManagementMissed(e *Event, r *audit.Ruling, since uint64, format string, args ...any) {
	target := e.Connection.Manager(audit.Target)
	if target == nil {
		for _, l := range e.build.lanes {
			if l.conn.Manager(audit.Target) != nil {
				target = l.conn.Manager(audit.Target)
			}
		}
	}
	if target == nil {
		r.Unsure(format, args...)
		return
	}
	r.BreaksUnlessMissed([]audit.Stream{target}, since, format, args...)
}

// sameBuildOtherwise tells a request that is one of a running build in all but one of what they must have in common.
func sameBuildOtherwise(e *Event) bool {
	p := e.prior
	return p != nil && e.ConnRequest.CID > 0 && len(p.lanes) < p.count && p.lanes[0] != nil && p.lanes[0].conn.State.Live() && !p.hasInfo
}

func checkSameBuild(e *Event, r *audit.Ruling) {
	if sameBuildOtherwise(e) {
		r.BreaksIfClean(e.prior.startSeq, "connection %d has incarnation %d, those before had %d", e.ConnRequest.CID, e.ConnRequest.Incarnation, e.Previous)
		return
	}
	if other := e.otherGroup; other != nil {
		for _, p := range other.paths {
			if b := p.build; p.UUID == e.ConnRequest.PathUUID && b != nil && b.incarnation == e.ConnRequest.Incarnation && !b.lost {
				r.Breaks("connection %d has group UUID %x, those before had %x", e.ConnRequest.CID, e.ConnRequest.GroupUUID, other.Group)
			}
		}
		return
	}
	if e.ConnRequest.CID == 0 {
		return
	}
	first := e.build.first
	if !r.Kept(first.ConnectionCount == e.ConnRequest.ConnectionCount) {
		r.Breaks("connection count is %d, the requests before had %d",
			e.ConnRequest.ConnectionCount, first.ConnectionCount)
	}
}

func checkDistinctUUIDs(e *Event, r *audit.Ruling) {
	if e.Kind == InfoRequest {
		return
	}
	c := e.Connection
	switch {
	case e.Path.Initiator != c.Initiator || e.Path.Target != c.Target:
		r.Breaks("path UUID %x of %s is used for %s to %s as well", e.Path.UUID, e.Path, c.Initiator, c.Target)
	case e.otherGroup != nil && e.ConnRequest.CID == 0 && !e.otherGroup.hasAddresses(e.Path.UUID, c):
		r.Breaks("path UUID %x is used in two sessions", e.Path.UUID)
	case e.NewPath:
		r.Holds()
	}
}

func (s *Session) hasAddresses(path ibtrs.UUID, c *audit.Connection) bool {
	for _, p := range s.paths {
		if p.UUID == path {
			return p.Initiator == c.Initiator && p.Target == c.Target
		}
	}
	return false
}

func checkSameUUIDs(e *Event, r *audit.Ruling) {
	if other := e.otherGroup; other != nil {
		for _, p := range other.paths {
			if p.UUID == e.ConnRequest.PathUUID && p.build != nil && (p.build.lost || p.build.incarnation != e.ConnRequest.Incarnation) {
				r.Breaks("group UUID of path %x is %x, before it was %x", p.UUID, e.ConnRequest.GroupUUID, other.Group)
			}
		}
		return
	}
	if e.HasPrevious && e.ConnRequest.CID == 0 {
		r.Holds()
		return
	}
	if e.NewPath && e.ConnRequest.Incarnation > 1 {
		for _, p := range e.Session.paths {
			if p != e.Path && p.Initiator == e.Path.Initiator && p.Target == e.Path.Target && p.build != nil && p.build.lost {
				r.Breaks("path UUID is %x, before it was %x", e.Path.UUID, p.UUID)
			}
		}
	}
}

// checkFirstFlag: connection 0 of the first path creates the session.
func checkFirstFlag(e *Event, r *audit.Ruling) {
	if e.ConnRequest.CID != 0 || !e.NewPath || len(e.Session.paths) != 1 {
		return
	}
	if e.ConnRequest.FirstConnection&ibtrs.FirstConnection != 0 {
		r.Holds()
		return
	}
	r.BreaksIfSawAll("the first path of the session is asked for without the first-connection flag")
}

// checkFurtherFlags: when the other connections of a path are asked for, its connection 0 is established.
func checkFurtherFlags(e *Event, r *audit.Ruling) {
	if e.ConnRequest.CID == 0 {
		return
	}
	if !r.Kept(e.ConnRequest.FirstConnection&ibtrs.FirstConnection != 0) {
		r.Breaks("connection %d is asked for without the first-connection flag", e.ConnRequest.CID)
	}
}

func checkJoin(e *Event, r *audit.Ruling) {
	first := e.Session.paths[0]
	if e.Path == first || e.CID() != 0 || !first.Connected() || e.Path.builds > 1 {
		return
	}
	var request ibtrs.ConnRequest
	if e.build.lanes[0] != nil {
		request = e.build.first
	}
	if request.FirstConnection != ibtrs.FirstConnection {
		return
	}
	if e.Kind == audit.ConnectionReply {
		r.Holds()
		return
	}
	if e.RejectReason == roce.RejConsumer && e.ParseError == nil && e.ConnResponse.Errno == -int16(ibtrs.ENXIO) {
		r.Breaks("a request with the first-connection flag for a session that is up is rejected with ENXIO")
	}
}

// checkFailedOpen: an open of which one path was refused fails as a whole.
func checkFailedOpen(e *Event, r *audit.Ruling) {
	s := e.Session
	if s == nil || !s.openFailed {
		return
	}
	switch {
	case e.Kind == PathDown && s.requests == 0 && e.From != audit.Target:
		r.Holds()
	case e.Kind == RequestSent && s.requests == 1:
		if e.Flow.CleanSince(1) {
			r.Breaks("the session is used although one of its paths was refused at its open")
		}
	}
}
