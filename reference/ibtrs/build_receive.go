// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// handleAll deals with completions. An error ends the path.
func (b *build) handleAll(c *clientChannel, done []rdma.Completion) error {
	for i := range done {
		if err := b.handle(c, &done[i]); err != nil {
			return err
		}
	}
	return nil
}

// handle deals with one completion.
func (b *build) handle(c *clientChannel, done *rdma.Completion) error {
	if done.Status != rdma.StatusSuccess {
		return failed(done)
	}
	kind, number := workKind(done.ID)
	if !done.Recv {
		if kind == workKey {
			b.invalidated(&b.session.slots[number])
		}
		return nil
	}
	b.heartbeat.alive()
	c.owed = append(c.owed, number)
	if err := b.received(c, done, number); err != nil {
		return err
	}
	if done.Op == rdma.OpSendInv && !b.refresh && len(c.owed) < cap(c.owed) {
		return nil // the response comes right behind, and gives both back
	}
	return b.giveBack(c)
}

// giveBack posts the receives that are used up.
func (b *build) giveBack(c *clientChannel) error {
	if b.session.cfg.Rules.RepostOne {
		c.owed = c.owed[:1]
	}
	err := c.receives.post(c.owed...)
	c.owed = c.owed[:0]
	return err
}

// received looks at what the server sent. Immediates without a meaning are ignored (Clause IBTRS-IMM-008).
func (b *build) received(c *clientChannel, done *rdma.Completion, number uint32) error {
	imm := Immediate(done.Imm)
	switch done.Op {
	case rdma.OpSendImm:
		if !b.refresh {
			if b.session.cfg.Rules.AnyResponseForm {
				return b.response(imm, nil) // its receives have no room for a key
			}
			return breachf("IBTRS-INV-014", "a SEND with immediate %s, but key refresh was not announced", imm)
		}
		return b.keyResponse(c.receives.bytes(number, KeyResponseSize)[:min(done.Length, KeyResponseSize)], imm)
	case rdma.OpWriteImm:
		return b.immediate(imm)
	}
	return nil
}

func (b *build) immediate(imm Immediate) error {
	switch imm.Type() {
	case ImmHeartbeat:
		return b.heartbeat.acknowledge()
	case ImmHeartbeatAck:
		b.path.stats.latency.Store(int64(b.heartbeat.latency()))
	case ImmResponse, ImmResponseInvalidated:
		if b.refresh && !b.session.cfg.Rules.AnyResponseForm {
			return breachf("IBTRS-INV-013", "an RDMA write with immediate %s, but key refresh was announced", imm)
		}
		return b.response(imm, nil)
	}
	return nil
}

// keyResponse is a response of a server with key refresh.
func (b *build) keyResponse(message []byte, imm Immediate) error {
	m, err := ParseKeyResponse(message)
	if err != nil && len(message) < KeyResponseSize && b.session.cfg.Rules.ShortKeyResponse {
		return b.response(imm, nil)
	}
	if err != nil {
		clause := "IBTRS-INV-009"
		if len(message) < KeyResponseSize {
			clause = "IBTRS-INV-008"
		}
		return breach(clause, err)
	}
	if err := m.Check(b.geometry, imm); err != nil {
		return breach("IBTRS-INV-010", err)
	}
	return b.response(imm, &m.RKey)
}

// response ends the request that the immediate names. newKey, unless nil, is the chunk's key from now on; it is stored
// before the permit is free (Clause IBTRS-INV-007).
func (b *build) response(imm Immediate, newKey *uint32) error {
	id, errno, invalidated, ok := imm.Response()
	if !ok {
		return nil
	}
	s := b.session
	if int(id) >= len(s.slots) {
		s.strays.Add(1)
		return nil
	}
	sl := &s.slots[id]
	sl.mu.Lock()
	if sl.state != slotSent || sl.build != b {
		sl.mu.Unlock()
		s.strays.Add(1)
		return nil
	}
	if newKey != nil && !s.cfg.Rules.IgnoreNewKey {
		b.chunks[id].RKey = *newKey
	}
	takeBack := sl.bound && !invalidated && !s.cfg.Rules.KeepReadKey
	if takeBack {
		defer sl.mu.Unlock()
		return b.takeBack(sl, errno)
	}
	b.finish(sl, errno)
	return nil
}

// takeBack invalidates the key of a read that the server left alone. The request ends when that is done (Clause
// IBTRS-IO-015).
func (b *build) takeBack(sl *slot, errno Errno) error {
	sl.state, sl.answer = slotInvalidating, errno
	sl.undo[0] = rdma.SendWR{
		ID: workKey | uint64(sl.permit), Op: rdma.OpInvalidate, Window: b.windows[sl.permit], Signaled: true,
	}
	sl.invalidate.chain = sl.undo[:]
	return sl.channel.post(&sl.invalidate)
}

// invalidated ends a request whose key has been taken back.
func (b *build) invalidated(sl *slot) {
	sl.mu.Lock()
	if sl.state != slotInvalidating || sl.build != b {
		sl.mu.Unlock()
		return
	}
	b.finish(sl, sl.answer)
}

// finish ends a request with the server's answer. It is called with the slot's lock held, and releases it.
func (b *build) finish(sl *slot, errno Errno) {
	var err error
	if errno != 0 {
		err = errno
	}
	if sl.req != nil && !sl.canceled && err == nil && sl.direction == Read {
		copy(sl.req.Data, b.piece(sl)[:sl.dataLen])
	}
	b.path.inflight.Add(-1)
	b.session.free(sl, err)
}

// free ends the request in sl and gives its permit back. It is called with the slot's lock held, and releases it.
func (s *Session) free(sl *slot, err error) {
	r := sl.req
	sl.req, sl.build, sl.channel, sl.state = nil, nil, nil, slotFree
	sl.mu.Unlock()
	s.permits.release(int(sl.permit))
	if r != nil {
		r.complete(err)
	}
}
