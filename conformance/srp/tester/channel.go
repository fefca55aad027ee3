// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/srp"
)

const (
	sendQueue   = 1024
	receives    = 320
	receiveSize = 512 // more than any unit of a target has
	outSize     = 512 << 10
	memorySize  = 2 << 20
	readDepth   = 4
	retries     = 7
)

// Channel is one login.
type Channel struct {
	Request srp.LoginReqCM
	Login   srp.LoginRsp
	Initial int32 // request limit that the login gave

	// Asked are the requests of the target that were answered, Logout what it has said at its end.
	Asked  [][]byte
	Logout *srp.TLogout
	// Invalidates says that the target has used SEND with invalidate.
	Invalidates bool

	tester    *Tester
	device    rdma.Device
	conn      rdma.Conn
	in        rdma.Region // receives
	out       rdma.Region // units to send, one behind the other
	at        int         // where the next unit goes
	memory    rdma.Region // what the target may reach; made when it is needed
	tags      uint64
	limit     int64     // request limit
	kept      []srp.Rsp // responses that nobody has asked for yet
	block     map[srp.LUN]Geometry
	failure   error // of the first work request that the target refused
	abandoned bool  // nothing passes any more
}

// prepare takes what the connection needs.
func (c *Channel) prepare() (recvs []rdma.RecvWR, err error) {
	if c.in, err = c.device.Register(receives*receiveSize, rdma.LocalWrite); err != nil {
		return nil, fmt.Errorf("receives: %w", err)
	}
	if c.out, err = c.device.Register(outSize, 0); err != nil {
		return nil, fmt.Errorf("units: %w", err)
	}
	for i := range receives {
		recvs = append(recvs, c.receive(i))
	}
	return recvs, nil
}

func (c *Channel) receive(i int) rdma.RecvWR {
	return rdma.RecvWR{ID: uint64(i), Local: []rdma.SGE{{Region: c.in, Offset: i * receiveSize, Length: receiveSize}}}
}

// Limit is how many requests may be sent now, by the rules.
func (c *Channel) Limit() int64 { return c.limit }

// Tag gives a tag that no request has had.
func (c *Channel) Tag() srp.Tag {
	c.tags++
	return srp.TagOf(c.tags)
}

// Post sends units as one chain, in order, and does not wait. Units that the owner's limit forbids are not sent.
func (c *Channel) Post(units ...[]byte) error {
	var work []rdma.SendWR
	for _, unit := range units {
		if err := c.tester.target.Limit.allows(c, unit); err != nil {
			if c.tester.forbidden == nil {
				c.tester.forbidden = err
			}
			return err
		}
		w, err := c.sending(unit)
		if err != nil {
			return err
		}
		work = append(work, w)
		if kind := unit[0]; kind == srp.TypeCmd || kind == srp.TypeTskMgmt {
			c.limit--
		}
	}
	if err := c.conn.PostSend(work...); err != nil {
		if c.Lost() {
			return fmt.Errorf("%w: %w", ErrClosed, c.conn.Err())
		}
		return fmt.Errorf("post %d units: %w", len(units), err)
	}
	return nil
}

// sending places a unit. Units of half the region may be on their way at a time.
func (c *Channel) sending(unit []byte) (rdma.SendWR, error) {
	if len(unit) == 0 || len(unit) > outSize/2 {
		return rdma.SendWR{}, fmt.Errorf("unit of %d bytes, must have 1 to %d", len(unit), outSize/2)
	}
	if c.at+len(unit) > outSize {
		c.at = 0
	}
	copy(c.out.Bytes()[c.at:], unit)
	w := rdma.SendWR{Op: rdma.OpSend, Local: []rdma.SGE{{Region: c.out, Offset: c.at, Length: len(unit)}}, Signaled: true}
	c.at += len(unit)
	return w, nil
}

// Unit waits for the next unit of the target, whatever it is.
func (c *Channel) Unit(ctx context.Context) ([]byte, error) {
	ctx, cancel := c.tester.patient(ctx)
	defer cancel()
	var done [1]rdma.Completion
	for {
		if _, err := c.conn.Poll(ctx, done[:]); err != nil {
			return nil, c.over(ctx, err)
		}
		if unit := c.take(&done[0]); unit != nil {
			return unit, nil
		}
	}
}

// over explains why there is nothing more to poll.
func (c *Channel) over(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrClosed, errors.Join(c.failure, err))
}

// take makes a unit of a completion, if it is one.
func (c *Channel) take(done *rdma.Completion) []byte {
	if err := done.Err(); err != nil {
		if done.Status != rdma.StatusFlushed && c.failure == nil {
			c.failure = err
		}
		return nil // the connection is lost, and will say so
	}
	if !done.Recv {
		return nil
	}
	c.Invalidates = c.Invalidates || done.Op == rdma.OpSendInv
	at := int(done.ID) * receiveSize
	unit := slices.Clone(c.in.Bytes()[at : at+done.Length])
	_ = c.conn.PostRecv(c.receive(int(done.ID))) // fails only if the connection is lost, which Poll tells
	return unit
}

