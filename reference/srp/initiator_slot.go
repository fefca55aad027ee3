// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"fmt"
	"syscall"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// slot is what one command of a channel needs: a place for its unit, and memory for its data.
type slot struct {
	channel *initiatorChannel
	number  int
	command *Command // nil when it has ended
	tag     Tag
	sentAt  time.Time
	busy    bool // a command was sent, and the slot is not free again
	over    bool // no response is expected any more
	pending int  // completions that have not come: of the SEND, and of taking keys back

	out, in      transfer
	work         []rdma.SendWR
	unit         [1]rdma.SGE
	older, newer *slot // of those whose command has not ended, in the order in which they were sent
	abortAsked   bool
}

// transfer is the memory for the data of a command in one direction.
type transfer struct {
	access rdma.Access
	window rdma.Window // for keys of its own
	bound  bool
	kept   bool // the key was not taken back
	runs   []run
	table  run // of an indirect list
	list   MemoryDescriptors
	length int
}

// run is consecutive memory.
type run struct{ offset, length int }

// describe takes memory for n bytes and says how a target finds it. ok is false if there is not enough just now.
func (s *slot) describe(t *transfer, n int) (b Buffer, ok bool) {
	if n == 0 {
		return Buffer{}, true
	}
	cfg := &s.channel.port.cfg
	t.length = n
	piece := n
	if cfg.Keys == GlobalKey && cfg.Segment > 0 {
		piece = cfg.Segment
	}
	for rest := n; rest > 0; rest -= piece {
		if !s.take(t, min(rest, piece)) {
			s.release(t)
			return b, false
		}
	}
	if len(t.runs) == 1 {
		return DirectBuffer(s.key(t)), true
	}
	return s.indirect(t)
}

// take adds a run.
func (s *slot) take(t *transfer, n int) bool {
	offset, ok := s.channel.pages.take(n)
	if ok {
		t.runs = append(t.runs, run{offset, n})
	}
	return ok
}

// key gives the only run of a transfer a key.
func (s *slot) key(t *transfer) MemoryDescriptor {
	c, r := s.channel, t.runs[0]
	d := MemoryDescriptor{Address: c.data.Addr() + uint64(r.offset), RKey: c.data.Key(), Length: uint32(r.length)}
	if t.window == nil {
		return d
	}
	if t.kept {
		s.work = append(s.work, rdma.SendWR{Op: rdma.OpInvalidate, Window: t.window})
		t.kept = false
	}
	d.RKey = t.window.NextKey()
	t.bound = true
	s.work = append(s.work, rdma.SendWR{
		Op: rdma.OpBind, Window: t.window, Bind: rdma.Bind{Region: c.data, Offset: r.offset, Length: r.length, Access: t.access},
	})
	return d
}

// indirect makes a list of the runs, whose table is in memory as well, and in the command as far as it fits (Clause SRP-CMD-007).
func (s *slot) indirect(t *transfer) (b Buffer, ok bool) {
	c := s.channel
	size := len(t.runs) * MemoryDescriptorSize
	offset, ok := c.pages.take(size)
	if !ok {
		s.release(t)
		return b, false
	}
	t.table = run{offset, size}
	t.list = t.list[:0]
	for _, r := range t.runs {
		t.list = t.list.Append(MemoryDescriptor{Address: c.data.Addr() + uint64(r.offset), RKey: c.data.Key(), Length: uint32(r.length)})
	}
	copy(c.data.Bytes()[offset:], t.list)
	table := MemoryDescriptor{Address: c.data.Addr() + uint64(offset), RKey: c.data.Key(), Length: uint32(size)}
	return IndirectBuffer(table, t.list[:min(len(t.runs), c.entries)*MemoryDescriptorSize], uint32(t.length)), true
}

// release gives the memory of a transfer back.
func (s *slot) release(t *transfer) {
	for _, r := range t.runs {
		s.channel.pages.give(r.offset, r.length)
	}
	if t.table.length > 0 {
		s.channel.pages.give(t.table.offset, t.table.length)
	}
	t.runs, t.table, t.bound = t.runs[:0], run{}, false
}

// fill copies data into the memory of a transfer, and data out of it.
func (s *slot) fill(t *transfer, data []byte) {
	for _, r := range t.runs {
		data = data[copy(s.channel.data.Bytes()[r.offset:r.offset+r.length], data):]
	}
}

func (s *slot) fetch(t *transfer, data []byte) {
	for _, r := range t.runs {
		data = data[copy(data, s.channel.data.Bytes()[r.offset:r.offset+r.length]):]
	}
}

