// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// packetLifetime is the code of the time that a packet may take, as Linux assumes it for RoCE.
const packetLifetime = 16

// Ports that dialled connections come from.
const (
	firstDynamicPort = 32768
	lastDynamicPort  = 60999
)

// Dial asks the peer for a connection. The zone of a link-local address is not looked at: a link is on one interface.
func (d *Device) Dial(ctx context.Context, peer netip.AddrPort, cfg rdma.ConnConfig, privateData []byte, recvs ...rdma.RecvWR) (rdma.Conn, error) {
	what := fmt.Sprintf("dial %s", peer)
	peer = netip.AddrPortFrom(peer.Addr().WithZone(""), peer.Port())
	if err := ctx.Err(); err != nil {
		return nil, d.failed(what, err)
	}
	cfg, err := d.completeConn(cfg)
	if err == nil {
		err = d.checkPeer(peer)
	}
	if err == nil {
		err = rdma.CheckLimit("private data", len(privateData), 0, rdma.MaxRequestData)
	}
	if err != nil {
		return nil, d.failed(what, err)
	}
	c, err := d.cm.request(peer, cfg, privateData, recvs)
	if err != nil {
		return nil, d.failed(what, err)
	}
	g := c.dialog
	select {
	case <-g.settled:
	case <-ctx.Done():
		d.cm.abandon(g)
		err = ctx.Err()
	}
	if err == nil {
		err = g.err
	}
	if err != nil {
		return nil, d.failed(what, joinClose(err, c))
	}
	return c, nil
}

// joinClose closes what an error makes useless.
func joinClose(err error, c *Conn) error {
	if closeErr := c.Close(); closeErr != nil {
		return fmt.Errorf("%w (and closing: %w)", err, closeErr)
	}
	return err
}

// checkPeer refuses an address that this device cannot reach.
func (d *Device) checkPeer(peer netip.AddrPort) error {
	addr := peer.Addr()
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast():
		return fmt.Errorf("the peer's address is %s, must be one address of one interface", addr)
	case addr.Is4() != d.Addr().Is4():
		return fmt.Errorf("the peer's address %s and the device's, %s, are of different families", addr, d.Addr())
	case peer.Port() == 0:
		return fmt.Errorf("the peer's port is 0")
	}
	return nil
}

// request makes a connection and sends the REQ.
func (m *manager) request(peer netip.AddrPort, cfg rdma.ConnConfig, privateData []byte, recvs []rdma.RecvWR) (*Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.newDialog(cmREQSent)
	if err != nil {
		return nil, err
	}
	port := uint16(firstDynamicPort + m.dev.random()%(lastDynamicPort-firstDynamicPort+1))
	c := m.newConn(g, cfg, netip.AddrPortFrom(m.dev.Addr(), port), peer)
	if err := c.qp.postRecv(recvs); err != nil {
		m.forget(g)
		m.dev.removeQP(c.qp)
		return nil, err
	}
	g.peer, g.dataPeer = peer.Addr(), peer.Addr()
	g.transaction = uint64(m.dev.random())<<32 | uint64(g.localID)
	req := edited(m, m.makeREQ(g, c))
	addressing := roce.NewIPCM(c.local, peer.Addr())
	private, err := addressing.AppendPrivate(nil, privateData)
	if err != nil {
		panic(err) // its length was checked
	}
	c.req = req
	m.ask(g, req, private, m.requestPeriod(), m.dev.cfg.CMRetries)
	return c, nil
}

// requestPeriod is how long to wait for a reply: the way there and back, and the peer's time to answer.
func (m *manager) requestPeriod() time.Duration {
	return 2*roce.LinuxCMTimeout(packetLifetime) + roce.LinuxCMTimeout(uint8(m.dev.cfg.CMTimeout))
}

