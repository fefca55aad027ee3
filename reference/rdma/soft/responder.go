// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// responder is the receiving half of a queue pair. Sequence numbers are counted in 64 bits, as those of the requester.
type responder struct {
	expected uint64 // sequence number of the next request packet
	msn      uint32 // messages executed
	newest   uint64 // sequence number of the newest executed request packet that is not a READ or atomic

	open  roce.Operation // of the message that has begun; OperationUnknown between messages
	recv  *recvWQE       // receive of the open SEND
	at    int            // bytes of the open message that are placed
	opens grant          // what the key of the open WRITE opens
	addr  uint64         // where its next byte goes
	left  int            // bytes still to come, by its RETH

	quiet bool // a gap, or a missing receive, was reported; nothing more until the expected packet comes

	ackWanted  bool
	ackNow     bool
	ackSeq     uint64
	ackPending int // messages executed since the last acknowledgement
	ackAt      time.Time

	resources int       // READs and atomics that may be outstanding
	served    []service // the last READs and atomics, for repeated requests; a ring
	nextServe int
	jobs      []job // answers that have to go out in order
}

// service is what is remembered of a READ or atomic.
type service struct {
	first, end uint64 // sequence numbers
	key        uint32
	addr       uint64
	length     int
	atomic     bool
	original   uint64 // result of an atomic
	msn        uint32
}

// job is an answer that is under way: the packets of a READ, or an acknowledgement behind them.
type job struct {
	seq      uint64 // of the next packet
	msn      uint32
	opens    grant // what is read
	addr     uint64
	left     int
	started  bool // the First has gone
	kind     jobKind
	syndrome roce.Syndrome // of jobAck
	original uint64        // of jobAtomic
}

// jobKind says what an answer is.
type jobKind uint8

const (
	jobRead   jobKind = iota // READ responses
	jobAck                   // an ACK or a NAK
	jobAtomic                // the result of an atomic
)

func (r *responder) start(w wiring) {
	r.expected = firstSequence(w.recvPSN)
	r.newest = r.expected - 1
	r.resources = w.responderResources
	r.served = make([]service, max(1, w.responderResources))
}

// receiveRequest handles a request packet, checking in the order that the InfiniBand specification gives.
func (q *queuePair) receiveRequest(p *Packet) dropReason {
	r := &q.rsp
	seq := sequence(r.expected, p.PSN())
	switch {
	case seq < r.expected && !q.rules.ExecuteDuplicates:
		return q.duplicate(p, seq)
	case seq < r.expected && p.OpCode().Operation() != roce.OperationReadRequest:
		q.executeAgain(p, seq)
		return delivered
	case seq > r.expected && !q.rules.AcceptOutOfSequence:
		return q.outOfSequence()
	}
	r.expected = seq
	r.quiet = false
	return q.execRequest(p)
}

// execRequest executes the expected request packet, or refuses it.
func (q *queuePair) execRequest(p *Packet) dropReason {
	if fault := q.checkRequest(p); fault != 0 {
		q.refuse(fault)
		return dropRefused
	}
	switch p.OpCode().Operation() {
	case roce.OperationSend:
		return q.execSend(p)
	case roce.OperationWrite:
		return q.execWrite(p)
	case roce.OperationReadRequest:
		return q.execRead(p)
	case roce.OperationCompareSwap, roce.OperationFetchAdd:
		return q.execAtomic(p)
	}
	q.refuse(roce.NAKInvalidRequest)
	return dropRefused
}

// checkRequest looks for what makes a request invalid by itself: its place in the message, its length, a right that the
// connection has not. 0 means that it is fine.
func (q *queuePair) checkRequest(p *Packet) roce.NAKCode {
	r, op := &q.rsp, p.OpCode()
	if !q.rules.IgnoreOpSequence {
		starts := op.StartsMessage() || op.Position() == roce.PositionNone
		if starts != (r.open == roce.OperationUnknown) || !starts && op.Operation() != r.open {
			return roce.NAKInvalidRequest
		}
	}
	switch op.Operation() {
	case roce.OperationReadRequest, roce.OperationCompareSwap, roce.OperationFetchAdd:
		if r.resources == 0 {
			return roce.NAKInvalidRequest
		}
	}
	if op.CheckPayload(len(p.Data()), q.pmtu) != nil && !q.rules.IgnoreLengths {
		return roce.NAKInvalidRequest
	}
	return 0
}

// refuse sends a fatal NAK and ends the connection.
func (q *queuePair) refuse(code roce.NAKCode) {
	r := &q.rsp
	q.answer(roce.NAKSyndrome(code), r.expected)
	q.fail(q.dev.connError(q, &refusedError{code}))
}

