// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// nexusKey names the relation of an initiator port and a target port of SRP.
type nexusKey struct {
	initiator, target srp.PortID
	at                [16]byte // address of the target
}

// String names the session: extension and port of the initiator, and the unique part of the target port.
func (k nexusKey) String() string {
	extension, port := k.initiator.Split(srp.IOClassRev16a)
	_, controller := k.target.Split(srp.IOClassRev16a)
	return fmt.Sprintf("%016x:%016x@%016x", extension, port, controller)
}

// nexus has the live channels between two ports.
type nexus struct {
	key      nexusKey
	name     string
	channels []*Channel
	first    *audit.Manager // who sent the first login
	hadOne   bool           // a login was accepted before
	logins   int
	rejects  int

	// Of the last login request.
	lastLogin  uint64
	lastSingle uint64 // the last one that was the first channel
	lastAt     time.Time
	lastQPN    uint32
	lastComm   uint32
}

// Login is what the two sides said in a login.
type Login struct {
	Request     srp.LoginReqCM // zero if not seen
	HasRequest  bool
	Response    srp.LoginRsp
	HasResponse bool
	Reject      srp.LoginRej
	HasReject   bool
	First       bool // no login of the nexus was seen before
	Others      int  // live channels of the nexus when the request came
	OthersSure  bool // no channel can have been missed
	Again       bool // the nexus had a channel before, and begins anew

	hadChannel bool
	settled    bool // all logins before were rejected
}

// Channel is one SRP channel: a connection after its login.
type Channel struct {
	Login     Login
	Initiator netip.Addr
	Target    netip.Addr

	conn      *audit.Connection
	nexus     *nexus
	limit     int64 // request limit as the initiator knows it
	limitSure bool
	commands  map[srp.Tag]*Command
	answered  bool // something was answered
	epoch     uint32
	blind     uint32
	credReqs  []srp.Tag // requests of the target that wait for their response, at most maxCredReqs
	forgotten bool      // there were more requests of the target than that
	loggedOut audit.Side
	up        bool
	cutOff    bool // it ended before its commands were answered
	lastMoved *Command
	past      [8][]memory // of the commands answered last
	pastNext  int
	ghosts    []Move // RDMA for commands that were not seen
}

// maxCredReqs bounds what is kept of a target that asks without end.
const maxCredReqs = 64

// Connection returns the channel's connection.
func (c *Channel) Connection() *audit.Connection { return c.conn }

// Limit returns the request limit as far as it is known, and whether it is certain.
func (c *Channel) Limit() (int64, bool) { return c.limit, c.limitSure }

func (t *follower) joinNexus(c *conversation, e *Event) {
	private := c.conn.Private()
	m, err := srp.ParseLoginReqCM(private)
	e.ParseError = err
	ch := &Channel{conn: c.conn, Initiator: c.conn.Initiator, Target: c.conn.Target, commands: make(map[srp.Tag]*Command)}
	ch.Login.Request, ch.Login.HasRequest = m, err == nil || len(private) >= srp.LoginReqCMSize
	c.channel = ch
	if ch.Login.HasRequest {
		n := t.nexusOf(nexusKey{m.InitiatorPort, m.TargetPort, c.conn.Target.As16()}, e.Manager)
		ch.nexus = n
		ch.Login.First, ch.Login.settled = n.lastLogin == 0, n.logins == n.rejects
		n.logins++
		ch.Login.Others, ch.Login.OthersSure = n.live(), n.first.SawAll()
		ch.Login.Again, ch.Login.hadChannel = n.hadOne && m.Flags&multiChannel == srp.ChannelSingle, n.hadOne
	}
	e.Channel = ch
	e.Login = &ch.Login
}

// note remembers a login request after everybody has seen it.
func (n *nexus) note(c *conversation) {
	conn := c.conn
	n.lastLogin, n.lastAt, n.lastQPN, n.lastComm = conn.ID, conn.RequestedAt, conn.Request.LocalQPN, conn.Request.LocalCommID
	if c.channel.Login.Request.Flags&multiChannel == srp.ChannelSingle {
		n.lastSingle = conn.ID
	}
}

const maxNexuses = 65536

func (t *follower) nexusOf(key nexusKey, m *audit.Manager) *nexus {
	n := t.nexuses[key]
	if n == nil {
		if len(t.nexuses) >= maxNexuses {
			clear(t.nexuses)
		}
		n = &nexus{key: key, name: key.String(), first: m}
		t.nexuses[key] = n
	}
	return n
}