// makeREQ fills a REQ.
func (m *manager) makeREQ(g *dialog, c *Conn) *roce.CMReq {
	cfg, dev := &c.qp.cfg, &m.dev.cfg
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = dev.ACKTimeout
		c.adaptTimeout = true
	}
	mtu, _ := roce.MTUCodeOf(dev.PathMTU)
	return &roce.CMReq{
		LocalCommID:        g.localID,
		ServiceID:          roce.IPServiceID(roce.PortSpaceTCP, c.remote.Port()),
		LocalCAGUID:        m.guid,
		LocalQPN:           g.localQPN,
		ResponderResources: uint8(cfg.ResponderResources),
		InitiatorDepth:     uint8(cfg.InitiatorDepth),
		RemoteCMTimeout:    uint8(dev.CMTimeout),
		LocalCMTimeout:     uint8(dev.CMTimeout),
		TransportType:      roce.TransportRC,
		StartingPSN:        roce.PSN(m.dev.random() & psnMask),
		RetryCount:         uint8(cfg.RetryCount),
		PKey:               roce.DefaultPKey,
		PathMTU:            mtu,
		RNRRetryCount:      uint8(cfg.RNRRetryCount),
		MaxCMRetries:       uint8(dev.CMRetries),
		Primary: roce.CMPath{
			LocalLID: 0xFFFF, RemoteLID: 0xFFFF,
			LocalGID: roce.GIDOf(c.local.Addr()), RemoteGID: roce.GIDOf(c.remote.Addr()),
			FlowLabel:    roce.CMFlowLabel(c.local.Port(), c.remote.Port()),
			TrafficClass: dev.TrafficClass,
			HopLimit:     dev.TTL,
			ACKTimeout:   uint8(cfg.AckTimeout),
		},
	}
}

// onREP is the peer's yes.
func (m *manager) onREP(in incoming, rep *roce.CMRep) {
	g := m.dialogs[rep.RemoteCommID]
	if g == nil || g.conn == nil {
		return
	}
	if g.state == cmEstablished && g.remoteID == rep.LocalCommID && g.conn.req != nil {
		if !m.dev.cfg.Rules.IgnoreDuplicateREP && g.repeat != nil {
			m.send(g.peer, g.repeat)
		}
		return
	}
	if g.state != cmREQSent {
		return
	}
	if m.stale(rep.LocalCAGUID, rep.LocalQPN, g) != nil && !m.dev.cfg.Rules.IgnoreStale {
		m.reject(in, g.localID, rep.LocalCommID, roce.KindREP, refusal{reason: roce.RejStaleConnection})
		m.giveUp(g, &rdma.RejectError{Reason: uint16(roce.RejStaleConnection)})
		return
	}
	g.remoteID, g.remoteGUID, g.remoteQPN = rep.LocalCommID, rep.LocalCAGUID, rep.LocalQPN
	c := g.conn
	c.peerData = append([]byte(nil), rep.PrivateData()...)
	w := c.wireActive(rep)
	g.ackTimeout = w.ackTimeout
	c.qp.start(w)
	g.repeat = nil
	if !m.dev.cfg.Rules.NoRTU {
		rtu := edited(m, &roce.CMRtu{LocalCommID: g.localID, RemoteCommID: g.remoteID})
		g.repeat = m.encode(g.transaction, rtu, nil)
		m.send(g.peer, g.repeat)
	}
	m.establish(g)
}

// wireActive gives what the two sides have agreed on, seen from the side that asked.
func (c *Conn) wireActive(rep *roce.CMRep) wiring {
	req, cfg := c.req, &c.qp.cfg
	w := wiring{
		remoteQPN:          rep.LocalQPN,
		peer:               c.remote.Addr(),
		pmtu:               req.PathMTU.Bytes(),
		sendPSN:            rep.StartingPSN,
		recvPSN:            req.StartingPSN,
		initiatorDepth:     min(cfg.InitiatorDepth, int(rep.ResponderResources)),
		responderResources: min(cfg.ResponderResources, int(rep.InitiatorDepth)),
		retryCount:         cfg.RetryCount,
		rnrRetryCount:      int(rep.RNRRetryCount),
		ackTimeout:         req.Primary.ACKTimeout,
		tos:                req.Primary.TrafficClass,
		ttl:                req.Primary.HopLimit,
	}
	if c.adaptTimeout {
		w.ackTimeout = adaptedTimeout(req.Primary.ACKTimeout, rep.TargetACKDelay)
	}
	if c.dev.cfg.Rules.SwapStartingPSN {
		w.sendPSN, w.recvPSN = w.recvPSN, w.sendPSN
	}
	w.sourcePort = c.dev.sourcePort(req.Primary.FlowLabel, c.qp.qpn, rep.LocalQPN)
	return w
}

