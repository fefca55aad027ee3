// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/scsi"
)

// requestState is how far a request is. Guarded by the channel's lock.
type requestState uint8

const (
	requestFree      requestState = iota
	requestStarved                // waits for data memory
	requestReading                // RDMA READs are posted
	requestExecuting              // in the task set, or with the backend
	requestAnswering              // the response is posted
	requestManaging               // task management, until the tasks have ended
)

// tableMost bounds a table of descriptors that is read from an initiator, in bytes.
const tableMost = 2048 * MemoryDescriptorSize

// targetRequest is one SRP_CMD or SRP_TSK_MGMT. It keeps its receive until it answers.
type targetRequest struct {
	channel   *TargetChannel
	number    int
	state     requestState
	submitted bool // the task is in its task set
	arrival   arrival
	task      scsi.Task
	execution func() // execute, made once

	cmd     Cmd
	out, in Buffer
	tag     Tag

	memory int // offset of the data in the channel's memory
	size   int // of the memory; 0: none
	moved  int // bytes of data-out that were fetched, or are being fetched

	work []rdma.SendWR
	sges []rdma.SGE
	left int // chains of READs that have not completed
	unit []byte

	answer rdma.SendWR
}

// arrived deals with a unit.
func (c *TargetChannel) arrived(a arrival) {
	c.mu.Lock()
	ended := c.cause != nil
	c.mu.Unlock()
	if ended {
		return // its receive goes with the channel
	}
	unit, rules := c.unit(a), &c.nexus.target.cfg.Rules
	if rules.EditUnit != nil {
		rules.EditUnit(unit)
	}
	kind, err := IUType(unit)
	switch {
	case err != nil:
	case kind == TypeCmd || kind == TypeTskMgmt:
		c.begin(a)
		return
	case kind == TypeILogout && rules.AnswerLogout:
		c.answerLogout(Tag(unit[8:]))
	case kind == TypeILogout && rules.IgnoreLogout:
	case kind == TypeILogout: // Clause SRP-LOGOUT-002
		c.end(errLoggedOut)
		c.awaitDisconnect()
	case kind == TypeCredRsp:
		if m, err := ParseCredRsp(unit); err == nil {
			c.answered(m.Tag)
		}
		if rules.CountAnswers {
			return
		}
	case kind == TypeAERRsp:
		if m, err := ParseAERRsp(unit); err == nil {
			c.answered(m.Tag)
		}
	case rules.EndOnUnknownType:
		c.fail(errUnknownType)
		return
	}
	c.repost(a.receive) // whatever it was, the channel goes on (Clause SRP-CMD-019)
}

// begin takes a request for a unit that used a credit. If there is none, because the initiator has not acknowledged enough
// responses, the unit waits for that, and all behind it; their receives are not posted meanwhile.
func (c *TargetChannel) begin(a arrival) {
	if len(c.backlog) == 0 {
		if r := c.takeRequest(a); r != nil {
			r.begin()
			return
		}
	}
	c.backlog = append(c.backlog, a)
}

// catchUp begins with units in order, as long as there are requests for them.
func (c *TargetChannel) catchUp() {
	for len(c.backlog) > 0 {
		r := c.takeRequest(c.backlog[0])
		if r == nil {
			return
		}
		c.backlog = c.backlog[1:]
		r.begin()
	}
}

// takeRequest gives a free request, or nil.
func (c *TargetChannel) takeRequest(a arrival) *targetRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.free) == 0 || c.draining {
		return nil
	}
	r := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	r.arrival, r.state, r.submitted = a, requestExecuting, false
	r.size, r.moved, r.left = 0, 0, 0
	r.out, r.in, r.cmd = Buffer{}, Buffer{}, Cmd{}
	copy(r.tag[:], c.unit(a)[8:MinIUSize])
	c.inUse.Add(1)
	return r
}

func (r *targetRequest) begin() {
	unit := r.channel.unit(r.arrival)
	if drop := r.channel.nexus.target.cfg.Rules.Drop; drop != nil && drop(r.channel, unit) {
		r.channel.repost(r.arrival.receive)
		r.end()
		return
	}
	if unit[0] == TypeTskMgmt {
		r.manage(unit)
		return
	}
	if err := r.parse(unit); err != nil {
		r.refuse(err)
		return
	}
	c := r.channel
	c.scsi.Prepare(&r.task, r.cmd.LUN, r.cdb())
	r.submitted = true
	r.task.Submit(scsi.Attribute(r.cmd.TaskAttribute & taskAttributeMask))
	c.mu.Lock()
	ended := c.cause != nil // if not, close will see the task
	need := r.need()
	starved := !ended && need > 0 && (len(c.starved) > 0 || !r.takeMemory(need))
	if starved {
		r.state = requestStarved
		c.starved = append(c.starved, r)
	}
	c.mu.Unlock()
	switch {
	case ended:
		r.abandon()
	case !starved:
		r.start()
	}
}

