// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Channel is one connection of an initiator.
type Channel struct {
	Login  *Login
	Lost   bool      // it is over
	LostAt time.Time // since when
	Cause  error     // why
	Out    bool      // the initiator has logged out

	target         *Target
	conn           rdma.Conn
	receives, data rdma.Region
	outbox         rdma.Region // what is sent
	sent           int         // where the next unit goes in it
	memory         int         // where the data of the next command goes
	next           uint64      // id of the next work
	then           map[uint64]func(rdma.Completion)
	settled        uint64 // requests of Settle
	answered       map[srp.Tag]func()
}

// Sizes of what a channel has.
const (
	receiveCount = 192
	outboxUnits  = 512
	outboxUnit   = 1 << 10
	dataMemory   = 8 << 20 // for all commands that can be outstanding
	sendQueue    = 4096
	readDepth    = 4
	pollBatch    = 32
)

// admit accepts a connection. The receives are there before the initiator can send.
func (v *Target) admit(l *Login, data []byte) (*Channel, error) {
	c := &Channel{Login: l, target: v, then: make(map[uint64]func(rdma.Completion)), answered: make(map[srp.Tag]func())}
	for _, m := range []struct {
		region *rdma.Region
		size   int
	}{{&c.receives, receiveCount * maxUnit}, {&c.outbox, outboxUnits * outboxUnit}, {&c.data, dataMemory}} {
		var err error
		if *m.region, err = v.device.Register(m.size, rdma.LocalWrite); err != nil {
			return nil, errors.Join(err, c.free())
		}
	}
	var recvs []rdma.RecvWR
	for i := range receiveCount {
		recvs = append(recvs, c.receive(i))
	}
	cfg := rdma.ConnConfig{SendQueue: sendQueue, RecvQueue: receiveCount, RetryCount: 7, RNRRetryCount: 7, InitiatorDepth: readDepth}
	var err error
	if c.conn, err = l.request.Accept(v.ctx, cfg, data, recvs...); err != nil {
		return nil, errors.Join(err, c.free())
	}
	return c, nil
}

func (c *Channel) receive(i int) rdma.RecvWR {
	return rdma.RecvWR{ID: uint64(i), Local: []rdma.SGE{{Region: c.receives, Offset: i * maxUnit, Length: maxUnit}}}
}

// poll passes what comes to the event loop, until the connection is closed.
func (c *Channel) poll() {
	for {
		done := make([]rdma.Completion, pollBatch)
		n, err := c.conn.Poll(context.Background(), done)
		c.target.Post(func() {
			for _, d := range done[:n] {
				c.handle(d)
			}
			if err != nil && !c.Lost {
				c.Lost, c.LostAt, c.Cause = true, time.Now(), err
			}
		})
		if err != nil {
			return
		}
	}
}

// begin says when the channel is established.
func (c *Channel) begin() {
	select {
	case <-c.conn.Established():
	case <-c.conn.Lost():
		return
	}
	c.target.Post(func() {
		if f := c.target.Script.Begin; f != nil {
			f(c)
		}
	})
}

// handle deals with one completion.
func (c *Channel) handle(d rdma.Completion) {
	switch {
	case !d.Recv:
		if then := c.then[d.ID]; then != nil {
			delete(c.then, d.ID)
			then(d)
		}
	case d.Status == rdma.StatusSuccess:
		at := int(d.ID) * maxUnit
		unit := append([]byte(nil), c.receives.Bytes()[at:at+d.Length]...)
		if err := c.conn.PostRecv(c.receive(int(d.ID))); err != nil && c.conn.Err() == nil {
			c.target.fail(fmt.Errorf("receive: %w", err))
		}
		c.take(unit)
	}
}

// take deals with a unit of the initiator.
func (c *Channel) take(unit []byte) {
	kind, err := srp.IUType(unit)
	if err != nil {
		c.target.fail(fmt.Errorf("the initiator's unit: %w", err))
		return
	}
	switch kind {
	case srp.TypeCmd:
		c.command(unit)
	case srp.TypeTskMgmt:
		c.manage(unit)
	case srp.TypeILogout:
		c.Out = true
	default:
		c.answer(unit)
	}
}

