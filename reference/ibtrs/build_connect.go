// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// connect establishes all connections, one after the other from cid 0 on (Clause IBTRS-CONN-008), and exchanges INFO.
// After an error, end must be called.
func (b *build) connect(ctx context.Context) error {
	count := b.session.cfg.Connections
	for i := range count {
		cid := i
		if b.session.cfg.Rules.ReverseOrder {
			cid = count - 1 - i
		}
		if err := b.addConnection(ctx, cid); err != nil {
			return fmt.Errorf("connection %d of %d: %w", cid, count, err)
		}
	}
	if err := b.prepare(); err != nil {
		return err
	}
	if err := b.exchangeInfo(ctx); err != nil {
		return fmt.Errorf("INFO exchange: %w", err)
	}
	return b.postReceives()
}

// addConnection dials one connection and checks the accept.
func (b *build) addConnection(ctx context.Context, cid int) error {
	ctx, cancel := context.WithTimeout(ctx, b.session.cfg.Timers.Connect)
	defer cancel()
	p := b.path
	conn, err := p.cfg.Device.Dial(ctx, p.cfg.Server, b.connConfig(cid), b.connRequest(cid))
	if err != nil {
		return b.dialError(err)
	}
	b.channels = append(b.channels, &clientChannel{channel: newChannel(cid, conn, int(b.depthSoFar()))})
	if err := b.checkAccept(cid, conn.PeerData()); err != nil {
		return err
	}
	p.first = true
	return nil
}

// connRequest is the private data of the request for one connection.
func (b *build) connRequest(cid int) []byte {
	p, cfg := b.path, &b.session.cfg
	r := ConnRequest{
		Magic: Magic, Version: Version,
		CID: uint16(cid), ConnectionCount: uint16(cfg.Connections), Incarnation: p.incarnation,
		PathUUID: p.uuid, GroupUUID: b.session.group,
	}
	if cfg.Rules.NewPathUUID && cid == 0 {
		p.uuid, _ = cfg.newUUID()
		r.PathUUID = p.uuid
	}
	if p.mayCreate(cid) && !cfg.Rules.NeverFirst {
		r.FirstConnection = FirstConnection
	}
	if f := cfg.Rules.EditConnRequest; f != nil {
		f(p, cid, &r)
	}
	data, _ := r.AppendBinary(nil)
	return data
}

// mayCreate reports whether the server may create the session for a connection of the path. Connection 0 of a path that returns
// beside a connected one may not: a server that has forgotten the session must refuse it, instead of making another session in
// which the ids of this one mean something else.
func (p *Path) mayCreate(cid int) bool {
	return p.first && (cid > 0 || !p.session.Connected())
}

// depthSoFar is the depth that sizes a connection's queues: that of the accept, once there is one.
func (b *build) depthSoFar() uint16 {
	if b.geometry.QueueDepth == 0 {
		return DefaultQueueDepth
	}
	return b.geometry.QueueDepth
}

// connConfig sizes a connection. READ is never used (Clauses IBTRS-CONN-041 to IBTRS-CONN-044).
func (b *build) connConfig(cid int) rdma.ConnConfig {
	limits := b.path.cfg.Device.Limits()
	depth := int(b.depthSoFar())
	cfg := rdma.ConnConfig{
		SendQueue: capped(2*serviceDepth+2, limits.MaxSendWR), RecvQueue: capped(2*serviceDepth+2, limits.MaxRecvWR),
		RetryCount: 7, RNRRetryCount: 7, AckTimeout: b.session.cfg.AckTimeout,
	}
	if cid > 0 {
		cfg.SendQueue, cfg.RecvQueue = capped(4*depth+1, limits.MaxSendWR), capped(3*depth+1, limits.MaxRecvWR)
	}
	return cfg
}

// capped is want, but at most a device's limit, if it states one.
func capped(want, limit int) int {
	if limit > 0 {
		return min(want, limit)
	}
	return want
}

