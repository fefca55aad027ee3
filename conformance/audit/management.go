// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// managerKey names a sender of management datagrams: the network card, or the address where no card is known.
type managerKey struct {
	mac  roce.MAC
	addr [16]byte
}

// Manager follows the packet sequence numbers of the datagrams that one queue pair 1 sends. They have no
// acknowledgements, but the numbers tell whether any was missed.
type Manager struct {
	key      managerKey
	next     roce.PSN
	first    roce.PSN
	counts   bool // numbers have been seen to grow by one
	lastGap  uint64
	watchers []Watcher
}

const maxManagers = 4096

func (t *Tracker) managerOf(p *roce.Packet) *Manager {
	key := managerKey{mac: p.SrcMAC}
	if p.SrcMAC == (roce.MAC{}) {
		key.addr = addr16(p.Src)
	}
	m := t.managers[key]
	if m == nil {
		if len(t.managers) >= maxManagers {
			clear(t.managers) // a flood of senders; who sends on begins anew
		}
		m = &Manager{key: key, next: p.BTH.PSN, first: p.BTH.PSN, lastGap: t.now.seq}
		if p.BTH.PSN == 0 {
			m.lastGap = 0 // the first datagram of this sender ever
		}
		t.managers[key] = m
	}
	return m
}

// take follows the number of one datagram.
func (m *Manager) take(t *Tracker, psn roce.PSN) {
	switch d := psn.Sub(m.next); {
	case d == 0:
		m.counts = m.counts || psn != m.first
		m.next = psn.Add(1)
		for _, w := range m.watchers {
			w.InOrder()
		}
		m.watchers = m.watchers[:0]
	case d > 0 || d < -farAway:
		t.counters.ManagementGaps++
		m.next = psn.Add(1)
		m.lastGap = t.now.seq
		for _, w := range m.watchers {
			w.Gap()
		}
		m.watchers = m.watchers[:0]
	}
}

// CleanSince reports whether all datagrams from frame seq on were seen.
func (m *Manager) CleanSince(seq uint64) bool { return m != nil && m.counts && m.lastGap < seq }

// Watch makes w hear of the next datagram in order or gap, whichever is first.
func (m *Manager) Watch(w Watcher) bool {
	if len(m.watchers) >= 256 {
		return false
	}
	m.watchers = append(m.watchers, w)
	return true
}

// SawAll reports whether the capture has every datagram that the sender ever sent: they are counted from 0.
func (m *Manager) SawAll() bool { return m != nil && m.counts && m.first == 0 && m.lastGap == 0 }

func (t *Tracker) takeManagement(p *roce.Packet) {
	t.counters.Management++
	from := t.managerOf(p)
	from.take(t, p.BTH.PSN)
	mad, message, err := roce.DecodeCM(p.Payload)
	if err != nil {
		return
	}
	src, dst := p.Src, p.Dst
	private := message.PrivateData()
	switch m := message.(type) {
	case *roce.CMReq:
		t.takeREQ(src, dst, &mad, m, private, from)
	case *roce.CMRep:
		t.takeREP(src, dst, m, private, from)
	case *roce.CMRej:
		t.takeREJ(src, dst, m, private, from)
	case *roce.CMRtu:
		t.takeRTU(src, dst, m, from)
	case *roce.CMDreq:
		t.takeDREQ(src, dst, m, from)
	case *roce.CMDrep:
		t.takeDREP(src, dst, m, from)
	}
}

// findConnection finds the connection that a message from src speaks of, and which side src is.
func (t *Tracker) findConnection(src, dst netip.Addr, local, remote uint32) (*Connection, Side) {
	s, d := addr16(src), addr16(dst)
	c := t.byComm[commKey{s, d, local}]
	if c == nil || local == 0 {
		c = t.byComm[commKey{d, s, remote}]
	}
	if c == nil {
		return nil, Nobody
	}
	if c.Initiator == src {
		return c, Initiator
	}
	return c, Target
}

func (t *Tracker) takeREQ(src, dst netip.Addr, mad *roce.MAD, m *roce.CMReq, private []byte, from *Manager) {
	key := commKey{addr16(src), addr16(dst), m.LocalCommID}
	if old := t.byComm[key]; old != nil {
		if old.sameRequest(m, private) {
			old.Repeated++
			t.counters.ManagementAgain++
			t.touch(old)
			e := t.Fresh(ConnectionRequestAgain)
			e.SetConnection(old, Initiator)
			t.Emit(e)
			return
		}
		t.forget(old)
	}
	if m.TransportType != roce.TransportRC {
		return
	}
	c := t.newConnection(src, dst)
	c.managers[Initiator] = from
	c.State, c.HasRequest, c.Request = Requested, true, *m
	c.comm[0] = key
	t.byComm[key] = c
	_, c.Port, _ = m.ServiceID.IP()
	c.privLen = copy(c.private[:], application(m, private))
	if mtu := m.PathMTU.Bytes(); mtu > 0 {
		c.mtu = mtu
	}
	if !t.taken(c, m.LocalQPN) {
		t.addFlow(c, Target, m.LocalQPN)
	}
	follower := t.claim(c)
	if follower == nil {
		countOne(t.tallies.services, m.ServiceID)
	}
	e := t.Fresh(ConnectionRequest)
	e.SetConnection(c, Initiator)
	e.Manager = from
	e.Private = c.private[:c.privLen]
	if follower != nil {
		c.carries = follower.Join(c, e)
	}
	t.Emit(e)
	if follower != nil {
		follower.Joined(c)
	}
}