// parse reads the command and its descriptors (Clauses SRP-CMD-012, SRP-CMD-013, SRP-CMD-018).
func (r *targetRequest) parse(unit []byte) (err error) {
	if r.cmd, err = ParseCmd(unit); err != nil {
		return err
	}
	if r.out, err = r.cmd.DataOut(r.channel.immediateOffset); err != nil {
		return err
	}
	if r.in, err = r.cmd.DataIn(); err != nil {
		return err
	}
	if r.channel.nexus.target.cfg.Rules.InBeforeOut && r.out.Format != NoData && r.in.Format != NoData {
		r.out, r.in = r.in, r.out
	}
	for _, b := range []Buffer{r.out, r.in} {
		if b.Partial() && b.Memory.Length > tableMost {
			return fmt.Errorf("table of %d bytes, must be at most %d", b.Memory.Length, tableMost)
		}
	}
	if r.out.Partial() && r.in.Partial() {
		return fmt.Errorf("two partial lists in one command")
	}
	return nil
}

// cdb is the command block; the first 16 bytes are all that a form has.
func (r *targetRequest) cdb() []byte { return r.cmd.CDB[:] }

// refuse answers a command that cannot be understood: its fields are invalid.
func (r *targetRequest) refuse(err error) {
	r.channel.log.Debug("command refused", "tag", r.tag, "error", err)
	if r.submitted && !r.task.Commit() {
		r.drop()
		return
	}
	r.respond(Rsp{Flags: RspValid, ResponseLength: ResponseDataSize, Body: []byte{0, 0, 0, uint8(ResponseInvalidFields)}})
}

// need is the memory that the request takes: for its data, and behind it for the table of a partial list.
func (r *targetRequest) need() int {
	need := roundUp(r.task.Length)
	if b := r.partial(); b != nil {
		need += roundUp(int(b.Memory.Length))
	}
	return need
}

func roundUp(n int) int { return (n + pageSize - 1) &^ (pageSize - 1) }

// partial is the description that the command carries only in part, if it is of the direction in which data moves.
func (r *targetRequest) partial() *Buffer {
	switch {
	case r.task.Direction == scsi.DataOut && r.out.Partial():
		return &r.out
	case r.task.Direction == scsi.DataIn && r.in.Partial():
		return &r.in
	}
	return nil
}

// takeMemory is called with the lock held.
func (r *targetRequest) takeMemory(need int) (ok bool) {
	if r.memory, ok = r.channel.pages.take(need); ok {
		r.size = need
	}
	return ok
}

// data is the memory for the data of the command.
func (r *targetRequest) data() []byte {
	return r.channel.data.Bytes()[r.memory : r.memory+r.task.Length]
}

// start goes on when there is memory: reads the rest of a partial list, then data-out, else executes.
func (r *targetRequest) start() {
	b := r.partial()
	switch {
	case r.task.Aborted():
		r.task.Ready()
		return
	case b != nil && r.channel.nexus.target.cfg.Rules.NoPartialLists:
		if r.task.Commit() {
			r.respond(Rsp{Status: uint8(scsi.Busy)})
		} else {
			r.drop()
		}
		return
	case b == nil:
		r.transfer()
		return
	}
	r.setState(requestReading)
	r.work = append(r.work[:0], rdma.SendWR{
		ID: workTable | uint64(r.number), Op: rdma.OpRead, RemoteAddr: b.Memory.Address, RemoteKey: b.Memory.RKey, Signaled: true,
		Local: []rdma.SGE{{Region: r.channel.data, Offset: r.memory + roundUp(r.task.Length), Length: int(b.Memory.Length)}},
	})
	r.channel.post(r.work) // if it is not, the channel ends, and close deals with the request
}

