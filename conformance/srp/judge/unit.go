// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Answer is an SRP_RSP.
type Answer struct {
	Response   srp.Rsp
	Size       int // bytes of the unit
	ParseError error
	Latency    time.Duration
	DataUnsure bool // data or commands may have been missed
}

// Move is an RDMA WRITE or READ of a target.
type Move struct {
	Read    bool
	Address uint64
	Key     uint32
	Length  uint64
	Inside  bool // within the memory of an outstanding command
	Known   bool // all outstanding commands are known
	Late    bool // the memory is that of a command that was answered already
}

const maxCommands = 65536

// takeMessage takes a message of an SRP channel.
func (t *follower) takeMessage(f *audit.Flow, ch *Channel, m *audit.Message) {
	if !ch.up {
		ch.up = true
		e := t.fresh(ChannelUp)
		e.setConnection(f.Connection(), audit.Initiator)
		e.Login = &ch.Login
		t.Emit(e.Event)
	}
	if m.Operation != roce.OperationSend {
		t.takeMove(f, ch, m)
		return
	}
	if m.HeadMissing || m.Cut || len(m.Data) < 1 {
		ch.unreadable(f)
		return
	}
	kind := m.Data[0]
	switch {
	case f.From() == audit.Initiator && (kind == srp.TypeCmd || kind == srp.TypeTskMgmt):
		t.takeCommand(f, ch, m, kind == srp.TypeTskMgmt)
	case f.From() == audit.Target && kind == srp.TypeRsp:
		t.takeAnswer(f, ch, m)
	case f.From() == audit.Target && (kind == srp.TypeCredReq || kind == srp.TypeAERReq):
		t.takeTargetRequest(f, ch, m, kind)
	case f.From() == audit.Initiator && (kind == srp.TypeCredRsp || kind == srp.TypeAERRsp):
		t.takeInitiatorResponse(f, ch, m, kind)
	case f.From() == audit.Initiator && kind == srp.TypeILogout, f.From() == audit.Target && kind == srp.TypeTLogout:
		ch.loggedOut = f.From()
		t.emitUnit(f, m, Logout)
	default:
		t.emitUnit(f, m, StrayUnit)
	}
}

// unreadable notes a unit whose contents were not captured.
func (ch *Channel) unreadable(f *audit.Flow) { ch.gapFound(f) }

func (t *follower) emitUnit(f *audit.Flow, m *audit.Message, kind audit.Kind) {
	e := t.fresh(kind)
	e.setMessage(f, m)
	e.Unit = m.Data
	t.Emit(e.Event)
}

func (t *follower) takeCommand(f *audit.Flow, ch *Channel, m *audit.Message, management bool) {
	c := t.newCommand()
	c.Management, c.Size, c.At, c.Frames = management, m.Length, m.FirstAt, [2]audit.FrameID{m.First, m.Last}
	if c.epoch = ch.epoch; m.Late {
		c.epoch--
	}
	if management {
		c.Task, c.ParseError = srp.ParseTskMgmt(m.Data)
		c.Tag, c.LUN, c.known = c.Task.Tag, c.Task.LUN, true
		_, c.Managed = ch.commands[c.Task.ManagedTag]
	} else {
		c.parse(m.Data, ch)
		if ch.isGhost(c) {
			c.epoch-- // its data was moved before it was seen
		}
	}
	if len(m.Data) >= srp.MinIUSize {
		c.Tag = srp.Tag(m.Data[8:]) // also of a unit that is cut off
	}
	c.Limit, c.LimitKnown = ch.limit, ch.limitSure
	ch.limit--
	old, busy := ch.commands[c.Tag]
	c.TagBusy = busy && old.epoch == ch.epoch
	if busy {
		ch.blind++ // whose answer is whose cannot be told
	}
	kind := CommandSent
	if management {
		kind = TaskManagement
	}
	if busy || len(ch.commands) < maxCommands {
		ch.commands[c.Tag] = c
	}
	e := t.fresh(kind)
	e.setMessage(f, m)
	e.Command, e.Unit = c, m.Data
	t.Emit(e.Event)
	if busy {
		if ch.lastMoved == old {
			ch.lastMoved = nil
		}
		t.releaseCommand(old)
	}
}

