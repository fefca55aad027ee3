// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// information deals with the first message of a path, which must be the INFO request. The checks and what follows are
// in the order of the protocol; an error closes the path without an answer.
func (p *ServerPath) information(c *serverChannel, done *rdma.Completion) error {
	rules := &p.server.cfg.Rules
	name, err := p.infoRequest(c, done)
	if err != nil {
		return err
	}
	if err := p.allConnected(); err != nil && !rules.EarlyInfo {
		return err
	}
	if err := p.postReceives(); err != nil {
		return err
	}
	if err := p.session.takeName(name); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.begin(); err != nil {
		return err
	}
	p.log.Info("path connected", "session", name, "incarnation", p.incarnation, "connections", len(p.channels))
	return p.answerInfo(c)
}

// infoRequest reads the session's name from the INFO request (Clauses IBTRS-INFO-009 to IBTRS-INFO-014 and -022).
func (p *ServerPath) infoRequest(c *serverChannel, done *rdma.Completion) (string, error) {
	rules := &p.server.cfg.Rules
	if done.Op != rdma.OpSend && !rules.AnyInfoType {
		return "", breachf("IBTRS-INFO-022", "%s instead of the INFO request", done.Op)
	}
	message := c.info.Bytes()[:min(done.Length, InfoRequestSize)]
	r, err := ParseInfoRequest(message)
	switch {
	case err == nil:
	case len(message) < InfoRequestSize && rules.ShortInfo:
	case len(message) < InfoRequestSize:
		return "", breach("IBTRS-INFO-010", err)
	case r.Type != TypeInfoRequest:
		if !rules.AnyInfoType {
			return "", breach("IBTRS-INFO-009", err)
		}
	case !r.SessionName.Terminated() || len(r.SessionName.Bytes()) == 0:
		return "", breach("IBTRS-INFO-014", err)
	case !rules.AnyName:
		return "", breach("IBTRS-INFO-011", err)
	}
	return r.SessionName.String(), nil
}

// allConnected checks that every connection of the path exists (Clause IBTRS-INFO-015).
func (p *ServerPath) allConnected() error {
	p.awaitAccepts()
	p.mu.Lock()
	defer p.mu.Unlock()
	for cid, c := range p.channels {
		if c == nil {
			return breachf("IBTRS-INFO-015", "INFO request before connection %d of %d exists", cid, len(p.channels))
		}
	}
	return nil
}

// postReceives lets requests in: as many as there are permits on each connection for I/O.
func (p *ServerPath) postReceives() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for cid, c := range p.channels {
		if c == nil {
			continue
		}
		count := int(p.server.cfg.Geometry.QueueDepth)
		if cid == 0 {
			count = serviceDepth
		}
		var err error
		if c.receives, err = newReceives(c.channel, p.device, count, 0); err != nil {
			return err
		}
		if err := c.receives.postAll(count); err != nil {
			return fmt.Errorf("post %d receives on connection %d: %w", count, cid, err)
		}
	}
	return nil
}

// prepare makes the chunks and what belongs to each.
func (p *ServerPath) prepare() error {
	cfg := &p.server.cfg
	depth := int(cfg.Geometry.QueueDepth)
	access := rdma.LocalWrite | rdma.RemoteWrite
	if cfg.KeyRefresh {
		access = rdma.LocalWrite | rdma.WindowBind
	}
	var err error
	if p.memory, err = p.device.Register(int(cfg.pathMemory()), access); err != nil {
		return fmt.Errorf("memory for %d chunks: %w", depth, err)
	}
	p.requests = make([]ServerRequest, depth)
	for k := range p.requests {
		p.requests[k].init(p, uint32(k))
	}
	if !cfg.KeyRefresh {
		return nil
	}
	if p.answers, err = p.device.Register(depth*KeyResponseSize, rdma.LocalWrite); err != nil {
		return fmt.Errorf("memory for %d key responses: %w", depth, err)
	}
	for range depth {
		w, err := p.device.NewSharedWindow()
		if err != nil {
			return fmt.Errorf("windows for %d chunks: %w", depth, err)
		}
		p.windows = append(p.windows, w)
	}
	return nil
}

