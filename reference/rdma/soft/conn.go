// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"context"
	"net/netip"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Conn is a reliable connection. It implements rdma.Conn.
type Conn struct {
	dev           *Device
	qp            *queuePair
	dialog        *dialog
	local, remote netip.AddrPort
	established   chan struct{}

	// Guarded by the manager's lock until the connection is handed out.

	req          *roce.CMReq // that made it, sent or received
	peerData     []byte
	adaptTimeout bool    // the ACK timeout is to be adapted to the peer's delay
	later        *wiring // of an endpoint that waits for the confirmation, against the rule
}

var _ rdma.Conn = (*Conn)(nil)

// newConn makes the connection of a dialog. The caller holds the manager's lock.
func (m *manager) newConn(g *dialog, cfg rdma.ConnConfig, local, remote netip.AddrPort) *Conn {
	c := &Conn{dev: m.dev, dialog: g, local: local, remote: remote, established: make(chan struct{})}
	c.qp = m.dev.newQP(cfg, g.localQPN)
	c.qp.peer = remote.Addr()
	g.conn = c
	return c
}

// LocalAddr is the device's address and the port that the connection was made from or to.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// RemoteAddr is the peer's address and port.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// PeerData is the private data of the peer's request or reply.
func (c *Conn) PeerData() []byte { return c.peerData }

// Established is closed when both sides have agreed.
func (c *Conn) Established() <-chan struct{} { return c.established }

// Lost is closed when the connection can carry no more work.
func (c *Conn) Lost() <-chan struct{} { return c.qp.lost }

// Err is why the connection was lost.
func (c *Conn) Err() error { return c.qp.cause() }

// QPN is the local queue pair number, by which faults find the connection's inbound packets.
func (c *Conn) QPN() uint32 { return c.qp.qpn }

// RemoteQPN is the peer's queue pair number.
func (c *Conn) RemoteQPN() uint32 {
	c.qp.mu.Lock()
	defer c.qp.mu.Unlock()
	return c.qp.remoteQPN
}

// PathMTU is the most data in one packet of this connection, in bytes.
func (c *Conn) PathMTU() int { return c.req.PathMTU.Bytes() }

// PostSend posts work.
func (c *Conn) PostSend(work ...rdma.SendWR) error {
	if err := c.qp.postSend(work); err != nil {
		return c.dev.failed("post work", err)
	}
	return nil
}

// PostRecv posts receives.
func (c *Conn) PostRecv(work ...rdma.RecvWR) error {
	if err := c.qp.postRecv(work); err != nil {
		return c.dev.failed("post receives", err)
	}
	return nil
}

// Poll waits for completions.
func (c *Conn) Poll(ctx context.Context, done []rdma.Completion) (int, error) {
	return c.qp.cq.poll(ctx, done)
}

// Disconnect flushes all work, tells the peer and waits for its consent, or until it is given up.
func (c *Conn) Disconnect(ctx context.Context) error {
	c.qp.disconnect(errConnClosed)
	m := &c.dev.cm
	m.mu.Lock()
	m.release(c.dialog)
	m.mu.Unlock()
	select {
	case <-c.dialog.parted:
		return nil
	case <-ctx.Done():
		return c.dev.failed("disconnect from "+c.remote.String(), ctx.Err())
	}
}

// Close ends the connection. The connection manager goes on without it until the peer has answered and TIMEWAIT is over.
func (c *Conn) Close() error {
	m := &c.dev.cm
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.dialog.conn == nil {
		return nil
	}
	c.dialog.conn = nil
	c.dev.removeQP(c.qp)
	m.release(c.dialog)
	return nil
}