func (c *Command) parse(unit []byte, ch *Channel) {
	cmd, err := srp.ParseCmd(unit)
	c.Tag, c.LUN, c.CDB, c.ParseError = cmd.Tag, cmd.LUN, cmd.CDB, err
	c.OutFormat, c.InFormat = cmd.OutFormat(), cmd.InFormat()
	c.Out, c.In = -1, -1
	if err != nil {
		return
	}
	offset := uint16(0)
	if ch.Login.HasRequest {
		offset = ch.Login.Request.ImmediateOffset
	}
	out, outErr := cmd.DataOut(offset)
	in, inErr := cmd.DataIn()
	if outErr != nil || inErr != nil {
		c.ParseError = firstError(outErr, inErr)
		return
	}
	c.known = true
	c.Out, c.out, c.table = c.describe(out, c.out)
	if c.table.length > 0 {
		c.known = false // the rest of the list stands in memory
	}
	var table memory
	c.In, c.in, table = c.describe(in, c.in)
	if table.length > 0 {
		c.known, c.table = false, table
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// describe lists the memory of a buffer. The table is that of a list of which only a part is in the unit.
func (c *Command) describe(b srp.Buffer, into []memory) (size int, list []memory, table memory) {
	into = into[:0]
	switch b.Format {
	case srp.Direct:
		d := b.Memory
		return int(d.Length), append(into, memory{d.Address, d.RKey, d.Length}), table
	case srp.Indirect:
		for i := range b.List.Len() {
			d := b.List.At(i)
			into = append(into, memory{d.Address, d.RKey, d.Length})
		}
		if b.Partial() {
			table = memory{b.Memory.Address, b.Memory.RKey, b.Memory.Length}
		}
		return int(b.Length), into, table
	case srp.Immediate:
		return int(b.Length), into, table
	}
	return 0, into, table
}

func (t *follower) takeAnswer(f *audit.Flow, ch *Channel, m *audit.Message) {
	response, err := srp.ParseRsp(m.Data)
	a := Answer{Response: response, Size: m.Length, ParseError: err}
	short := len(m.Data) < srp.RspSize
	c := ch.commands[response.Tag]
	if short {
		c = nil
	} else {
		ch.limit += int64(response.RequestLimitDelta)
	}
	kind := UnknownAnswer
	if c != nil {
		kind = CommandAnswered
		if c.Management {
			kind = TaskManagementAnswered
		}
		a.Latency = t.Elapsed(c.At, m.LastAt)
		a.DataUnsure = c.epoch != ch.epoch || !c.known
		ch.answered = true
	}
	e := t.fresh(kind)
	e.setMessage(f, m)
	e.Command, e.Answer, e.Unit = c, &a, m.Data
	if c != nil {
		e.AddFrame(c.Frames[0])
	}
	t.Emit(e.Event)
	if c == nil {
		return
	}
	if code, ok := response.ResponseCode(); c.Management && ok && code == srp.ResponseOK && c.Task.Function == srp.AbortTask {
		if managed := ch.commands[c.Task.ManagedTag]; managed != nil {
			managed.aborted = true
		}
	}
	if ch.lastMoved == c {
		ch.lastMoved = nil
	}
	delete(ch.commands, c.Tag)
	ch.remember(c)
	t.releaseCommand(c)
}

// isGhost reports whether data was moved for a command before it was seen, and forgets that.
func (ch *Channel) isGhost(c *Command) bool {
	before := len(ch.ghosts)
	ch.ghosts = slices.DeleteFunc(ch.ghosts, func(m Move) bool { return c.holds(&m) })
	return len(ch.ghosts) < before
}

// remember keeps the memory of an answered command for a while.
func (ch *Channel) remember(c *Command) {
	if len(c.in)+len(c.out) == 0 {
		return
	}
	slot := &ch.past[ch.pastNext%len(ch.past)]
	*slot = append(append((*slot)[:0], c.in...), c.out...)
	ch.pastNext++
}

func (ch *Channel) isPast(m *Move) bool {
	for _, list := range ch.past {
		for _, r := range list {
			if r.holds(m.Address, m.Key, m.Length) {
				return true
			}
		}
	}
	return false
}

func (t *follower) takeTargetRequest(f *audit.Flow, ch *Channel, m *audit.Message, kind uint8) {
	event := CreditRequest
	if kind == srp.TypeAERReq {
		event = AsyncEvent
	}
	if len(m.Data) >= srp.CredReqSize {
		r, _ := srp.ParseCredReq(m.Data) // an SRP_AER_REQ begins alike
		ch.limit += int64(r.RequestLimitDelta)
		if len(ch.credReqs) < maxCredReqs {
			ch.credReqs = append(ch.credReqs, r.Tag)
		} else {
			ch.forgotten = true
		}
	}
	t.emitUnit(f, m, event)
}

func (t *follower) takeInitiatorResponse(f *audit.Flow, ch *Channel, m *audit.Message, kind uint8) {
	event := CreditResponse
	if kind == srp.TypeAERRsp {
		event = AsyncEventResponse
	}
	e := t.fresh(event)
	e.setMessage(f, m)
	e.Unit = m.Data
	if len(m.Data) >= srp.CredRspSize {
		tag := srp.Tag(m.Data[8:16])
		if i := slices.Index(ch.credReqs, tag); i >= 0 {
			ch.credReqs = slices.Delete(ch.credReqs, i, i+1)
			e.Again = true // it answers a request that was seen
		}
	}
	t.Emit(e.Event)
}

// takeMove takes an RDMA WRITE or READ: the target moves the data of a command.
func (t *follower) takeMove(f *audit.Flow, ch *Channel, m *audit.Message) {
	if f.From() == audit.Initiator && !m.HeadMissing && m.DMALen == 0 {
		return // it moves nothing: an idle initiator asks whether the target is still there
	}
	move := Move{
		Read: m.Operation == roce.OperationReadRequest, Address: m.VA, Key: m.RKey, Length: uint64(m.DMALen),
		Known: ch.epoch == 0 && ch.blind == 0,
	}
	if !m.HeadMissing && f.From() == audit.Target {
		if c := ch.findMemory(&move); c != nil {
			move.Inside = true
			c.move(&move)
			ch.lastMoved = c
		} else {
			move.Late = ch.isPast(&move)
			if len(ch.ghosts) < 16 {
				ch.ghosts = append(ch.ghosts, move)
			}
		}
	}
	e := t.fresh(DataMoved)
	e.setMessage(f, m)
	e.Move = move
	e.Command = ch.lastMoved
	t.Emit(e.Event)
}

func (c *Command) move(m *Move) {
	if m.Read {
		c.MovedOut += m.Length
		return
	}
	c.MovedIn += m.Length
}

// findMemory finds the outstanding command that memory belongs to. Commands whose answer may have been missed come last:
// their memory may be in use for others.
func (ch *Channel) findMemory(m *Move) *Command {
	if c := ch.lastMoved; c != nil && c.epoch == ch.epoch && c.holds(m) {
		return c
	}
	var unsure *Command
	for _, c := range ch.commands {
		switch {
		case !c.holds(m):
			m.Known = m.Known && c.known
		case c.epoch == ch.epoch:
			return c
		default:
			unsure = c
		}
	}
	return unsure
}

func (c *Command) holds(m *Move) bool {
	list := c.in
	if m.Read {
		list = c.out
		if c.table.length > 0 && c.table.holds(m.Address, m.Key, m.Length) {
			return true
		}
	}
	for _, r := range list {
		if r.holds(m.Address, m.Key, m.Length) {
			return true
		}
	}
	return false
}
