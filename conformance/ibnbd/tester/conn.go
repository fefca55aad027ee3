// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

const (
	queueSize   = 128 // work requests of one connection, at least
	receives    = 64  // small receives of one connection, at least
	receiveSize = 64  // bytes of each: more than any message but the INFO response has
)

// Conn is one connection of a path.
type Conn struct {
	CID     uint16
	Accept  ibtrs.ConnResponse // what the target accepted it with
	tester  *Tester
	conn    rdma.Conn
	buffers rdma.Region
	places  []rdma.SGE // of the receives, by work request
	failure error      // of the first work request that the target refused
}

// Message is something that the target has sent.
type Message struct {
	Op   rdma.Op         // OpSend, OpSendImm, OpSendInv or OpWriteImm
	Imm  ibtrs.Immediate // of OpSendImm and OpWriteImm
	Key  uint32          // of OpSendInv: the key that the target took back
	Body []byte
}

// String describes the message for evidence.
func (m Message) String() string {
	if m.Op == rdma.OpSendImm || m.Op == rdma.OpWriteImm {
		return fmt.Sprintf("%s (%s) of %d bytes", m.Op, m.Imm, len(m.Body))
	}
	return fmt.Sprintf("%s of %d bytes", m.Op, len(m.Body))
}

// post makes the receives. The first one of connection 0 is as long as the INFO response of any target with that depth.
func (c *Conn) post(dev rdma.Device, depth, more int) error {
	receives := receives + more
	first := receiveSize
	if c.CID == 0 {
		first = max(first, ibtrs.InfoResponseSize+depth*ibtrs.DescriptorSize)
	}
	var err error
	if c.buffers, err = dev.Register(first+(receives-1)*receiveSize, rdma.LocalWrite); err != nil {
		return fmt.Errorf("receives of connection %d: %w", c.CID, err)
	}
	at := 0
	for i := range receives {
		length := receiveSize
		if i == 0 {
			length = first
		}
		c.places = append(c.places, rdma.SGE{Region: c.buffers, Offset: at, Length: length})
		at += length
		if err := c.repost(uint64(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) repost(id uint64) error {
	return c.conn.PostRecv(rdma.RecvWR{ID: id, Local: c.places[id : id+1]})
}

// Receive waits for the next message. It fails with an error wrapping ErrClosed when the connection is over, and with
// ErrSilent when the target's patience is.
func (c *Conn) Receive(ctx context.Context) (Message, error) {
	ctx, cancel := c.tester.patient(ctx)
	defer cancel()
	var done [1]rdma.Completion
	for {
		if _, err := c.conn.Poll(ctx, done[:]); err != nil {
			return Message{}, c.over(ctx, err)
		}
		if m, ok, err := c.take(&done[0]); ok || err != nil {
			return m, err
		}
	}
}

// over explains why there is nothing more to poll.
func (c *Conn) over(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("connection %d: %w", c.CID, context.Cause(ctx))
	}
	return fmt.Errorf("connection %d: %w: %w", c.CID, ErrClosed, errors.Join(c.failure, err))
}

// take makes a message of a completion, if it is one.
func (c *Conn) take(done *rdma.Completion) (m Message, ok bool, err error) {
	if err := done.Err(); err != nil {
		if done.Status != rdma.StatusFlushed && c.failure == nil {
			c.failure = err
		}
		return m, false, nil // the connection is lost, and will say so
	}
	if !done.Recv {
		return m, false, nil
	}
	place := c.places[done.ID]
	m = Message{Op: done.Op, Imm: ibtrs.Immediate(done.Imm), Key: done.InvKey}
	if done.Op != rdma.OpWriteImm {
		at := place.Offset
		m.Body = append([]byte(nil), c.buffers.Bytes()[at:at+done.Length]...)
	}
	if err := c.repost(done.ID); err != nil && c.conn.Err() == nil {
		return m, true, fmt.Errorf("connection %d: receive: %w", c.CID, err)
	}
	return m, true, nil
}

// AwaitClosed waits until the target has closed the connection. What it sends before that is thrown away.
func (c *Conn) AwaitClosed(ctx context.Context) error {
	for {
		_, err := c.Receive(ctx)
		switch {
		case errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			return err
		}
	}
}

// acknowledge answers heartbeats until ctx ends or the connection is lost.
func (c *Conn) acknowledge(ctx context.Context) {
	for ctx.Err() == nil {
		m, err := c.Receive(ctx)
		if err == nil && m.Op == rdma.OpWriteImm && m.Imm == ibtrs.Heartbeat {
			err = c.SendImmediate(ibtrs.HeartbeatAck)
		}
		if err != nil && !errors.Is(err, ErrSilent) {
			return
		}
	}
}

// SendImmediate sends an RDMA write without data and with any immediate.
func (c *Conn) SendImmediate(imm ibtrs.Immediate) error {
	return c.conn.PostSend(rdma.SendWR{Op: rdma.OpWriteImm, Imm: uint32(imm), Signaled: true})
}

// Lost says whether the connection is over.
func (c *Conn) Lost() bool {
	select {
	case <-c.conn.Lost():
		return true
	default:
		return false
	}
}

// Disconnect ends the connection and waits until the target has confirmed it, at most for its patience.
func (c *Conn) Disconnect(ctx context.Context) error {
	ctx, cancel := c.tester.patient(ctx)
	defer cancel()
	return c.conn.Disconnect(ctx)
}

func (c *Conn) release() error {
	err := c.conn.Close()
	if c.buffers != nil {
		err = errors.Join(err, c.buffers.Close())
	}
	return err
}
