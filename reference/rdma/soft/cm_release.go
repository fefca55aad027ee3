// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// startDREQ asks the peer to disconnect.
func (m *manager) startDREQ(g *dialog) {
	m.unschedule(g)
	if m.dev.cfg.Rules.NoDREQ {
		m.timeWait(g)
		return
	}
	g.state = cmDREQSent
	g.transaction = uint64(m.dev.random())<<32 | uint64(g.localID)
	dreq := &roce.CMDreq{LocalCommID: g.localID, RemoteCommID: g.remoteID, RemoteQPN: g.remoteQPN}
	m.ask(g, edited(m, dreq), nil, roce.LinuxCMTimeout(uint8(m.dev.cfg.CMTimeout)), m.dev.cfg.CMRetries)
}

// onDREQ is the peer's wish to disconnect.
func (m *manager) onDREQ(in incoming, dreq *roce.CMDreq) {
	rules := &m.dev.cfg.Rules
	drep := &roce.CMDrep{LocalCommID: dreq.RemoteCommID, RemoteCommID: dreq.LocalCommID}
	g := m.find(dreq.RemoteCommID, dreq.LocalCommID)
	if g == nil {
		if !rules.IgnoreUnknownDREQ {
			m.send(in.from, m.encode(in.transaction, edited(m, drep), nil))
		}
		return
	}
	if dreq.RemoteQPN != g.localQPN && !rules.IgnoreDREQQPN || g.state == cmREQRcvd {
		return
	}
	over := g.state == cmTimeWait // a DREQ that came again, because the answer was lost
	if !over && g.conn != nil {
		// Before the answer: whoever has it may take for granted that nothing of this connection is taken any more.
		g.conn.qp.disconnect(m.dev.connError(g.conn.qp, rdma.ErrDisconnected))
	}
	if !rules.NoDREP {
		m.send(in.from, m.encode(in.transaction, edited(m, drep), nil))
	}
	if !over {
		m.timeWait(g)
	}
}

// onDREP is the peer's consent to disconnect.
func (m *manager) onDREP(drep *roce.CMDrep) {
	if g := m.find(drep.RemoteCommID, drep.LocalCommID); g != nil && g.state == cmDREQSent {
		m.timeWait(g)
	}
}

// timeWait keeps the ids of a dialog from being used again until packets that are on their way have died out.
func (m *manager) timeWait(g *dialog) {
	g.state = cmTimeWait
	g.settle(rdma.ErrDisconnected)
	g.part()
	if m.dev.cfg.Rules.NoTimeWait {
		m.forget(g)
		return
	}
	m.schedule(g, roce.LinuxCMTimeout(g.ackTimeout))
}

// release ends the dialog of a connection that is being closed or disconnected, as far as it is not over.
func (m *manager) release(g *dialog) {
	switch g.state {
	case cmEstablished:
		m.startDREQ(g)
	case cmREPSent:
		m.reject(incoming{g.peer, g.transaction}, g.localID, g.remoteID, roce.KindOther, refusal{reason: roce.RejConsumer})
		m.forget(g)
	}
}
