// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// mraTimeout is the code of the time that a peer is asked to wait when it repeats a request that the application has not
// answered yet: 65 s.
const mraTimeout = 24

// listener yields requests for one port. Its queue is guarded by the manager's lock.
type listener struct {
	m      *manager
	port   uint16
	queue  []*request // not yet given by Next
	open   int        // requests not yet answered
	closed bool
	ready  chan struct{} // one token: there may be a request
	ended  chan struct{} // closed by Close
	lost   chan struct{} // closed when the link is gone
}

var _ rdma.Listener = (*listener)(nil)

// Listen waits for connection requests.
func (d *Device) Listen(port uint16) (rdma.Listener, error) {
	m := &d.cm
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, d.failed("listen", err)
	}
	for port == 0 {
		port = uint16(firstDynamicPort + d.random()%(lastDynamicPort-firstDynamicPort+1))
		if m.listeners[port] != nil {
			port = 0
		}
	}
	if m.listeners[port] != nil {
		return nil, d.failed(fmt.Sprintf("listen on port %d: another listener has it", port), rdma.ErrBusy)
	}
	l := &listener{m: m, port: port, ready: make(chan struct{}, 1), ended: make(chan struct{}), lost: make(chan struct{})}
	m.listeners[port] = l
	return l, nil
}

func (l *listener) Addr() netip.AddrPort { return netip.AddrPortFrom(l.m.dev.Addr(), l.port) }