// dialError translates the end of an attempt into what the caller gets to see (Clauses IBTRS-CONN-045 to
// IBTRS-CONN-048).
func (b *build) dialError(err error) error {
	var reject *rdma.RejectError
	switch {
	case errors.As(err, &reject):
		return fmt.Errorf("%w: %w", b.rejection(reject), err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, rdma.ErrUnreachable):
		return fmt.Errorf("%w: %w", ETIMEDOUT, err)
	case errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("%w: %w", ECONNRESET, err)
}

// rejection is the error number of a reject. Only rejects of the peer's application carry one.
func (b *build) rejection(reject *rdma.RejectError) Errno {
	if reject.Reason != rdma.ReasonConsumer || b.session.cfg.Rules.IgnoreRejectErrno {
		return ECONNRESET
	}
	r, err := ParseConnResponse(reject.PrivateData)
	if err != nil {
		return ECONNRESET
	}
	return r.Rejection()
}

// checkAccept judges an accept (Clause IBTRS-CONN-037). The parameters are taken from that of cid 0; if cid 0 does not
// come first, against the protocol, from the one that does.
func (b *build) checkAccept(cid int, data []byte) error {
	rules := &b.session.cfg.Rules
	r, err := ParseConnResponse(data)
	if err != nil && !rules.IgnoreAccept {
		return breach("IBTRS-CONN-037", err)
	}
	if r.Errno != 0 && !rules.IgnoreAccept {
		return breachf("IBTRS-CONN-037", "errno %d in an accept", r.Errno)
	}
	if b.geometry.QueueDepth != 0 && cid != 0 {
		return nil
	}
	if r.QueueDepth == 0 {
		return breachf("IBTRS-CONN-038", "queue depth 0")
	}
	g, err := r.Geometry()
	if err != nil && !rules.IgnoreGeometry {
		return breach("IBTRS-CONN-051", err)
	}
	b.geometry, b.refresh = g, r.Flags&KeyRefresh != 0
	return b.adoptDepth(g)
}

func (b *build) adoptDepth(g Geometry) error {
	p := b.path
	if p.depth != 0 && p.depth != g.QueueDepth && !b.session.cfg.Rules.IgnoreDepthChange {
		return breach("IBTRS-CONN-039", &depthError{had: p.depth, has: g.QueueDepth})
	}
	if err := b.session.adopt(g); err != nil && !b.session.cfg.Rules.IgnoreDepthChange {
		return breach("IBTRS-CONN-039", err)
	}
	p.depth = g.QueueDepth
	return nil
}

// prepare makes the local memory and its windows.
func (b *build) prepare() error {
	dev, depth := b.path.cfg.Device, int(b.geometry.QueueDepth)
	var err error
	if b.memory, err = dev.Register(depth*int(b.geometry.ChunkSize()), rdma.LocalWrite|rdma.RemoteWrite|rdma.WindowBind); err != nil {
		return fmt.Errorf("memory for %d requests: %w: %w", depth, ENOMEM, err)
	}
	b.windows = make([]rdma.Window, 0, depth)
	for range depth {
		w, err := dev.NewWindow()
		if err != nil {
			return fmt.Errorf("windows for %d reads: %w: %w", depth, ENOMEM, err)
		}
		b.windows = append(b.windows, w)
	}
	b.orderChannels()
	b.heartbeat = &heartbeat{
		channel: b.channels[0].channel, base: time.Now(),
		interval: b.session.cfg.Timers.HeartbeatInterval, misses: b.session.cfg.Timers.HeartbeatMisses,
		ignore: b.session.cfg.Rules.IgnoreSilence, alter: b.editHeartbeat,
	}
	for _, c := range b.channels[1:] {
		b.heartbeat.others = append(b.heartbeat.others, c.channel)
	}
	return nil
}

// orderChannels sorts by cid, which matters only if they were connected in another order.
func (b *build) orderChannels() {
	for i, j := 0, len(b.channels)-1; b.channels[0].cid != 0 && i < j; i, j = i+1, j-1 {
		b.channels[i], b.channels[j] = b.channels[j], b.channels[i]
	}
}

func (b *build) editHeartbeat(imm Immediate) (Immediate, bool) {
	rules := &b.session.cfg.Rules
	if rules.NoHeartbeat && imm == Heartbeat || rules.NoHeartbeatAck && imm == HeartbeatAck {
		return imm, false
	}
	if rules.EditHeartbeat != nil {
		return rules.EditHeartbeat(b.path, imm)
	}
	return imm, true
}

// exchangeInfo tells the session's name and learns where the chunks are. Nothing else is in flight on the path.
func (b *build) exchangeInfo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.session.cfg.Timers.Info)
	defer cancel()
	request, err := NewInfoRequest(b.session.cfg.Name)
	if err != nil {
		return err
	}
	message, _ := request.AppendBinary(nil)
	if f := b.session.cfg.Rules.EditInfoRequest; f != nil {
		f(b.path, message)
	}
	size := InfoResponseSize + DescriptorSize*int(b.geometry.QueueDepth)
	buffer, err := b.path.cfg.Device.Register(max(size, len(message))+len(message), rdma.LocalWrite)
	if err != nil {
		return fmt.Errorf("memory for the INFO exchange: %w: %w", ENOMEM, err)
	}
	answer, err := b.askInfo(ctx, buffer, message, size)
	if err == nil {
		err = b.takeInfo(answer)
	}
	if err == nil {
		return buffer.Close()
	}
	b.channels[0].receives = &receives{buffer: buffer} // the queue pair may still write to it; it goes with the connection
	return err
}