// adaptedTimeout is the local ACK timeout code that covers packet lifetime (a) and the peer's delay (d), as Linux
// combines them.
func adaptedTimeout(a, d uint8) uint8 {
	larger, smaller := max(a, d), min(a, d)
	if smaller+1 >= larger {
		larger++
	}
	return min(larger, 31)
}

// sourcePort is the UDP source port of a connection.
func (d *Device) sourcePort(label, localQPN, remoteQPN uint32) uint16 {
	if port := d.link.SourcePort(); port != 0 {
		return port
	}
	return roce.SourcePort(label, localQPN, remoteQPN)
}

// stale gives another dialog with the same queue pair of the same peer, nil if there is none.
func (m *manager) stale(guid uint64, qpn uint32, but *dialog) *dialog {
	for _, g := range m.dialogs {
		if g != but && g.state != cmTimeWait && g.remoteGUID == guid && g.remoteQPN == qpn {
			return g
		}
	}
	return nil
}

// onREJ is the peer's no, or that it has given up.
func (m *manager) onREJ(rej *roce.CMRej) {
	g := m.rejected(rej)
	if g == nil {
		return
	}
	err := error(&rdma.RejectError{Reason: uint16(rej.Reason), PrivateData: append([]byte(nil), rej.PrivateData()...)})
	switch g.state {
	case cmREQSent:
		m.giveUp(g, err)
	case cmREQRcvd, cmREPSent, cmEstablished:
		m.giveUp(g, fmt.Errorf("%w (%w)", rdma.ErrDisconnected, err))
	}
}

// rejected finds the dialog that a REJ is about. A peer that gave up may not know our id: then its own and its GUID name
// the dialog.
func (m *manager) rejected(rej *roce.CMRej) *dialog {
	g := m.dialogs[rej.RemoteCommID]
	if g != nil && (g.state == cmREQSent || g.remoteID == rej.LocalCommID) {
		return g
	}
	if rej.Reason != roce.RejTimeout || rej.InfoLength < 8 {
		return nil
	}
	guid := be.Uint64(rej.Info[:])
	for _, g := range m.dialogs {
		if g.remoteGUID == guid && g.remoteID == rej.LocalCommID {
			return g
		}
	}
	return nil
}

// onMRA is the peer's plea for time.
func (m *manager) onMRA(mra *roce.CMMra) {
	g := m.dialogs[mra.RemoteCommID]
	if g == nil {
		return
	}
	waiting := g.state == cmREQSent && mra.MessageMRAed == roce.KindREQ ||
		g.state == cmREPSent && mra.MessageMRAed == roce.KindREP && g.remoteID == mra.LocalCommID
	if waiting {
		m.schedule(g, roce.LinuxCMTimeout(mra.ServiceTimeout)+roce.LinuxCMTimeout(packetLifetime))
	}
}

// abandon gives a request up and tells the peer.
func (m *manager) abandon(g *dialog) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g.state != cmREQSent {
		return
	}
	rej := &roce.CMRej{LocalCommID: g.localID, MessageRejected: roce.KindOther, Reason: roce.RejTimeout, InfoLength: 8}
	be.PutUint64(rej.Info[:], m.guid)
	m.say(g, edited(m, rej), nil)
	m.giveUp(g, rdma.ErrClosed)
}