// send sends a command from a free slot. It reports whether there was all that it takes; a command that can never be sent ends. It is
// called with the lock held.
func (c *initiatorChannel) send(cmd *Command, now time.Time) bool {
	if len(c.free) == 0 || c.credits.Limit() <= 1 && !c.port.rules().IgnoreCredits { // Clauses SRP-CRED-003, SRP-CRED-004
		return false
	}
	s := c.free[len(c.free)-1]
	s.work = s.work[:0]
	out, ok := c.dataOut(s, cmd)
	if !ok {
		return false
	}
	in, ok := s.describe(&s.in, len(cmd.In))
	if !ok {
		s.release(&s.out)
		return false
	}
	c.tags++
	s.tag = TagOf(c.tags<<tagShift | uint64(s.number)) // Clause SRP-CMD-014
	m := NewCmd(s.tag, cmd.LUN)
	m.TaskAttribute = cmd.Attribute & taskAttributeMask
	at := s.number * c.unitSize
	unit, err := m.AppendWith(c.units.Bytes()[at:at:at+c.unitSize], cmd.CDB, out, in, c.immediate)
	if err == nil && len(unit) > c.unitLimit { // Clause SRP-LOGIN-010
		err = fmt.Errorf("the command takes %d bytes, the target takes at most %d: %w", len(unit), c.unitLimit, syscall.EMSGSIZE)
	}
	if err != nil {
		s.release(&s.out)
		s.release(&s.in)
		c.port.dequeue(cmd)
		c.port.finish(cmd, err)
		return true
	}
	if out.Format != Immediate {
		s.fill(&s.out, cmd.Out)
	}
	s.unit[0] = rdma.SGE{Region: c.units, Offset: at, Length: len(unit)}
	s.work = append(s.work, rdma.SendWR{ID: doneSend | uint64(s.number), Op: rdma.OpSend, Local: s.unit[:], Signaled: true})
	c.credits.TakeCommand()
	c.free = c.free[:len(c.free)-1]
	c.port.dequeue(cmd)
	cmd.state, cmd.slot = commandSent, s
	s.command, s.busy, s.over, s.pending, s.sentAt, s.abortAsked = cmd, true, false, 1, now, false
	c.append(s)
	c.port.sent(c, cmd, out)
	if err := c.conn.PostSend(s.work...); err != nil {
		c.port.lose(c.nexus, fmt.Errorf("send: %w", err))
		return true
	}
	c.arm(now.Add(c.port.timers.ProbeDeadline))
	return true
}

// dataOut describes data that goes to the target; it travels in the command if that was agreed on and it is short.
func (c *initiatorChannel) dataOut(s *slot, cmd *Command) (Buffer, bool) {
	n := len(cmd.Out)
	end := CmdSize + roundUpCDB(len(cmd.CDB)) + immediateHeaderSize
	if len(cmd.In) > 0 {
		end += MemoryDescriptorSize // at least
	}
	off := int(c.immediate)
	if n > 0 && off >= end && n <= c.port.cfg.MaxImmediate && off+n <= c.unitLimit && len(cmd.In) == 0 {
		return ImmediateBuffer(cmd.Out), true
	}
	return s.describe(&s.out, n)
}

// roundUpCDB is the additional length of a command block of n bytes.
func roundUpCDB(n int) int { return (max(n-cdbSize, 0) + 3) &^ 3 }

// append puts a slot at the end of those that wait for a response.
func (c *initiatorChannel) append(s *slot) {
	s.older, s.newer = c.newest, nil
	if c.newest == nil {
		c.oldest = s
	} else {
		c.newest.newer = s
	}
	c.newest = s
}

// detach takes the command of a slot away: it has ended, or goes elsewhere.
func (c *initiatorChannel) detach(s *slot) *Command {
	cmd := s.command
	if s.older == nil {
		c.oldest = s.newer
	} else {
		s.older.newer = s.newer
	}
	if s.newer == nil {
		c.newest = s.older
	} else {
		s.newer.older = s.older
	}
	s.command, s.older, s.newer = nil, nil, nil
	cmd.slot = nil
	c.port.settled(cmd)
	return cmd
}

// retire ends a slot to which no response will come any more: keys are taken back, and then it is free (Clauses SRP-DATA-004,
// SRP-DATA-005).
func (c *initiatorChannel) retire(s *slot) {
	s.over = true
	s.work = s.work[:0]
	for _, t := range []*transfer{&s.out, &s.in} {
		if t.bound && c.port.rules().KeepKeys {
			t.kept = true
			continue
		}
		if t.bound {
			s.work = append(s.work, rdma.SendWR{ID: doneInvalidate | uint64(s.number), Op: rdma.OpInvalidate, Window: t.window, Signaled: true})
		}
	}
	if len(s.work) > 0 {
		s.pending += len(s.work)
		if err := c.conn.PostSend(s.work...); err != nil {
			c.port.lose(c.nexus, fmt.Errorf("take keys back: %w", err))
			return
		}
	}
	c.freeIfDone(s)
}

func (c *initiatorChannel) freeIfDone(s *slot) {
	if !s.busy || !s.over || s.pending > 0 {
		return
	}
	s.release(&s.out)
	s.release(&s.in)
	s.busy = false
	c.free = append(c.free, s)
}
