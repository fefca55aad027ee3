// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"container/list"
	"fmt"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Side is one of the two ends of a connection.
type Side uint8

// The sides. The one that asked for the connection is the initiator (client), the other the target (server).
const (
	Nobody Side = iota
	Initiator
	Target
)

// Other is the other side.
func (s Side) Other() Side {
	switch s {
	case Initiator:
		return Target
	case Target:
		return Initiator
	}
	return Nobody
}

// Role is the side as the catalogue of clauses names it, "" for Nobody.
func (s Side) Role() clauses.Role {
	switch s {
	case Initiator:
		return clauses.Initiator
	case Target:
		return clauses.Target
	}
	return ""
}

// String gives "initiator", "target" or "nobody".
func (s Side) String() string {
	if s == Nobody {
		return "nobody"
	}
	return string(s.Role())
}

// State is how far a connection got.
type State uint8

// The states of a connection.
const (
	Unknown       State = iota // its establishment was not seen
	Requested                  // REQ
	Replied                    // REP
	Established                // RTU, or data
	Rejected                   // REJ
	Disconnecting              // DREQ
	Disconnected               // DREP
)

var stateNames = [...]string{"unknown", "requested", "replied", "established", "rejected", "disconnecting", "disconnected"}

// String names the state.
func (s State) String() string { return stateNames[s] }

// Live reports whether requests may travel.
func (s State) Live() bool { return s == Replied || s == Established }

// commKey names a connection by the communication id that one end chose.
type commKey struct {
	owner, peer [16]byte
	id          uint32
}

// Connection is one reliable connection: a queue pair at each end and what was said of them in connection management.
// What an event refers to may be read during the event only.
type Connection struct {
	ID          uint64 // unique in a tracker
	Rail        string // where its first frame was seen
	Initiator   netip.Addr
	Target      netip.Addr
	Port        uint16 // of the target, 0 if unknown
	State       State
	Protocol    *Protocol  // what it carries; nil if that is not known
	Request     roce.CMReq // zero if not seen
	Reply       roce.CMRep // zero if not seen
	HasRequest  bool
	HasReply    bool
	RequestedAt time.Time
	Frame       FrameID // of its REQ
	Repeated    int     // times that the REQ was sent again
	Closer      Side    // who sent the first DREQ
	ClosedAt    time.Time

	carries Conversation
	private [92]byte // application part of the private data of the REQ
	privLen int

	flows     [2]*Flow // to the target, to the initiator
	comm      [2]commKey
	mtu       int
	uncertain bool // packets of another connection may have been taken for its own
	reqSeq    uint64
	repSeq    uint64
	rtuSeq    uint64
	element   *list.Element
	inOpen    bool
	asked     [3]bool // DREQ seen, by side

	managers [3]*Manager // who sent REQ and REP, by side
}

// Uncertain reports whether the connection is not known for certain to be the one that its packets belong to.
func (c *Connection) Uncertain() bool { return c.uncertain }

// Retransmitted is the number of packets that each side sent again.
func (c *Connection) Retransmitted(from Side) uint64 {
	if f := c.Flow(from); f != nil {
		return f.retransmitted
	}
	return 0
}

// Private is the application's part of the private data of the REQ.
func (c *Connection) Private() []byte { return c.private[:c.privLen] }

// RequestSeq numbers the frame of the REQ among all frames.
func (c *Connection) RequestSeq() uint64 { return c.reqSeq }

// Manager is who sent a side's datagrams of connection management; nil if none was seen.
func (c *Connection) Manager(side Side) *Manager { return c.managers[side] }

// Carries is what the connection's protocol knows of it; nil if the protocol is not known.
func (c *Connection) Carries() Conversation { return c.carries }

// Release ends the following of the connection by its protocol.
func (c *Connection) Release() { c.Protocol, c.carries = nil, nil }

// String names the connection by its ends.
func (c *Connection) String() string {
	return fmt.Sprintf("%s to %s", c.Initiator, c.Target)
}

// Flow is the direction in which a side sends; nil if it is not known.
func (c *Connection) Flow(from Side) *Flow {
	switch from {
	case Initiator:
		return c.flows[0]
	case Target:
		return c.flows[1]
	}
	return nil
}

// grantedReads is how many READs the receiver of a direction takes at a time, 0 if that is not known.
func (c *Connection) grantedReads(f *Flow) int {
	switch {
	case f.from == Target && c.HasRequest:
		return int(c.Request.ResponderResources)
	case f.from == Initiator && c.HasReply:
		return int(c.Reply.ResponderResources)
	}
	return 0
}

