// SPDX-License-Identifier: Apache-2.0

package ibtrs

import "github.com/ibnbd/ibnbd/reference/rdma"

// handleAll deals with completions. An error closes the path.
func (p *ServerPath) handleAll(c *serverChannel, done []rdma.Completion) error {
	err := p.giveBack(c, done) // first of all, so that the client never waits for a receive
	for i := range done {
		if err == nil {
			err = p.handle(c, &done[i])
		}
	}
	return p.renewKeys(c, err)
}

// takes tells whether the path still takes what the client sends.
func (p *ServerPath) takes() bool { return p.serving.Load() || p.servesClosing() }

// servesClosing reports whether the path, which was connected, serves while it is closed, against the rules.
func (p *ServerPath) servesClosing() bool { return p.server.cfg.Rules.ServeClosing && p.handler != nil }

// giveBack posts the receives that were used up.
func (p *ServerPath) giveBack(c *serverChannel, done []rdma.Completion) error {
	c.used = c.used[:0]
	for i := range done {
		kind, number := workKind(done[i].ID)
		if done[i].Recv && done[i].Status == rdma.StatusSuccess && kind == workMessage {
			c.used = append(c.used, number)
		}
	}
	if len(c.used) == 0 || !p.takes() {
		return nil
	}
	return c.receives.post(c.used...)
}

// handle deals with one completion.
func (p *ServerPath) handle(c *serverChannel, done *rdma.Completion) error {
	if done.Status != rdma.StatusSuccess {
		return failed(done)
	}
	kind, number := workKind(done.ID)
	switch {
	case !done.Recv && kind == workKey:
		return p.begun(&p.requests[number])
	case !done.Recv && kind == workFlush:
		c.flushed <- struct{}{}
		return nil
	case !done.Recv:
		return nil
	case kind == workInfo:
		return p.information(c, done)
	}
	if !p.takes() {
		return nil // too early, or too late
	}
	p.heartbeat.alive()
	if c.lost() {
		return nil // the client has given the path up and may have sent the request again elsewhere
	}
	if done.Op != rdma.OpWriteImm {
		return nil
	}
	return p.immediate(c, Immediate(done.Imm))
}

func (p *ServerPath) immediate(c *serverChannel, imm Immediate) error {
	switch imm.Type() {
	case ImmRequest:
		return p.request(c, imm)
	case ImmHeartbeat:
		return p.heartbeat.acknowledge()
	}
	return nil // Clause IBTRS-IMM-008
}

// request finds the request that an immediate announces and begins with it.
func (p *ServerPath) request(c *serverChannel, imm Immediate) error {
	chunk, offset, err := p.server.cfg.Geometry.Request(imm)
	if err != nil {
		return p.refusePlace(c, chunk, offset, err)
	}
	r := &p.requests[chunk]
	if !r.state.CompareAndSwap(requestFree, requestBusy) {
		return breachf("IBTRS-IO-019", "chunk %d is used again before its request was answered", chunk)
	}
	r.channel, r.offset = c, offset
	p.inflight.add()
	if p.server.draining.Load() {
		r.drop()
		return nil
	}
	switch {
	case !p.server.cfg.KeyRefresh:
		return p.begun(r)
	case p.keepsKey(r.chunk):
		r.key = p.windows[r.chunk].Key()
		return p.begun(r)
	}
	p.renewKey(c, r)
	return nil
}

// keepsKey reports whether a chunk keeps its key, against the rules.
func (p *ServerPath) keepsKey(chunk uint32) bool {
	rules := &p.server.cfg.Rules
	if f := rules.KeepKeyOf; f != nil && p.requests[chunk].parse() == nil && f(p.requests[chunk].Header) {
		return true
	}
	return rules.KeepChunkKey || rules.LastKeyStays && int(chunk) == len(p.requests)-1
}

// renewKey has the request's chunk get a new key, and by that takes the old one back (Clause IBTRS-INV-005); the client hears of
// the new one in the response. A request that was copied begins when that is posted. Others begin when the chunk is closed to
// all who do not guess its new key; one who does has no more than static keys would give it.
func (p *ServerPath) renewKey(c *serverChannel, r *ServerRequest) {
	r.key = p.windows[r.chunk].NextKey()
	r.bind[0] = p.bindChunk(r.chunk)
	r.renewal.chain = r.bind[:]
	if !r.copySmall() {
		r.state.Store(requestWaiting)
		r.bind[0].ID, r.bind[0].Signaled = workKey|uint64(r.chunk), true
	}
	if p.server.cfg.Rules.StaleLongKey && r.parse() == nil && r.Direction == Write && len(r.Data) > longData {
		r.key = p.windows[r.chunk].Key() // the old one, as long as the bind is not posted
	}
	c.renewing = append(c.renewing, r)
	c.renewals = append(c.renewals, &r.renewal)
}

// longData is what a server without a rule about long data takes for long, in bytes.
const longData = 64 << 10

// renewKeys posts what gives the chunks of new requests their keys, and begins with those requests that need not wait for it;
// unless there is an error that closes the path.
func (p *ServerPath) renewKeys(c *serverChannel, err error) error {
	if len(c.renewing) == 0 {
		return err
	}
	if err == nil {
		err = c.postTogether(c.renewals)
	}
	for _, r := range c.renewing {
		switch {
		case r.state.Load() == requestWaiting: // for the completion, or for the end of the path
		case err != nil:
			r.drop()
		default:
			p.deliver(r)
		}
	}
	c.renewing, c.renewals = c.renewing[:0], c.renewals[:0]
	return err
}

// refusePlace closes the path for a chunk or an offset that does not exist (Clauses IBTRS-IMM-006, IBTRS-IMM-007), or
// does what the rules say instead.
func (p *ServerPath) refusePlace(c *serverChannel, chunk, offset uint32, err error) error {
	if p.server.cfg.Rules.AnyChunk {
		answer, _ := ResponseImmediate(chunk, EINVAL, false)
		return c.post(&work{chain: []rdma.SendWR{{Op: rdma.OpWriteImm, Imm: uint32(answer)}}})
	}
	if chunk >= uint32(p.server.cfg.Geometry.QueueDepth) {
		return breach("IBTRS-IMM-006", err)
	}
	return breach("IBTRS-IMM-007", err)
}

// begun goes on with a request when nobody can change its chunk any more: it is read and handed to the upper layer. With
// static keys that is a matter of trust, so everything that is checked is copied first.
func (p *ServerPath) begun(r *ServerRequest) error {
	r.state.Store(requestBusy)
	if !p.takes() {
		r.drop()
		return nil
	}
	if err := r.parse(); err != nil {
		if r.fatal(err) {
			r.drop()
			return breach(r.clauseOf(err), err)
		}
		p.refused.Note("chunk", r.chunk, "error", err)
		r.Respond(ErrnoOf(err))
		return nil
	}
	p.deliver(r)
	return nil
}

// deliver hands a request to the upper layer.
func (p *ServerPath) deliver(r *ServerRequest) {
	p.stats.count(r.Direction, len(r.Data)+len(r.Header))
	p.handler.Handle(r)
}

// dropWaiting gives up the requests whose new key will never be there, because the connections are gone.
func (p *ServerPath) dropWaiting() {
	for k := range p.requests {
		if r := &p.requests[k]; r.state.Load() == requestWaiting {
			r.drop()
		}
	}
}