// tableRead goes on when a partial list is complete (Clause SRP-CMD-008).
func (r *targetRequest) tableRead() {
	b := r.partial()
	at := r.memory + roundUp(r.task.Length)
	b.List = MemoryDescriptors(r.channel.data.Bytes()[at : at+int(b.Memory.Length)])
	if err := b.Check(); err != nil {
		r.refuse(err)
		return
	}
	r.transfer()
}

// transfer gets data-out.
func (r *targetRequest) transfer() {
	r.setState(requestExecuting)
	if r.task.Direction == scsi.DataOut {
		r.moved = min(r.task.Length, int(r.out.Length))
		if r.out.Format == Immediate {
			copy(r.data(), r.out.Data)
		} else if r.left = r.describe(&r.out, r.moved, rdma.OpRead); r.left > 0 {
			r.setState(requestReading)
			r.postAll(r.left)
			return
		}
	}
	r.task.Ready()
}

const taskAttributeMask = 0x07

// describe makes work that moves n bytes between the data and the memory that b describes, and no byte outside of it (Clause
// SRP-DATA-002). It returns the number of chains; their last ones have the id of a read.
func (r *targetRequest) describe(b *Buffer, n int, op rdma.Op) (chains int) {
	r.work, r.sges = r.work[:0], r.sges[:0]
	offset := r.memory
	add := func(d MemoryDescriptor) {
		length := min(n, int(d.Length))
		if length == 0 {
			return
		}
		r.sges = append(r.sges, rdma.SGE{Region: r.channel.data, Offset: offset, Length: length})
		r.work = append(r.work, rdma.SendWR{ID: workInner, Op: op, RemoteAddr: d.Address, RemoteKey: d.RKey})
		offset, n = offset+length, n-length
	}
	switch b.Format {
	case Direct:
		if r.channel.nexus.target.cfg.Rules.IgnoreBufferLength {
			b.Memory.Length = uint32(n)
		}
		add(b.Memory)
	case Indirect:
		for _, d := range b.List.All() {
			add(d)
		}
	}
	for i := range r.work { // only now: append moves the elements
		r.work[i].Local = r.sges[i : i+1]
	}
	return (len(r.work) + chainMost - 1) / chainMost
}

// postAll posts what describe made for data-out, in chains whose ends are told.
func (r *targetRequest) postAll(chains int) {
	for i := range chains {
		part := r.work[i*chainMost : min((i+1)*chainMost, len(r.work))]
		part[len(part)-1].ID, part[len(part)-1].Signaled = workRead|uint64(r.number), true
		r.channel.post(part)
	}
}

// dataRead counts a chain of READs that has completed.
func (r *targetRequest) dataRead() {
	if r.left--; r.left == 0 {
		r.setState(requestExecuting)
		r.task.Ready()
	}
}

// run is called by the task set: it is the request's turn.
func (r *targetRequest) run() {
	if r.task.Immediate() {
		r.execute()
		return
	}
	r.channel.nexus.target.workers.do(r.execution)
}

func (r *targetRequest) execute() {
	data := r.data()
	if r.task.Direction == scsi.DataOut {
		data = data[:r.moved]
	}
	result := r.task.Execute(data)
	if !r.task.Commit() {
		r.drop()
		return
	}
	r.complete(result)
}

// drop ends a request without a response; its credit comes with a later one (Clause SRP-CRED-009).
func (r *targetRequest) drop() {
	r.channel.repost(r.arrival.receive)
	r.channel.mu.Lock()
	if !r.channel.nexus.target.cfg.Rules.LoseCredits {
		r.channel.owed++
	}
	r.channel.mu.Unlock()
	r.end()
}

// complete sends data-in and the response to a command.
func (r *targetRequest) complete(result scsi.Result) {
	m := Rsp{Status: uint8(result.Status)}
	if r.in.Format != NoData || r.task.Direction == scsi.DataIn {
		m.SetResidualIn(uint32(result.N), r.in.Length)
	}
	if r.out.Format != NoData || r.task.Direction == scsi.DataOut {
		wanted := 0
		if r.task.Direction == scsi.DataOut {
			wanted = r.task.Length
		}
		m.SetResidualOut(uint32(wanted), r.out.Length)
	}
	if result.Status == scsi.CheckCondition {
		m.Flags |= SenseValid
		m.Body = result.Sense.AppendFixed(nil)
		m.SenseLength = uint32(len(m.Body))
	}
	rules := &r.channel.nexus.target.cfg.Rules
	if rules.EditData != nil && result.N > 0 {
		rules.EditData(r.channel, r.channel.unit(r.arrival), r.data()[:result.N])
	}
	moved := min(result.N, int(r.in.Length))
	if rules.IgnoreBufferLength {
		moved = result.N
	}
	r.describe(&r.in, moved, rdma.OpWrite)
	r.count(moved)
	r.send(m)
}