// askInfo sends the message and waits for the answer in the first size bytes of buffer.
func (b *build) askInfo(ctx context.Context, buffer rdma.Region, message []byte, size int) ([]byte, error) {
	c := b.channels[0]
	at := buffer.Bytes()[size:]
	copy(at, message)
	err := c.conn.PostRecv(rdma.RecvWR{ID: workInfo, Local: []rdma.SGE{{Region: buffer, Length: size}}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ECONNRESET, err)
	}
	send := rdma.SendWR{ID: workInfo, Op: rdma.OpSend, Local: []rdma.SGE{{Region: buffer, Offset: size, Length: len(message)}}, Signaled: true}
	work := []rdma.SendWR{send}
	if b.session.cfg.Rules.DoubleInfo {
		work = append(work, send)
	}
	if err := c.conn.PostSend(work...); err != nil {
		return nil, fmt.Errorf("%w: %w", ECONNRESET, err)
	}
	length, err := b.awaitInfo(ctx, c, len(work))
	if err != nil {
		return nil, err
	}
	return buffer.Bytes()[:length], nil
}

// awaitInfo polls until the answer is there and what was sent is complete.
func (b *build) awaitInfo(ctx context.Context, c *clientChannel, sends int) (length int, err error) {
	received := false
	for sends > 0 || !received {
		var done [1]rdma.Completion
		n, err := c.conn.Poll(ctx, done[:])
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return 0, fmt.Errorf("no answer within %s: %w", b.session.cfg.Timers.Info, ETIMEDOUT)
		case errors.Is(err, context.Canceled):
			return 0, err
		case err != nil:
			return 0, fmt.Errorf("%w: %w", ECONNRESET, err)
		case n == 0:
			continue
		}
		if err := done[0].Err(); err != nil {
			return 0, fmt.Errorf("%w: %w", ECONNRESET, err)
		}
		switch {
		case !done[0].Recv:
			sends--
		case done[0].Op != rdma.OpSend:
			return 0, breachf("IBTRS-INFO-020", "%s in front of the INFO response", done[0].Op)
		default:
			received, length = true, done[0].Length
		}
	}
	return length, nil
}

// takeInfo learns the chunks from the answer (Clauses IBTRS-INFO-016 to IBTRS-INFO-018).
func (b *build) takeInfo(answer []byte) error {
	r, err := ParseInfoResponse(answer)
	if err != nil {
		return breach("IBTRS-INFO-004", err)
	}
	b.chunks, err = r.AppendChunks(make([]Chunk, 0, b.geometry.QueueDepth), b.geometry)
	if rules := &b.session.cfg.Rules; err != nil && (rules.IgnoreInfoResponse || rules.IgnoreGeometry) {
		b.chunks = b.anyChunks(r)
		if len(b.chunks) == int(b.geometry.QueueDepth) {
			return nil
		}
	}
	return breach("IBTRS-INFO-017", err)
}

// anyChunks is what a client without checks takes for chunks: all that lie wholly in a region, as many as it needs.
func (b *build) anyChunks(r InfoResponse) (chunks []Chunk) {
	size := uint64(b.geometry.ChunkSize())
	for _, region := range r.Regions.All() {
		for at := uint64(0); at+size <= uint64(region.Length) && len(chunks) < int(b.geometry.QueueDepth); at += size {
			chunks = append(chunks, Chunk{region.Address + at, region.RKey})
		}
	}
	return chunks
}

// postReceives posts all receives that responses and heartbeats will use up.
func (b *build) postReceives() error {
	size := 0
	if b.refresh {
		size = KeyResponseSize
	}
	for _, c := range b.channels {
		count := 2 * int(b.geometry.QueueDepth)
		if c.cid == 0 {
			count = 2 * serviceDepth
		}
		count = capped(count, b.path.cfg.Device.Limits().MaxRecvWR)
		var err error
		if c.receives, err = newReceives(c.channel, b.path.cfg.Device, count, size); err != nil {
			return fmt.Errorf("memory for receives: %w: %w", ENOMEM, err)
		}
		c.owed = make([]uint32, 0, count)
		if err := c.receives.postAll(count); err != nil {
			return fmt.Errorf("%w: %w", ECONNRESET, err)
		}
	}
	return nil
}