// Send sends any unit.
func (c *Channel) Send(unit []byte) {
	at := c.sent % outboxUnits * outboxUnit
	c.sent++
	n := copy(c.outbox.Bytes()[at:at+outboxUnit], unit)
	var local []rdma.SGE
	if n > 0 {
		local = []rdma.SGE{{Region: c.outbox, Offset: at, Length: n}}
	}
	c.post(rdma.SendWR{Op: rdma.OpSend, Local: local}, nil)
}

// Respond sends a response.
func (c *Channel) Respond(m srp.Rsp) { c.Send(marshal(m)) }

// GiveCredits sends an SRP_CRED_REQ.
func (c *Channel) GiveCredits(delta int32, tag srp.Tag) {
	c.Send(marshal(srp.CredReq{Type: srp.TypeCredReq, RequestLimitDelta: delta, Tag: tag}))
}

// Settle asks for something that the initiator answers at once, and does what it is told when the answer has come: then the initiator has
// seen all that was sent before.
func (c *Channel) Settle(then func()) {
	c.settled++
	tag := srp.TagOf(settling<<32 | c.settled)
	c.answered[tag] = then
	c.GiveCredits(0, tag)
}

// settling is in the tags of Settle.
const settling = 0x5e771e

// answer takes what answers a request of the target.
func (c *Channel) answer(unit []byte) {
	c.target.Others = append(c.target.Others, unit)
	m, err := srp.ParseCredRsp(unit)
	if err != nil {
		return
	}
	if then := c.answered[m.Tag]; then != nil {
		delete(c.answered, m.Tag)
		then()
	}
}

// Event sends an SRP_AER_REQ for logical unit 0.
func (c *Channel) Event(tag srp.Tag, sense []byte) {
	c.Send(marshal(srp.AERReq{Type: srp.TypeAERReq, Tag: tag, SenseLength: uint32(len(sense)), Body: sense}))
}

// LogOut sends an SRP_T_LOGOUT.
func (c *Channel) LogOut(reason srp.LogoutReason) {
	c.Send(marshal(srp.TLogout{Type: srp.TypeTLogout, Reason: reason}))
}

// WriteNothing sends an RDMA WRITE without data, to address 0 with key 0.
func (c *Channel) WriteNothing() { c.post(rdma.SendWR{Op: rdma.OpWrite}, nil) }

// Write writes bytes to the initiator's memory; then is told how that ended.
func (c *Channel) Write(address uint64, key uint32, data []byte, then func(rdma.Completion)) {
	at := c.sent % outboxUnits * outboxUnit
	c.sent++
	n := copy(c.outbox.Bytes()[at:at+outboxUnit], data)
	local := []rdma.SGE{{Region: c.outbox, Offset: at, Length: n}}
	c.post(rdma.SendWR{Op: rdma.OpWrite, RemoteAddr: address, RemoteKey: key, Local: local}, then)
}

// post sends work; then, unless nil, is told how that ended. On a connection that is over it does nothing.
func (c *Channel) post(wr rdma.SendWR, then func(rdma.Completion)) {
	c.next++
	wr.ID, wr.Signaled = c.next, true
	if then != nil {
		c.then[c.next] = then
	}
	if err := c.conn.PostSend(wr); err != nil && c.conn.Err() == nil {
		c.target.fail(fmt.Errorf("send: %w", err))
	}
}

// Hangup disconnects this channel alone, without waiting.
func (c *Channel) Hangup() {
	v := c.target
	v.running.Go(func() { _ = c.conn.Disconnect(v.ctx) })
}

// free gives the memory back.
func (c *Channel) free() error {
	var errs []error
	for _, r := range []rdma.Region{c.receives, c.outbox, c.data} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}