// next takes one unit of the target and does what an ordinary initiator does with it: counts credits, answers requests.
func (c *Channel) next(ctx context.Context) error {
	unit, err := c.Unit(ctx)
	if err != nil {
		return err
	}
	kind, err := srp.IUType(unit)
	if err != nil {
		return err
	}
	switch kind {
	case srp.TypeRsp:
		m, err := srp.ParseRsp(unit)
		if err != nil && m.Type != srp.TypeRsp {
			return err
		}
		c.limit += int64(m.RequestLimitDelta)
		c.kept = append(c.kept, m)
	case srp.TypeCredReq, srp.TypeAERReq:
		return c.respond(unit)
	case srp.TypeTLogout:
		m, err := srp.ParseTLogout(unit)
		if err != nil {
			return err
		}
		c.Logout = &m
	}
	return nil
}

// respond answers a request of the target.
func (c *Channel) respond(unit []byte) error {
	c.Asked = append(c.Asked, unit)
	if unit[0] == srp.TypeCredReq {
		m, err := srp.ParseCredReq(unit)
		if err != nil {
			return err
		}
		c.limit += int64(m.RequestLimitDelta)
		b, _ := srp.CredRsp{Type: srp.TypeCredRsp, Tag: m.Tag}.AppendBinary(nil)
		return c.Post(b)
	}
	m, err := srp.ParseAERReq(unit)
	if err != nil {
		return err
	}
	c.limit += int64(m.RequestLimitDelta)
	b, _ := srp.AERRsp{Type: srp.TypeAERRsp, Tag: m.Tag}.AppendBinary(nil)
	return c.Post(b)
}

// Answer waits for the response with a tag. Others are kept.
func (c *Channel) Answer(ctx context.Context, tag srp.Tag) (srp.Rsp, error) {
	for {
		if i := slices.IndexFunc(c.kept, func(m srp.Rsp) bool { return m.Tag == tag }); i >= 0 {
			m := c.kept[i]
			c.kept = slices.Delete(c.kept, i, i+1)
			return m, nil
		}
		if err := c.next(ctx); err != nil {
			return srp.Rsp{}, err
		}
	}
}

// Any waits for the next response, whatever its tag.
func (c *Channel) Any(ctx context.Context) (srp.Rsp, error) {
	for len(c.kept) == 0 {
		if err := c.next(ctx); err != nil {
			return srp.Rsp{}, err
		}
	}
	m := c.kept[0]
	c.kept = c.kept[1:]
	return m, nil
}

// First is the first response that nobody has asked for, if there is one.
func (c *Channel) First() (srp.Rsp, bool) {
	if len(c.kept) == 0 {
		return srp.Rsp{}, false
	}
	return c.kept[0], true
}

// Kept tells whether a response with a tag has come that nobody has asked for.
func (c *Channel) Kept(tag srp.Tag) bool {
	return slices.ContainsFunc(c.kept, func(m srp.Rsp) bool { return m.Tag == tag })
}

// AwaitAsked waits until the target has made so many requests of its own.
func (c *Channel) AwaitAsked(ctx context.Context, n int) error {
	for len(c.Asked) < n {
		if err := c.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Do sends a request and waits for its response.
func (c *Channel) Do(ctx context.Context, unit []byte) (srp.Rsp, error) {
	if err := c.Post(unit); err != nil {
		return srp.Rsp{}, err
	}
	return c.Answer(ctx, srp.Tag(unit[8:16]))
}

// AwaitClosed waits until the target has closed the channel. Responses that come before that are kept.
func (c *Channel) AwaitClosed(ctx context.Context) error {
	for {
		err := c.next(ctx)
		switch {
		case errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			return err
		}
	}
}

// Settle waits a while for the target to close the channel, and for whatever else comes. That nothing comes is no error.
func (c *Channel) Settle(ctx context.Context) error {
	const share = 6 // of the patience
	ctx, cancel := context.WithTimeoutCause(ctx, c.tester.target.Patience/share, ErrSilent)
	defer cancel()
	if err := c.AwaitClosed(ctx); err != nil && !errors.Is(err, ErrSilent) {
		return err
	}
	return nil
}

// Lost says whether the channel is over.
func (c *Channel) Lost() bool {
	select {
	case <-c.conn.Lost():
		return true
	default:
		return false
	}
}

// Disconnect ends the channel and waits until the target has confirmed it, at most for its patience.
func (c *Channel) Disconnect(ctx context.Context) error {
	ctx, cancel := c.tester.patient(ctx)
	defer cancel()
	return ended(ctx, c.conn.Disconnect(ctx))
}

// Memory is what the target may read and write. It is made when it is first asked for.
func (c *Channel) Memory() ([]byte, error) {
	if c.memory == nil {
		var err error
		if c.memory, err = c.device.Register(memorySize, rdma.LocalWrite|rdma.RemoteRead|rdma.RemoteWrite); err != nil {
			return nil, fmt.Errorf("memory for data: %w", err)
		}
	}
	return c.memory.Bytes(), nil
}

// Piece describes a part of the memory, which must have been made.
func (c *Channel) Piece(offset, length int) srp.MemoryDescriptor {
	return srp.MemoryDescriptor{Address: c.memory.Addr() + uint64(offset), RKey: c.memory.Key(), Length: uint32(length)}
}

func (c *Channel) release() error {
	var errs []error
	if c.conn != nil {
		errs = append(errs, c.conn.Close())
	}
	for _, r := range []rdma.Region{c.in, c.out, c.memory} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}