// execSend places one packet of a SEND in a receive.
func (q *queuePair) execSend(p *Packet) dropReason {
	r, op := &q.rsp, p.OpCode()
	if r.recv == nil {
		if r.recv = q.recv.take(); r.recv == nil {
			q.receiverNotReady()
			return dropNoReceive
		}
		r.at = 0
	}
	data := p.Data()
	if r.at+len(data) > r.recv.length {
		q.completeRecv(rdma.Completion{Status: rdma.StatusLocalLength})
		q.refuse(q.longSendCode())
		return dropRefused
	}
	if err := q.placeRecv(data); err != nil {
		q.completeRecv(rdma.Completion{Status: rdma.StatusLocalProtection})
		q.refuse(roce.NAKRemoteOperationalError)
		return dropRefused
	}
	r.at += len(data)
	r.open = roce.OperationSend
	if !op.EndsMessage() {
		q.executed(p, false)
		return delivered
	}
	done := rdma.Completion{Op: rdma.OpSend, Length: r.at}
	ext := p.Ext()
	switch {
	case op.Ext().Has(roce.ExtImmDt):
		done.Op, done.Imm = rdma.OpSendImm, be.Uint32(ext)
	case op.Ext().Has(roce.ExtIETH):
		done.Op, done.InvKey = rdma.OpSendInv, be.Uint32(ext)
		if err := q.takeBack(done.InvKey); err != nil {
			q.completeRecv(rdma.Completion{Status: rdma.StatusLocalQPOperation, Op: rdma.OpSendInv})
			q.answer(roce.NAKSyndrome(roce.NAKRemoteOperationalError), r.expected)
			q.fail(q.dev.connError(q, err))
			return dropRefused
		}
	}
	q.executed(p, true)
	q.completeRecv(done)
	return delivered
}

// takeBack takes back a key because the peer asks for it.
func (q *queuePair) takeBack(key uint32) error {
	if q.rules.KeepInvalidatedKey {
		return nil
	}
	return q.dev.mem.invalidateKey(key, q.qpn)
}

func (q *queuePair) longSendCode() roce.NAKCode {
	if q.rules.LongSendIsOperation {
		return roce.NAKRemoteOperationalError
	}
	return roce.NAKInvalidRequest
}

// placeRecv copies data of a SEND to the receive in use.
func (q *queuePair) placeRecv(data []byte) error {
	r := &q.rsp
	for i := range r.recv.spans {
		if !r.recv.spans[i].valid(rdma.LocalWrite) {
			return errLocal
		}
	}
	return scatter(r.recv.spans, r.at, data)
}

// completeRecv completes the receive in use.
func (q *queuePair) completeRecv(done rdma.Completion) {
	w := q.rsp.recv
	q.rsp.recv = nil
	done.ID, done.Recv = w.id, true
	q.cq.push(done, w.number)
}

// execWrite places one packet of a WRITE.
func (q *queuePair) execWrite(p *Packet) dropReason {
	r, op, data := &q.rsp, p.OpCode(), p.Data()
	if op.StartsMessage() {
		if code := q.openWrite(p); code != 0 {
			q.refuse(code)
			return dropRefused
		}
	}
	last := op.EndsMessage()
	if (len(data) > r.left || last != (len(data) == r.left)) && !q.rules.IgnoreLengths {
		q.refuse(roce.NAKInvalidRequest)
		return dropRefused
	}
	if op.ConsumesReceive() && r.recv == nil {
		if r.recv = q.recv.take(); r.recv == nil {
			q.receiverNotReady()
			return dropNoReceive
		}
	}
	if len(data) > 0 && r.opens.slot != nil {
		if err := r.opens.write(r.addr, data); err != nil {
			q.refuse(roce.NAKRemoteAccessError)
			return dropRefused
		}
	}
	r.open = roce.OperationWrite
	r.at += len(data)
	r.addr += uint64(len(data))
	r.left -= len(data)
	q.executed(p, last)
	if op.ConsumesReceive() {
		imm := be.Uint32(p.Ext()[op.HeaderLen()-roce.BTHLen-roce.ImmDtLen:])
		q.completeRecv(rdma.Completion{Op: rdma.OpWriteImm, Length: r.at, Imm: imm})
	}
	return delivered
}

// openWrite checks the RETH of a WRITE; 0 means that all of it may be written.
func (q *queuePair) openWrite(p *Packet) roce.NAKCode {
	r := &q.rsp
	addr, key, length := getRETH(p.Ext())
	r.opens, r.addr, r.left, r.at = grant{}, addr, int(length), 0
	if length == 0 {
		return 0
	}
	if length > roce.MaxMessageLen {
		return roce.NAKInvalidRequest
	}
	g := q.dev.mem.find(key)
	if err := g.check(q.qpn, addr, uint64(length), rdma.RemoteWrite, q.rules); err != nil {
		return roce.NAKRemoteAccessError
	}
	r.opens = g
	return 0
}