func (l *listener) Next(ctx context.Context) (rdma.Request, error) {
	for {
		if r, err := l.pop(); r != nil || err != nil {
			return r, err
		}
		select {
		case <-l.ready:
		case <-l.ended:
		case <-l.lost:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// pop gives the oldest request; nothing and no error when there is none.
func (l *listener) pop() (rdma.Request, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.closed {
		return nil, l.m.dev.failed("next request", fmt.Errorf("listener on port %d %w", l.port, rdma.ErrClosed))
	}
	if l.m.lost {
		return nil, l.m.dev.failed("next request", rdma.ErrDeviceRemoved)
	}
	if len(l.queue) == 0 {
		return nil, nil
	}
	r := l.queue[0]
	l.queue = l.queue[1:]
	r.given = true
	if len(l.queue) > 0 {
		post(l.ready)
	}
	return r, nil
}

func (l *listener) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	delete(l.m.listeners, l.port)
	close(l.ended)
	for _, r := range slices.Clone(l.queue) {
		r.refuse(refusal{reason: roce.RejInvalidServiceID})
	}
	return nil
}

// drop removes a request that is over, wherever it is.
func (l *listener) drop(r *request) {
	if r.over {
		return
	}
	r.over = true
	l.open--
	l.queue = slices.DeleteFunc(l.queue, func(o *request) bool { return o == r })
}

// request is a peer's REQ. Its fields are guarded by the manager's lock.
type request struct {
	listener *listener
	dialog   *dialog
	in       incoming
	req      *roce.CMReq
	remote   netip.AddrPort
	private  []byte
	given    bool // by Next
	answered bool // by Accept or Reject
	over     bool // not counted by the listener any more
}

var _ rdma.Request = (*request)(nil)

func (r *request) LocalAddr() netip.AddrPort  { return r.listener.Addr() }
func (r *request) RemoteAddr() netip.AddrPort { return r.remote }
func (r *request) PrivateData() []byte        { return slices.Clone(r.private) }

// onREQ is a peer's wish for a connection.
func (m *manager) onREQ(in incoming, req *roce.CMReq) {
	if g := m.asked(req); g != nil {
		m.onDuplicateREQ(in, g)
		return
	}
	l, remote, private, why := m.examine(req)
	if why == nil {
		why = m.admit(l, in, req)
	}
	if why != nil {
		m.reject(in, 0, req.LocalCommID, roce.KindREQ, *why)
		return
	}
	g, err := m.newDialog(cmREQRcvd)
	if err != nil {
		m.reject(in, 0, req.LocalCommID, roce.KindREQ, refusal{reason: roce.RejNoResources})
		return
	}
	g.peer, g.transaction = in.from, in.transaction
	g.remoteID, g.remoteGUID, g.remoteQPN = req.LocalCommID, req.LocalCAGUID, req.LocalQPN
	g.dataPeer, g.ackTimeout = req.Primary.LocalGID.Addr(), req.Primary.ACKTimeout
	g.request = &request{listener: l, dialog: g, in: in, req: req, remote: remote, private: slices.Clone(private)}
	l.open++
	l.queue = append(l.queue, g.request)
	post(l.ready)
}

// asked gives the dialog that a REQ has begun already, nil for a new REQ.
func (m *manager) asked(req *roce.CMReq) *dialog {
	for _, g := range m.dialogs {
		if g.remoteGUID == req.LocalCAGUID && g.remoteID == req.LocalCommID {
			return g
		}
	}
	return nil
}

// onDuplicateREQ answers a repeated REQ as before: with the reply, or, while there is none, with a plea for time.
func (m *manager) onDuplicateREQ(in incoming, g *dialog) {
	if m.dev.cfg.Rules.IgnoreDuplicateREQ {
		return
	}
	switch g.state {
	case cmREQRcvd:
		mra := &roce.CMMra{LocalCommID: g.localID, RemoteCommID: g.remoteID, MessageMRAed: roce.KindREQ, ServiceTimeout: mraTimeout}
		m.say(g, edited(m, mra), nil)
	case cmREPSent:
		m.send(g.peer, g.repeat)
	case cmTimeWait:
		m.reject(in, g.localID, g.remoteID, roce.KindREQ, refusal{reason: roce.RejStaleConnection})
	}
}

// examine looks for what is wrong with a REQ by itself, and for the listener that it is for.
func (m *manager) examine(req *roce.CMReq) (l *listener, remote netip.AddrPort, private []byte, why *refusal) {
	rules, own := &m.dev.cfg.Rules, m.dev.Addr()
	no := func(reason roce.RejReason) (*listener, netip.AddrPort, []byte, *refusal) {
		return nil, netip.AddrPort{}, nil, &refusal{reason: reason}
	}
	space, port, ok := req.ServiceID.IP()
	l = m.listeners[port]
	if !ok || space != roce.PortSpaceTCP || l == nil {
		return no(roce.RejInvalidServiceID)
	}
	if req.Primary.RemoteGID != roce.GIDOf(own) {
		gid := roce.GIDOf(own)
		return nil, remote, nil, &refusal{reason: roce.RejPrimaryRemoteGID, info: gid[:]}
	}
	peer := req.Primary.LocalGID.Addr()
	switch {
	case req.TransportType != roce.TransportRC:
		return no(roce.RejInvalidTransportType)
	case req.PathMTU.Bytes() == 0 || req.PathMTU.Bytes() > m.dev.cfg.PathMTU:
		return no(roce.RejInvalidMTU)
	case req.PKey&0x7FFF != roce.DefaultPKey&0x7FFF && !rules.IgnorePKey:
		return no(roce.RejUnsupportedRequest)
	case peer.Is4() != own.Is4() || peer.IsUnspecified() || peer.IsMulticast():
		return no(roce.RejUnsupportedRequest)
	}
	ip, application, err := req.IPCM()
	if err != nil || !m.goodIPCM(ip) && !rules.IgnoreIPCM {
		return no(roce.RejConsumer)
	}
	return l, netip.AddrPortFrom(ip.SrcAddr(), ip.SrcPort), application, nil
}

// goodIPCM checks the IP header in a REQ's private data.
func (m *manager) goodIPCM(ip *roce.IPCM) bool {
	own, src := m.dev.Addr(), ip.SrcAddr()
	return ip.MajorVersion == 0 && ip.MinorVersion == 0 && ip.DstAddr() == own &&
		src.IsValid() && src.Is4() == own.Is4() && !src.IsUnspecified() && !src.IsMulticast()
}

// admit looks for what is wrong with a REQ in the light of what there is.
func (m *manager) admit(l *listener, in incoming, req *roce.CMReq) *refusal {
	if old := m.stale(req.LocalCAGUID, req.LocalQPN, nil); old != nil && !m.dev.cfg.Rules.IgnoreStale {
		m.tellStale(old)
		return &refusal{reason: roce.RejStaleConnection}
	}
	if l.open >= m.dev.cfg.Backlog {
		return &refusal{reason: roce.RejNoResources}
	}
	return nil
}

// tellStale ends a connection whose peer has forgotten it.
func (m *manager) tellStale(g *dialog) {
	if g.state != cmEstablished {
		return
	}
	if g.conn != nil {
		g.conn.qp.disconnect(m.dev.connError(g.conn.qp, rdma.ErrDisconnected))
	}
	m.startDREQ(g)
}

// take marks the request as answered; it fails when there is nothing to answer any more.
func (r *request) take() error {
	if r.answered {
		return fmt.Errorf("request of %s: it was answered before", r.remote)
	}
	r.answered = true
	if r.dialog.state != cmREQRcvd {
		return fmt.Errorf("request of %s: the peer has given up: %w", r.remote, rdma.ErrDisconnected)
	}
	return nil
}

// refuse rejects and forgets the request.
func (r *request) refuse(why refusal) {
	m, g := r.listener.m, r.dialog
	m.reject(r.in, 0, g.remoteID, roce.KindREQ, why)
	m.forget(g)
}

func (r *request) Reject(privateData []byte) error {
	m := r.listener.m
	if err := rdma.CheckLimit("private data", len(privateData), 0, rdma.MaxRejectData); err != nil {
		return m.dev.failed("reject", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := r.take(); err != nil {
		return m.dev.failed("reject", err)
	}
	r.refuse(refusal{reason: roce.RejConsumer, private: privateData})
	return nil
}

func (r *request) Accept(ctx context.Context, cfg rdma.ConnConfig, privateData []byte, recvs ...rdma.RecvWR) (rdma.Conn, error) {
	m := r.listener.m
	cfg, err := m.dev.completeConn(cfg)
	err = errors.Join(err, ctx.Err(), rdma.CheckLimit("private data", len(privateData), 0, rdma.MaxReplyData))
	m.mu.Lock()
	defer m.mu.Unlock()
	if gone := r.take(); gone != nil {
		return nil, m.dev.failed("accept", gone)
	}
	var c *Conn
	if err == nil {
		c, err = r.accept(cfg, privateData, recvs)
	}
	if err != nil {
		r.refuse(refusal{reason: roce.RejNoResources})
		return nil, m.dev.failed(fmt.Sprintf("accept the request of %s", r.remote), err)
	}
	return c, nil
}

// accept makes the connection, which may receive from then on, and sends the REP.
func (r *request) accept(cfg rdma.ConnConfig, privateData []byte, recvs []rdma.RecvWR) (*Conn, error) {
	m, g := r.listener.m, r.dialog
	c := m.newConn(g, cfg, r.LocalAddr(), r.remote)
	if err := c.qp.postRecv(recvs); err != nil {
		g.conn = nil
		m.dev.removeQP(c.qp)
		return nil, err
	}
	r.listener.drop(r)
	g.request = nil
	c.peerData = slices.Clone(r.private)
	c.req = r.req
	rep := edited(m, m.makeREP(g, c))
	if w := c.wirePassive(rep); !m.dev.cfg.Rules.WaitForRTU {
		c.qp.start(w)
	} else {
		c.later = &w
	}
	g.state = cmREPSent
	retries := int(r.req.MaxCMRetries)
	if m.dev.cfg.Rules.NoREPRetry {
		retries = 0
	}
	m.ask(g, rep, privateData, roce.LinuxCMTimeout(r.req.LocalCMTimeout), retries)
	return c, nil
}

// targetACKDelay is the code of the time that this endpoint may take to acknowledge: 134 ms, as soft-RoCE in Linux says.
const targetACKDelay = 15

// makeREP fills a REP.
func (m *manager) makeREP(g *dialog, c *Conn) *roce.CMRep {
	cfg := &c.qp.cfg
	cfg.ResponderResources = min(cfg.ResponderResources, int(c.req.InitiatorDepth))
	cfg.InitiatorDepth = min(cfg.InitiatorDepth, int(c.req.ResponderResources))
	return &roce.CMRep{
		LocalCommID:        g.localID,
		RemoteCommID:       g.remoteID,
		LocalQPN:           g.localQPN,
		StartingPSN:        roce.PSN(m.dev.random() & psnMask),
		ResponderResources: uint8(cfg.ResponderResources),
		InitiatorDepth:     uint8(cfg.InitiatorDepth),
		TargetACKDelay:     targetACKDelay,
		RNRRetryCount:      uint8(cfg.RNRRetryCount),
		LocalCAGUID:        m.guid,
	}
}

// wirePassive gives what the two sides have agreed on, seen from the side that was asked. The request rules.
func (c *Conn) wirePassive(rep *roce.CMRep) wiring {
	req, cfg := c.req, &c.qp.cfg
	w := wiring{
		remoteQPN:          req.LocalQPN,
		peer:               req.Primary.LocalGID.Addr(),
		pmtu:               req.PathMTU.Bytes(),
		sendPSN:            req.StartingPSN,
		recvPSN:            rep.StartingPSN,
		initiatorDepth:     cfg.InitiatorDepth,
		responderResources: cfg.ResponderResources,
		retryCount:         int(req.RetryCount),
		rnrRetryCount:      int(req.RNRRetryCount),
		ackTimeout:         req.Primary.ACKTimeout,
		tos:                req.Primary.TrafficClass,
		ttl:                max(req.Primary.HopLimit, 1),
	}
	w.sourcePort = c.dev.sourcePort(req.Primary.FlowLabel, c.qp.qpn, req.LocalQPN)
	if c.dev.cfg.Rules.SwapStartingPSN {
		w.sendPSN, w.recvPSN = w.recvPSN, w.sendPSN
	}
	return w
}

// onRTU is the peer's confirmation.
func (m *manager) onRTU(rtu *roce.CMRtu) {
	g := m.find(rtu.RemoteCommID, rtu.LocalCommID)
	if g == nil || g.state != cmREPSent || g.conn == nil {
		return
	}
	if g.conn.later != nil {
		g.conn.qp.start(*g.conn.later)
	}
	m.establish(g)
}
