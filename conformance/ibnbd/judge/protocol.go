// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"container/list"
	"slices"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/catalogue"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Protocol is IBNBD over IBTRS, with servers on the usual port.
var Protocol = OnPorts(ibtrs.DefaultPort)

// clausesOf are read once, by the first judge.
var clausesOf = sync.OnceValue(func() *clauses.Catalogue { return clauses.MustNew(catalogue.Part) })

// OnPorts is the protocol with servers on some ports of the RDMA connection manager. On others a connection is recognised by the
// magic in its request.
func OnPorts(ports ...uint16) *audit.Protocol {
	p := &audit.Protocol{
		Name: "ibtrs", Catalogue: clausesOf, Rules: rules(), IsHeartbeat: isBareHeartbeat,
		NewMemory: func() audit.Memory { return newMemories() },
	}
	p.Follow = func(t *audit.Tracker) audit.Follower { return newFollower(t, p, ports) }
	return p
}

// isBareHeartbeat tells heartbeats and their acknowledgements by the packet alone.
func isBareHeartbeat(p *roce.Packet) bool {
	i := ibtrs.Immediate(p.ImmDt.Value)
	return p.BTH.OpCode == roce.RCWriteOnlyImm && len(p.Payload) == 0 && !p.Truncated && (i == ibtrs.Heartbeat || i == ibtrs.HeartbeatAck)
}

// follower follows sessions for one tracker.
type follower struct {
	*audit.Tracker
	protocol *audit.Protocol
	ports    []uint16

	sessions map[groupUUID]*Session
	groups   map[ibtrs.UUID]groupUUID // by path UUID
	recent   *list.List               // sessions, the one heard of last in front

	event    Event // detail of the tracker's event
	freeReqs []*Request
}

func newFollower(t *audit.Tracker, p *audit.Protocol, ports []uint16) *follower {
	return &follower{
		Tracker: t, protocol: p, ports: ports, sessions: make(map[groupUUID]*Session), groups: make(map[ibtrs.UUID]groupUUID), recent: list.New(),
	}
}

// Claims tells a connection by its port or by the magic in its request.
func (t *follower) Claims(c *audit.Connection) bool {
	const native = 0x13F // port space of connections that are not made by IP addresses
	service := uint64(c.Request.ServiceID)
	if slices.Contains(t.ports, c.Port) || service>>16 == native && slices.Contains(t.ports, uint16(service)) {
		return true
	}
	private := c.Private()
	return len(private) >= ibtrs.ConnRequestSize && private[2] == ibtrs.Magic&0xFF && private[3] == ibtrs.Magic>>8
}

// Join attaches a connection to the path that its request names.
func (t *follower) Join(conn *audit.Connection, e *audit.Event) audit.Conversation {
	c := &conversation{follower: t, conn: conn, cid: -1}
	t.joinPath(c, t.describe(e))
	return c
}

// Joined has nothing to do.
func (t *follower) Joined(*audit.Connection) {}

// conversation is what a connection of IBTRS carries. Path and lane are nil if its request was refused before it was read.
type conversation struct {
	*follower
	conn *audit.Connection
	cid  int
	path *Path
	lane *lane
}

// Describe adds path and session to an event of the transport.
func (c *conversation) Describe(e *audit.Event) {
	d := c.describe(e)
	d.locate(c)
	switch e.Kind {
	case audit.ReceiverNotReady, audit.SequenceNAK, audit.FatalNAK:
		d.Refused = c.refusedRequest(e.Flow, e.PSN)
	}
}

// Reply reads what a target says of the path.
func (c *conversation) Reply(e *audit.Event) {
	d := c.describe(e)
	d.locate(c)
	c.acceptPath(c, d)
}

// Reject reads why a path is refused.
func (c *conversation) Reject(e *audit.Event) {
	d := c.describe(e)
	d.locate(c)
	d.ConnResponse, d.ParseError = ibtrs.ParseConnResponse(e.Private)
	if c.lane != nil {
		c.path.session.noteReject(c.path)
	}
}

// Gap notes that messages of one direction may have been missed.
func (c *conversation) Gap(f *audit.Flow) {
	if c.lane != nil {
		c.lane.gapFound(f)
	}
}

// Close ends the path.
func (c *conversation) Close() {
	if c.lane != nil {
		c.closeLane(c.lane)
	}
}

// Forget detaches the connection from its path.
func (c *conversation) Forget() { c.leavePath(c) }