// begin connects the path: it tells the upper layer and starts the heartbeat.
func (p *ServerPath) begin() error {
	t := &p.server.cfg.Timers
	p.heartbeat = &heartbeat{
		channel: p.channels[0].channel, base: time.Now(), interval: t.HeartbeatInterval, misses: t.HeartbeatMisses,
		ignore: p.server.cfg.Rules.IgnoreSilence, alter: p.editHeartbeat,
	}
	p.heartbeat.others = p.ioChannels()
	var err error
	if p.handler, err = p.session.pathUp(); err != nil {
		return err
	}
	if _, ok := p.move(StateConnected); !ok {
		return fmt.Errorf("the path is %s already", p.State())
	}
	p.server.mu.Lock()
	p.server.halfOpen--
	p.server.mu.Unlock()
	p.running.Go(func() {
		if err := p.heartbeat.run(p.stop); err != nil {
			p.fail(err)
		}
	})
	return nil
}

// ioChannels are all channels but the first, as far as they are there: rules can make INFO come early.
func (p *ServerPath) ioChannels() []*channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	var io []*channel
	for _, c := range p.channels[1:] {
		if c != nil {
			io = append(io, c.channel)
		}
	}
	return io
}

func (p *ServerPath) editHeartbeat(imm Immediate) (Immediate, bool) {
	rules := &p.server.cfg.Rules
	if rules.NoHeartbeat && imm == Heartbeat || rules.NoHeartbeatAck && imm == HeartbeatAck {
		return imm, false
	}
	if rules.EditHeartbeat != nil {
		return rules.EditHeartbeat(p, imm)
	}
	return imm, true
}

// answerInfo publishes the chunks. The keys are made by the same chain, in front of the response, so that they work
// when the client gets to know them (Clause IBTRS-INFO-008).
func (p *ServerPath) answerInfo(c *serverChannel) error {
	if p.server.cfg.Rules.EarlyHeartbeat {
		if err := p.heartbeat.send(Heartbeat); err != nil {
			return err
		}
	}
	chain, regions := p.publish()
	message, _ := NewInfoResponse(regions).AppendBinary(nil)
	if f := p.server.cfg.Rules.EditInfoResponse; f != nil {
		message = f(p, message)
	}
	room := c.info.Bytes()[InfoRequestSize:]
	length := copy(room, message)
	chain = append(chain, rdma.SendWR{
		ID: workInfo, Op: rdma.OpSend, Local: []rdma.SGE{{Region: c.info, Offset: InfoRequestSize, Length: length}}, Signaled: true,
	})
	return c.post(&work{chain: chain})
}

// publish describes the chunks, and gives the work that makes their keys.
func (p *ServerPath) publish() ([]rdma.SendWR, Descriptors) {
	cfg := &p.server.cfg
	depth, size := int(cfg.Geometry.QueueDepth), int(cfg.Geometry.ChunkSize())
	var regions Descriptors
	if !cfg.KeyRefresh {
		length := depth / cfg.Regions * size
		for i := range cfg.Regions {
			regions = regions.Append(Descriptor{p.memory.Addr() + uint64(i*length), p.memory.Key(), uint32(length)})
		}
		return nil, regions
	}
	chain := make([]rdma.SendWR, 0, depth+1)
	for k, w := range p.windows {
		regions = regions.Append(Descriptor{p.memory.Addr() + uint64(k*size), w.NextKey(), uint32(size)})
		chain = append(chain, p.bindChunk(uint32(k)))
	}
	return chain, regions
}

// bindChunk gives a chunk a new key.
func (p *ServerPath) bindChunk(k uint32) rdma.SendWR {
	size := int(p.server.cfg.Geometry.ChunkSize())
	return rdma.SendWR{
		ID: workMessage | uint64(k), Op: rdma.OpBind, Window: p.windows[k],
		Bind: rdma.Bind{Region: p.memory, Offset: int(k) * size, Length: size, Access: rdma.RemoteWrite},
	}
}
