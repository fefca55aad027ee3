// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Path is one path, as far as it has been built.
type Path struct {
	Session  *Session
	Request  ibtrs.ConnRequest // sent for each connection, with its cid
	Conns    map[uint16]*Conn  // those that are established, by cid
	Geometry ibtrs.Geometry    // of the first accept
	Flags    uint32            // of the first accept
	Chunks   []ibtrs.Chunk     // with their present keys, once INFO was exchanged

	rail    Rail
	slot    slot          // of requests that are sent one at a time; its region is nil before the first accept
	regions []rdma.Region // of the slots
	windows []rdma.Window
	extra   []*Conn // connections that no request of this path asked for
}

// RejectError is the answer to a connection request that the target refused.
type RejectError struct {
	Errno ibtrs.Errno // 0 when the reject has none
	Err   error
}

// Error names the number.
func (e *RejectError) Error() string {
	if e.Errno == 0 {
		return fmt.Sprintf("rejected without an error number: %v", e.Err)
	}
	return fmt.Sprintf("rejected with %s: %v", e.Errno, e.Err)
}

// Unwrap gives what the RDMA device said.
func (e *RejectError) Unwrap() error { return e.Err }

// Dial asks for a connection of the path. The error of a refusal is a *RejectError.
func (p *Path) Dial(ctx context.Context, cid uint16) (*Conn, error) {
	r := p.Request
	r.CID = cid
	data, _ := r.AppendBinary(nil)
	c, err := p.DialRaw(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("connection %d of %d: %w", cid, r.ConnectionCount, err)
	}
	if p.Conns[cid] != nil {
		p.extra = append(p.extra, c)
		return c, nil
	}
	if p.Conns == nil {
		p.Conns = make(map[uint16]*Conn)
	}
	p.Conns[cid], c.CID = c, cid
	if p.Session.Deaf && cid > 0 {
		return c, nil
	}
	return c, c.post(p.rail.Device, int(p.Geometry.QueueDepth), p.Session.Outstanding)
}

// DialRaw asks for a connection with any private data, which the path does not count among its own unless Dial does. The
// geometry of the first accept becomes that of the path.
func (p *Path) DialRaw(ctx context.Context, data []byte) (*Conn, error) {
	size := queueSize + p.Session.Outstanding
	cfg := rdma.ConnConfig{SendQueue: size, RecvQueue: size, RetryCount: 7, RNRRetryCount: 7}
	ctx, cancel := p.Session.tester.patient(ctx)
	defer cancel()
	conn, err := p.rail.Device.Dial(ctx, p.rail.Addr, cfg, data)
	if err != nil {
		return nil, refusal(ended(ctx, err))
	}
	c := &Conn{tester: p.Session.tester, conn: conn}
	if c.Accept, err = ibtrs.ParseConnResponse(conn.PeerData()); err == nil && p.slot.region == nil {
		err = p.learn(c.Accept)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("accept: %w", err), c.release())
	}
	return c, nil
}

// Keep has a connection that DialRaw gave closed with the path.
func (p *Path) Keep(c *Conn) { p.extra = append(p.extra, c) }

// refusal explains why a connection was refused.
func refusal(err error) error {
	var reject *rdma.RejectError
	if !errors.As(err, &reject) {
		return err
	}
	e := &RejectError{Err: err}
	if r, bad := ibtrs.ParseConnResponse(reject.PrivateData); bad == nil && reject.Reason == rdma.ReasonConsumer && r.Errno < 0 {
		e.Errno = r.Rejection()
	}
	return e
}

// learn takes the parameters of the first accept, and makes memory for them.
func (p *Path) learn(accept ibtrs.ConnResponse) error {
	g, err := accept.Geometry()
	if err != nil {
		return err
	}
	p.Geometry, p.Flags = g, accept.Flags
	const more = 4096 // than a chunk has
	slots, err := p.newSlots(1, int(p.Geometry.ChunkSize())+more)
	if err == nil {
		p.slot = slots[0]
	}
	return err
}

