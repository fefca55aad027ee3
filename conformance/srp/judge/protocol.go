// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"sync"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/srp/catalogue"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Protocol is SRP. Logins are recognised by their form.
var Protocol = OnPorts()

// clausesOf are read once, by the first judge.
var clausesOf = sync.OnceValue(func() *clauses.Catalogue { return clauses.MustNew(catalogue.Part) })

// OnPorts is SRP with targets on some ports of the RDMA connection manager: what is asked of them is a login, whatever it looks like.
func OnPorts(ports ...uint16) *audit.Protocol {
	p := &audit.Protocol{
		Name: "srp", Catalogue: clausesOf, Rules: rules(),
		NewMemory: func() audit.Memory { return &attempts{logins: make(map[loginKey]*login)} },
	}
	p.Follow = func(t *audit.Tracker) audit.Follower {
		return &follower{Tracker: t, protocol: p, ports: ports, nexuses: make(map[nexusKey]*nexus)}
	}
	return p
}

// follower follows channels for one tracker.
type follower struct {
	*audit.Tracker
	protocol *audit.Protocol
	ports    []uint16
	nexuses  map[nexusKey]*nexus
	event    Event // detail of the tracker's event
	freeCmds []*Command
}

// Claims tells a login by its port or by its form.
func (t *follower) Claims(c *audit.Connection) bool {
	return slices.Contains(t.ports, c.Port) || looksLikeLogin(c.Private())
}

// looksLikeLogin tells whether private data has the form of an SRP login request over the RDMA connection manager.
func looksLikeLogin(private []byte) bool {
	m, err := srp.ParseLoginReqCM(private)
	return err == nil && m.RequiredFormats != 0 && m.RequiredFormats&^(srp.FormatsDirect|srp.FormatsIndirect) == 0 &&
		m.TargetPort != (srp.PortID{})
}

// Join attaches a connection to the nexus of the ports that its login names.
func (t *follower) Join(conn *audit.Connection, e *audit.Event) audit.Conversation {
	c := &conversation{follower: t, conn: conn}
	t.joinNexus(c, t.describe(e))
	return c
}

// Joined remembers a login after everybody has seen it.
func (t *follower) Joined(conn *audit.Connection) {
	if c, _ := conn.Carries().(*conversation); c != nil && c.channel != nil && c.channel.nexus != nil {
		c.channel.nexus.note(c)
	}
}

// Stray has nothing to take: no unit of SRP says by itself what it is.
func (t *follower) Stray(*roce.Packet) {}

// conversation is what a connection of SRP carries. The channel is nil once it is forgotten.
type conversation struct {
	*follower
	conn    *audit.Connection
	channel *Channel
}

// Describe adds the channel to an event of the transport.
func (c *conversation) Describe(e *audit.Event) { c.describe(e).Channel = c.channel }

// Reply reads the answer to a login.
func (c *conversation) Reply(e *audit.Event) { c.acceptChannel(c, c.describe(e)) }

// Reject reads why a login is refused.
func (c *conversation) Reject(e *audit.Event) { c.rejectChannel(c, c.describe(e)) }

// Message takes a message.
func (c *conversation) Message(f *audit.Flow, m *audit.Message) {
	if c.channel != nil {
		c.takeMessage(f, c.channel, m)
	}
}

// Gap notes that units of one direction may have been missed.
func (c *conversation) Gap(f *audit.Flow) {
	if c.channel != nil {
		c.channel.gapFound(f)
	}
}

// Close ends the channel.
func (c *conversation) Close() {
	if c.channel != nil {
		c.closeChannel(c.channel)
	}
}

// Forget takes the channel out of its nexus.
func (c *conversation) Forget() { c.leaveNexus(c) }