// taken reports whether the queue pair that a request names belongs to a connection that is alive: a request alone, which
// anybody can make, does not end it. The reply does.
func (t *Tracker) taken(c *Connection, qpn uint32) bool {
	old := t.flows[flowKey{addr16(c.Initiator), addr16(c.Target), qpn}]
	return old != nil && old.conn.State.Live()
}

// sameRequest reports whether a REQ is the connection's own, sent again.
func (c *Connection) sameRequest(m *roce.CMReq, private []byte) bool {
	return c.HasRequest && c.Request.LocalQPN == m.LocalQPN && c.Request.StartingPSN == m.StartingPSN &&
		bytes.Equal(c.private[:c.privLen], application(m, private))
}

// application returns the part of a REQ's private data that belongs to the application.
func application(m *roce.CMReq, private []byte) []byte {
	if Addressed(m.ServiceID) && len(private) > roce.IPCMLen {
		return private[roce.IPCMLen:]
	}
	return private
}

// portSpaceIB is the port space of connections between GIDs, as it stands in a service id. Their private data has no
// header with IP addresses.
const portSpaceIB = 0x3F

// Addressed reports whether the private data of a request to a service begins with a header of IP addresses.
func Addressed(id roce.ServiceID) bool {
	space, _, ok := id.IP()
	return ok && space != portSpaceIB
}

// claim finds the protocol that a connection will carry: the first one that claims it.
func (t *Tracker) claim(c *Connection) Follower {
	for i, f := range t.followers {
		if f.Claims(c) {
			c.Protocol = t.opt.Protocols[i]
			return f
		}
	}
	return nil
}

// close tells the protocol that the connection has ended.
func (c *Connection) close() {
	if c.carries != nil {
		c.carries.Close()
	}
}

func (t *Tracker) takeREP(src, dst netip.Addr, m *roce.CMRep, private []byte, from *Manager) {
	c := t.byComm[commKey{addr16(dst), addr16(src), m.RemoteCommID}]
	switch {
	case c == nil:
		// The request was not seen: the reply alone does not tell what the connection is for.
		c = t.newConnection(dst, src)
		c.comm[0] = commKey{addr16(dst), addr16(src), m.RemoteCommID}
		t.byComm[c.comm[0]] = c
	case c.HasReply && c.Reply.LocalCommID == m.LocalCommID:
		t.counters.ManagementAgain++
		return
	}
	c.State, c.HasReply, c.Reply = Replied, true, *m
	c.repSeq = t.now.seq
	c.managers[Target] = from
	c.comm[1] = commKey{addr16(src), addr16(dst), m.LocalCommID}
	t.byComm[c.comm[1]] = c
	t.touch(c)
	t.addFlow(c, Initiator, m.LocalQPN)
	if c.HasRequest {
		t.addFlow(c, Target, c.Request.LocalQPN)
	}
	e := t.Fresh(ConnectionReply)
	e.SetConnection(c, Target)
	e.Manager = from
	e.Private = private
	if c.carries != nil {
		c.carries.Reply(e)
	}
	t.Emit(e)
}

func (t *Tracker) takeREJ(src, dst netip.Addr, m *roce.CMRej, private []byte, from *Manager) {
	c, side := t.findConnection(src, dst, m.LocalCommID, m.RemoteCommID)
	if c == nil || c.State == Rejected {
		return
	}
	c.State, c.ClosedAt = Rejected, t.now.at
	e := t.Fresh(ConnectionReject)
	e.SetConnection(c, side)
	e.Manager = from
	e.Private, e.RejectReason = private, m.Reason
	if c.carries != nil {
		c.carries.Reject(e)
	}
	t.Emit(e)
}

func (t *Tracker) takeRTU(src, dst netip.Addr, m *roce.CMRtu, from *Manager) {
	c, _ := t.findConnection(src, dst, m.LocalCommID, m.RemoteCommID)
	if c == nil || c.rtuSeq != 0 {
		return
	}
	c.rtuSeq = t.now.seq
	if c.State == Requested || c.State == Replied {
		c.State = Established
	}
	t.establish(c)
	e := t.Fresh(ConnectionEstablished)
	e.SetConnection(c, Initiator)
	e.Manager = from
	t.Emit(e)
}

func (t *Tracker) takeDREQ(src, dst netip.Addr, m *roce.CMDreq, from *Manager) {
	c, side := t.findConnection(src, dst, m.LocalCommID, m.RemoteCommID)
	if c == nil {
		return
	}
	first := c.State != Disconnecting && c.State != Disconnected
	again := c.asked[side]
	c.asked[side] = true
	if first {
		c.State, c.Closer, c.ClosedAt = Disconnecting, side, t.now.at
	}
	if again {
		t.counters.ManagementAgain++
	}
	e := t.Fresh(DisconnectRequest)
	e.SetConnection(c, side)
	e.Manager = from
	e.Again = again
	t.Emit(e)
	if first {
		c.close()
	}
}

func (t *Tracker) takeDREP(src, dst netip.Addr, m *roce.CMDrep, from *Manager) {
	c, side := t.findConnection(src, dst, m.LocalCommID, m.RemoteCommID)
	if c == nil || c.State == Disconnected {
		return
	}
	if c.ClosedAt.IsZero() {
		c.ClosedAt, c.Closer = t.now.at, side.Other()
	}
	c.State = Disconnected
	e := t.Fresh(DisconnectReply)
	e.SetConnection(c, side)
	e.Manager = from
	t.Emit(e)
	c.close()
}