// psnKnown reports whether connection management told the first packet sequence number of a direction, and sets it.
func (c *Connection) psnKnown(f *Flow) bool {
	switch {
	case f.from == Initiator && c.HasReply:
		f.next = c.Reply.StartingPSN
	case f.from == Target && c.HasRequest:
		f.next = c.Request.StartingPSN
	default:
		return false
	}
	return true
}

// newConnection makes a connection between two addresses and registers it as half open.
func (t *Tracker) newConnection(initiator, target netip.Addr) *Connection {
	c := &Connection{
		ID: t.NewID(), Rail: t.now.frame.Rail, Initiator: initiator, Target: target, mtu: 1024, Frame: t.now.frame,
		RequestedAt: t.now.at, reqSeq: t.now.seq,
	}
	t.counters.Connections++
	c.element = t.halfOpen.PushFront(c)
	for t.halfOpen.Len() > t.opt.MaxHalfOpen {
		t.counters.ForgottenHalf++
		t.forget(t.halfOpen.Back().Value.(*Connection))
	}
	return c
}

// addFlow registers the direction towards a queue pair.
func (t *Tracker) addFlow(c *Connection, from Side, qpn uint32) {
	src, dst := c.Initiator, c.Target
	index := 0
	if from == Target {
		src, dst, index = c.Target, c.Initiator, 1
	}
	key := flowKey{addr16(dst), addr16(src), qpn}
	if old := c.flows[index]; old != nil {
		if old.key == key {
			return
		}
		delete(t.flows, old.key)
	}
	if old := t.flows[key]; old != nil {
		t.retire(old)
	}
	f := &Flow{conn: c, from: from, key: key}
	c.flows[index] = f
	t.flows[key] = f
	t.lastFlow = nil
	if a, b := c.flows[0], c.flows[1]; a != nil && b != nil {
		a.back, b.back = b, a
	}
}

// retire ends a connection whose queue pair number was taken by another.
func (t *Tracker) retire(f *Flow) {
	c := f.conn
	if c.State != Disconnected {
		c.finish(t)
	}
	t.forget(c)
}

// touch notes that a connection was heard of, so that others are forgotten before it.
func (t *Tracker) touch(c *Connection) {
	if c.element == nil {
		return
	}
	if c.inOpen {
		t.open.MoveToFront(c.element)
	} else {
		t.halfOpen.MoveToFront(c.element)
	}
}

// establish moves a connection to those that are established.
func (t *Tracker) establish(c *Connection) {
	if c.inOpen || c.element == nil {
		return
	}
	t.halfOpen.Remove(c.element)
	c.element, c.inOpen = t.open.PushFront(c), true
	for t.open.Len() > t.opt.MaxConnections {
		t.counters.ForgottenOpen++
		t.forget(t.open.Back().Value.(*Connection))
	}
}

// forget drops all that refers to a connection.
func (t *Tracker) forget(c *Connection) {
	if c.element == nil {
		return
	}
	if c.inOpen {
		t.open.Remove(c.element)
	} else {
		t.halfOpen.Remove(c.element)
	}
	c.element = nil
	for _, key := range c.comm {
		if t.byComm[key] == c {
			delete(t.byComm, key)
		}
	}
	for _, f := range c.flows {
		if f == nil {
			continue
		}
		if t.flows[f.key] == f {
			delete(t.flows, f.key)
		}
		t.dropHeld(f)
		f.tellGap()
	}
	t.lastFlow = nil
	if c.carries != nil {
		c.carries.Forget()
	}
}

// finish gives up what is missing: no more frames of the connection will come.
func (c *Connection) finish(t *Tracker) {
	for _, f := range c.flows {
		if f == nil {
			continue
		}
		for len(f.held) > 0 {
			t.giveUp(f, f.held[0].psn)
		}
	}
}

// gapFound tells the protocol that packets of a direction were not seen.
func (c *Connection) gapFound(f *Flow) {
	if c.carries != nil {
		c.carries.Gap(f)
	}
}

// takeMessage hands a message to the protocol of its connection.
func (t *Tracker) takeMessage(f *Flow, m *Message) {
	c := f.conn
	if c.State == Replied {
		c.State = Established
		t.establish(c)
	}
	if c.carries != nil {
		c.carries.Message(f, m)
	}
}