// getRETH reads an RDMA extended transport header.
func getRETH(b []byte) (addr uint64, key, length uint32) {
	return be.Uint64(b), be.Uint32(b[8:]), be.Uint32(b[12:])
}

// executed moves on by one packet and notes that it has to be acknowledged. last says that the message is complete.
func (q *queuePair) executed(p *Packet, last bool) {
	r := &q.rsp
	r.newest = r.expected
	r.expected++
	if last {
		r.open = roce.OperationUnknown
		r.countMessage(q.rules)
	}
	if !p.AckReq() {
		return
	}
	r.ackWanted, r.ackSeq = true, r.newest
	if last {
		r.ackPending++
	}
}

// countMessage advances the message sequence number.
func (r *responder) countMessage(rules *Rules) {
	if !rules.MSNStuck {
		r.msn = (r.msn + 1) & psnMask
	}
}

// execRead accepts a READ; its answer begins at once.
func (q *queuePair) execRead(p *Packet) dropReason {
	r := &q.rsp
	addr, key, length := getRETH(p.Ext())
	if length > roce.MaxMessageLen || r.activeReads() >= r.resources && !q.rules.IgnoreReadResources {
		q.refuse(roce.NAKInvalidRequest)
		return dropRefused
	}
	var g grant
	if length > 0 {
		g = q.dev.mem.find(key)
		if err := g.check(q.qpn, addr, uint64(length), rdma.RemoteRead, q.rules); err != nil {
			q.refuse(roce.NAKRemoteAccessError)
			return dropRefused
		}
	}
	first := r.expected
	r.expected += uint64(roce.Packets(length, q.pmtu))
	r.countMessage(q.rules)
	r.remember(service{first: first, end: r.expected, key: key, addr: addr, length: int(length), msn: r.msn})
	q.queueJob(job{seq: first, msn: r.msn, opens: g, addr: addr, left: int(length)})
	return delivered
}

// activeReads counts the READs whose answers are not out yet.
func (r *responder) activeReads() (n int) {
	for i := range r.jobs {
		if r.jobs[i].kind == jobRead {
			n++
		}
	}
	return n
}

func (r *responder) remember(s service) {
	r.served[r.nextServe] = s
	r.nextServe = (r.nextServe + 1) % len(r.served)
}

// execAtomic does a compare-and-swap or fetch-and-add.
func (q *queuePair) execAtomic(p *Packet) dropReason {
	r, b := &q.rsp, p.Ext()
	addr, key := be.Uint64(b), be.Uint32(b[8:])
	operand, compare := be.Uint64(b[12:]), be.Uint64(b[20:])
	if addr%8 != 0 {
		q.refuse(roce.NAKInvalidRequest)
		return dropRefused
	}
	g := q.dev.mem.find(key)
	if err := g.check(q.qpn, addr, 8, rdma.RemoteAtomic, q.rules); err != nil {
		q.refuse(roce.NAKRemoteAccessError)
		return dropRefused
	}
	original, err := g.atomic(addr, func(old uint64) uint64 {
		switch {
		case p.OpCode() == roce.RCFetchAdd:
			return old + operand
		case old == compare:
			return operand
		}
		return old
	})
	if err != nil {
		q.refuse(roce.NAKRemoteAccessError)
		return dropRefused
	}
	seq := r.expected
	r.expected++
	r.countMessage(q.rules)
	s := service{first: seq, end: seq + 1, key: key, addr: addr, length: 8, atomic: true, original: original, msn: r.msn}
	r.remember(s)
	q.answerAtomic(&s)
	return delivered
}

// outOfSequence reports a gap, once.
func (q *queuePair) outOfSequence() dropReason {
	r := &q.rsp
	if r.quiet && !q.rules.RepeatSequenceNAK || q.rules.NoSequenceNAK {
		return dropGap
	}
	r.quiet = true
	q.answer(roce.NAKSyndrome(roce.NAKSequenceError), r.expected)
	return dropGap
}

// receiverNotReady reports that a receive is missing. What follows in the same burst is dropped without a word.
func (q *queuePair) receiverNotReady() {
	if q.rules.NoRNR {
		return
	}
	q.rsp.quiet = !q.rules.NAKAfterRNR
	q.answer(roce.RNRSyndrome(q.dev.rnrCode(q.cfg)), q.rsp.expected)
}

// executeAgain is what a mutant does with a repeated request: it executes it, without moving on.
func (q *queuePair) executeAgain(p *Packet, seq uint64) {
	r := &q.rsp
	expected, newest := r.expected, r.newest
	r.expected = seq
	q.execRequest(p)
	r.expected, r.newest = expected, newest
}