// count counts a command that is answered, with its data.
func (r *targetRequest) count(in int) {
	r.channel.mu.Lock()
	defer r.channel.mu.Unlock()
	s := &r.channel.stats
	s.Commands++
	s.DataIn += uint64(in)
	s.DataOut += uint64(r.moved)
}

// respond sends a response that has no data.
func (r *targetRequest) respond(m Rsp) {
	r.work = r.work[:0]
	r.send(m)
}

// send posts the work that is there, and behind it the response, so that it is never received before the data (Clause
// SRP-RSP-014). It gives the credit back, and before that the receive.
func (r *targetRequest) send(m Rsp) {
	c := r.channel
	rules := &c.nexus.target.cfg.Rules
	m.Type, m.Tag = TypeRsp, r.tag
	if rules.EditResponse != nil {
		edited := m // which alone goes to the heap
		rules.EditResponse(c.unit(r.arrival), &edited)
		m = edited
	}
	c.repost(r.arrival.receive)
	c.mu.Lock()
	m.RequestLimitDelta = 1 + c.owed
	r.unit, _ = m.AppendBinary(r.unit[:0])
	c.fill(&r.answer, r.unit, workAnswer)
	r.work = append(r.work, r.answer)
	if last := len(r.work) - 1; rules.AnswerFirst {
		r.work[0], r.work[last] = r.work[last], r.work[0]
	}
	r.state = requestAnswering
	posted := true
	for rest := r.work; len(rest) > 0 && posted; {
		part := rest[:min(len(rest), chainMost)]
		part[len(part)-1].Signaled = true // so that the queue empties
		rest = rest[len(part):]
		posted = c.postLocked(part)
	}
	if posted {
		c.owed = 0
	} else {
		r.state = requestExecuting
	}
	c.mu.Unlock()
	if !posted {
		r.end() // the channel has ended: nobody wants the response
	}
}

// end frees the request: nothing of it is in use any more.
func (r *targetRequest) end() {
	c := r.channel
	if r.submitted {
		r.task.End()
	}
	c.mu.Lock()
	if r.size > 0 {
		c.pages.give(r.memory, r.size)
	}
	r.state = requestFree
	c.free = append(c.free, r)
	c.noteIdle()
	ready := c.feed()
	c.mu.Unlock()
	for _, s := range ready {
		s.start()
	}
	c.inUse.Done()
}

// abandon ends a request of a channel that has ended, unless something else does. No RDMA touches its memory any more.
func (r *targetRequest) abandon() {
	r.channel.mu.Lock()
	state := r.state
	r.channel.mu.Unlock()
	switch state {
	case requestAnswering:
		r.end()
	case requestStarved, requestReading, requestExecuting:
		r.task.Abort(func() {})
		r.task.Ready()
	}
}

var errUnknownType = errors.New("a unit of unknown type")

// answerLogout is what a target does that breaks the rule.
func (c *TargetChannel) answerLogout(tag Tag) {
	b, _ := Rsp{Type: TypeRsp, Tag: tag}.AppendBinary(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fill(&c.ask, b, workAsk)
	c.postLocked(chain{c.ask})
}

// drain lets no request begin any more, and gives a channel that is closed when there is none.
func (c *TargetChannel) drain() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining {
		c.draining = true
		c.noteIdle()
	}
	return c.idle
}

// noteIdle is called with the lock held, when a request has ended or draining begins.
func (c *TargetChannel) noteIdle() {
	if c.draining && len(c.free) == len(c.requests) {
		close(c.idle)
	}
}

// feed gives memory to requests that wait for it, in order. It is called with the lock held.
func (c *TargetChannel) feed() (ready []*targetRequest) {
	for len(c.starved) > 0 && c.starved[0].takeMemory(c.starved[0].need()) {
		c.starved[0].state = requestExecuting
		ready = append(ready, c.starved[0])
		c.starved = c.starved[1:]
	}
	return ready
}

func (r *targetRequest) setState(s requestState) {
	r.channel.mu.Lock()
	defer r.channel.mu.Unlock()
	r.state = s
}
