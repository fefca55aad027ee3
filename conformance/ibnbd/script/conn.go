// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Conn is one connection of a path.
type Conn struct {
	Path  *Path
	CID   uint16
	Lost  bool  // it is over
	Cause error // why, when it is over

	Heartbeats, Acks int // heartbeats that came, and acknowledges of this side's

	conn rdma.Conn
	info rdma.Region // where the INFO request comes in, on connection 0
	next uint64      // id of the next work
	then map[uint64]func(rdma.Completion)
}

const (
	infoWork    = 1   // id of the receive of the INFO request
	infoReceive = 512 // bytes: more than an INFO request has, so that a longer one is seen
	pollBatch   = 32
)

// poll passes what comes to the event loop, until the connection is closed.
func (c *Conn) poll() {
	v := c.Path.server
	for {
		done := make([]rdma.Completion, pollBatch)
		n, err := c.conn.Poll(context.Background(), done)
		v.Post(func() {
			for _, d := range done[:n] {
				c.handle(d)
			}
			if err != nil {
				c.Lost, c.Cause = true, err
			}
		})
		if err != nil {
			return
		}
	}
}

// handle deals with one completion.
func (c *Conn) handle(d rdma.Completion) {
	if !d.Recv {
		if then := c.then[d.ID]; then != nil {
			delete(c.then, d.ID)
			then(d)
		}
		return
	}
	if d.Status != rdma.StatusSuccess {
		return // the connection is lost, and will say so
	}
	if err := c.conn.PostRecv(rdma.RecvWR{}); err != nil && c.conn.Err() == nil {
		c.Path.server.fail(fmt.Errorf("receive on connection %d: %w", c.CID, err))
	}
	switch {
	case d.ID == infoWork:
		c.informed(d)
	case d.Op == rdma.OpWriteImm:
		c.immediate(ibtrs.Immediate(d.Imm))
	}
}

// informed takes the INFO request, or what came in its place.
func (c *Conn) informed(d rdma.Completion) {
	p := c.Path
	r, err := ibtrs.ParseInfoRequest(c.info.Bytes()[:min(d.Length, infoReceive)])
	if d.Op != rdma.OpSend || err != nil {
		p.Hangup()
		return
	}
	p.Informed, p.Name = true, r.SessionName.String()
	if f := p.server.Script.Inform; f != nil {
		f(p)
		return
	}
	p.Inform()
}

func (c *Conn) immediate(imm ibtrs.Immediate) {
	switch imm.Type() {
	case ibtrs.ImmRequest:
		c.request(imm)
	case ibtrs.ImmHeartbeat:
		c.Heartbeats++
		if f := c.Path.server.Script.Heartbeat; f != nil {
			f(c)
			return
		}
		c.Acknowledge()
	case ibtrs.ImmHeartbeatAck:
		c.Acks++
	}
}

// Acknowledge answers a heartbeat.
func (c *Conn) Acknowledge() { c.Immediate(ibtrs.HeartbeatAck) }

// Immediate sends an RDMA write without data and with any immediate.
func (c *Conn) Immediate(imm ibtrs.Immediate) {
	c.Post(rdma.SendWR{Op: rdma.OpWriteImm, Imm: uint32(imm)})
}

// Send sends any message.
func (c *Conn) Send(message []byte) {
	c.Post(rdma.SendWR{Op: rdma.OpSend, Local: c.Path.place(message)})
}

// SendImmediate sends any message with any immediate.
func (c *Conn) SendImmediate(imm ibtrs.Immediate, message []byte) {
	c.Post(rdma.SendWR{Op: rdma.OpSendImm, Imm: uint32(imm), Local: c.Path.place(message)})
}

// Write writes bytes to the client's memory. then, unless nil, is told how that ended.
func (c *Conn) Write(address uint64, key uint32, data []byte, then func(rdma.Completion)) {
	c.next++
	wr := rdma.SendWR{ID: c.next, Op: rdma.OpWrite, Local: c.Path.place(data), RemoteAddr: address, RemoteKey: key}
	if then != nil {
		c.then[c.next] = then
	}
	c.Post(wr)
}

// Post sends any work. On a connection that is over it does nothing.
func (c *Conn) Post(chain ...rdma.SendWR) {
	chain[len(chain)-1].Signaled = true
	if err := c.conn.PostSend(chain...); err != nil && c.conn.Err() == nil {
		c.Path.server.fail(fmt.Errorf("send on connection %d: %w", c.CID, err))
	}
}

// Hangup disconnects this connection alone, without waiting.
func (c *Conn) Hangup() {
	v := c.Path.server
	v.running.Go(func() { _ = c.conn.Disconnect(v.ctx) })
}