func (n *nexus) live() int {
	live := 0
	for _, ch := range n.channels {
		if ch.conn.State.Live() {
			live++
		}
	}
	return live
}

// disturbed says that a channel has ended by its target, or with work that was not done: what its initiator does then is no removal
// in order.
func (n *nexus) disturbed() bool {
	return slices.ContainsFunc(n.channels, func(ch *Channel) bool {
		return ch.conn.Closer == audit.Target || ch.loggedOut == audit.Target || ch.cutOff || len(ch.commands) > 0
	})
}

func (t *follower) leaveNexus(c *conversation) {
	ch := c.channel
	if ch == nil {
		return
	}
	c.channel = nil
	if ch.nexus == nil {
		return
	}
	ch.nexus.channels = slices.DeleteFunc(ch.nexus.channels, func(other *Channel) bool { return other == ch })
}

func (t *follower) acceptChannel(c *conversation, e *Event) {
	ch := c.channel
	if ch == nil {
		return
	}
	m, err := srp.ParseLoginRsp(e.Private)
	e.ParseError = err
	e.Login = &ch.Login
	e.Channel = ch
	if ch.nexus != nil {
		ch.Login.OthersSure = ch.nexus.first.SawAll()
	}
	ch.Login.Response, ch.Login.HasResponse = m, err == nil
	ch.limit, ch.limitSure = int64(m.RequestLimitDelta), err == nil
	if n := ch.nexus; n != nil && len(n.channels) < 1024 {
		n.channels = append(n.channels, ch)
		n.hadOne = true
	}
}

func (t *follower) rejectChannel(c *conversation, e *Event) {
	if c.channel == nil {
		return
	}
	m, err := srp.ParseLoginRej(e.Private)
	c.channel.Login.Reject, c.channel.Login.HasReject = m, err == nil
	e.ParseError, e.Login, e.Channel = err, &c.channel.Login, c.channel
	if c.channel.nexus != nil {
		c.channel.nexus.rejects++
	}
}

func (t *follower) closeChannel(ch *Channel) {
	ch.cutOff = len(ch.commands) > 0
	for tag, cmd := range ch.commands {
		e := t.fresh(CommandUnanswered)
		e.setConnection(ch.conn, audit.Nobody)
		e.Command = cmd
		for _, f := range cmd.Frames {
			e.AddFrame(f)
		}
		t.Emit(e.Event)
		delete(ch.commands, tag)
		t.releaseCommand(cmd)
	}
	ch.lastMoved = nil
}

func (ch *Channel) gapFound(f *audit.Flow) {
	if f.From() == audit.Initiator {
		ch.blind++
		return
	}
	ch.epoch++
	ch.limitSure = false
}

// Command is an SRP_CMD or SRP_TSK_MGMT.
type Command struct {
	Tag        srp.Tag
	Management bool // SRP_TSK_MGMT
	Task       srp.TskMgmt
	LUN        srp.LUN
	CDB        [16]byte
	Out, In    int // bytes offered in each direction, -1 if not known
	OutFormat  srp.Format
	InFormat   srp.Format
	Size       int // bytes of the unit
	Frames     [2]audit.FrameID
	At         time.Time
	MovedIn    uint64 // bytes that the target wrote
	MovedOut   uint64 // bytes that it fetched
	ParseError error
	Limit      int64 // request limit before it was sent
	LimitKnown bool
	TagBusy    bool // the tag was in use
	Managed    bool // of task management: the managed task was outstanding

	out, in []memory
	table   memory
	known   bool // descriptors are known
	epoch   uint32
	aborted bool // its abort was answered with success
}

// memory is a range of the initiator's memory.
type memory struct {
	address uint64
	key     uint32
	length  uint32
}

func (m memory) holds(address uint64, key uint32, length uint64) bool {
	return m.key == key && address >= m.address && length <= uint64(m.length) && address-m.address <= uint64(m.length)-length
}

// OpCode is the SCSI operation code.
func (c *Command) OpCode() byte { return c.CDB[0] }

func (t *follower) newCommand() *Command {
	if n := len(t.freeCmds); n > 0 {
		c := t.freeCmds[n-1]
		t.freeCmds = t.freeCmds[:n-1]
		*c = Command{out: c.out[:0], in: c.in[:0]}
		return c
	}
	return new(Command)
}

func (t *follower) releaseCommand(c *Command) {
	if len(t.freeCmds) < 4096 {
		t.freeCmds = append(t.freeCmds, c)
	}
}