// KeyRefresh says whether each response brings a new key for its chunk.
func (p *Path) KeyRefresh() bool { return p.Flags&ibtrs.KeyRefresh != 0 }

// DialAll dials all connections in order.
func (p *Path) DialAll(ctx context.Context) error {
	for cid := range p.Request.ConnectionCount {
		if _, err := p.Dial(ctx, cid); err != nil {
			return err
		}
	}
	return nil
}

// Connect builds the whole path, as the protocol says.
func (p *Path) Connect(ctx context.Context) error {
	if err := p.DialAll(ctx); err != nil {
		return err
	}
	return p.Info(ctx)
}

// SendInfo sends any message on connection 0, as the INFO request is sent.
func (p *Path) SendInfo(message []byte) error { return p.Send(0, message) }

// Send sends any message on a connection by SEND.
func (p *Path) Send(cid uint16, message []byte) error {
	local := []rdma.SGE{p.slot.fill(message)}
	return p.Conns[cid].conn.PostSend(rdma.SendWR{Op: rdma.OpSend, Local: local, Signaled: true})
}

// InfoRequest is the conforming INFO request of the path, 272 bytes.
func (p *Path) InfoRequest() []byte {
	var r ibtrs.InfoRequest
	copy(r.SessionName[:], p.Session.Name)
	message, _ := r.AppendBinary(nil)
	return message
}

// Info exchanges INFO as the protocol says.
func (p *Path) Info(ctx context.Context) error {
	if err := p.SendInfo(p.InfoRequest()); err != nil {
		return fmt.Errorf("INFO request: %w", err)
	}
	_, err := p.AwaitInfo(ctx)
	return err
}

// AwaitInfo waits for the INFO response and learns the chunks from it.
func (p *Path) AwaitInfo(ctx context.Context) (ibtrs.InfoResponse, error) {
	m, err := p.Conns[0].Receive(ctx)
	if err != nil {
		return ibtrs.InfoResponse{}, fmt.Errorf("INFO response: %w", err)
	}
	if m.Op != rdma.OpSend {
		return ibtrs.InfoResponse{}, Broken("IBTRS-INFO-020", "%s before the INFO response", m)
	}
	r, err := ibtrs.ParseInfoResponse(m.Body)
	if err == nil {
		p.Chunks, err = r.AppendChunks(nil, p.Geometry)
	}
	if err != nil {
		return r, fmt.Errorf("INFO response: %w", err)
	}
	return r, nil
}

// AwaitClosed waits until the target has closed every connection of the path.
func (p *Path) AwaitClosed(ctx context.Context) error {
	for _, c := range p.Conns {
		if err := c.AwaitClosed(ctx); err != nil {
			return fmt.Errorf("the path is still open: %w", err)
		}
	}
	return nil
}

// StayAlive answers the heartbeats of a path that is idle, until the function that it gives is called. Meanwhile connection 0 must not
// be used. A path that is lost stays for its next user to find.
func (p *Path) StayAlive(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.Conns[0].acknowledge(ctx)
	}()
	return func() {
		cancel()
		<-over
	}
}

// Disconnect ends all connections of the path and waits until the target has confirmed it, at most for its patience.
func (p *Path) Disconnect(ctx context.Context) error {
	var errs []error
	for _, c := range p.all() {
		errs = append(errs, c.Disconnect(ctx))
	}
	return errors.Join(errs...)
}

func (p *Path) all() []*Conn {
	all := append([]*Conn(nil), p.extra...)
	for _, c := range p.Conns {
		all = append(all, c)
	}
	return all
}

// disconnect is the end of a path of which nobody wants to know how it ends.
func (p *Path) disconnect(ctx context.Context) {
	for _, c := range p.all() {
		c.conn.Disconnect(ctx)
	}
}

func (p *Path) release() error {
	var errs []error
	for _, c := range p.all() {
		errs = append(errs, c.release())
	}
	for _, w := range p.windows {
		errs = append(errs, w.Close())
	}
	for _, r := range p.regions {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}
