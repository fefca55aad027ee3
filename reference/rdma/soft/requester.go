// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// requester is the sending half of a queue pair. Sequence numbers are counted in 64 bits; the low 24 are the PSN on the
// wire, so that older and newer is plain comparison.
//
//	una ............ next ............ head      numbers of work requests in the ring
//	  not completed    not yet transmitted
//
//	acked .......... cursor .......... end       sequence numbers
//	  in flight        to be repeated     first that was never sent
type requester struct {
	ring            []sendWQE
	una, next, head uint64
	packet          int // packets of work request next that are transmitted

	acked, cursor, end uint64

	window     int
	depth      int // READs that may be outstanding
	reads      int // READs in flight: transmitted, not complete
	sinceAsked int // packets since the last that asked for an acknowledgement

	period     time.Duration // of the retry timer; 0 when it is off
	retryLimit int           // -1 is infinite
	retries    int
	retryAt    time.Time // zero while nothing is in flight
	rnrLimit   int       // -1 is infinite
	rnrRetries int
	rnrAt      time.Time // end of the wait that the peer asked for; zero when there is none
	repeated   bool      // the peer's NAK, or a gap, has been answered by a repetition, and no progress was made since
}

// askEvery is after how many packets without one the requester asks for an acknowledgement.
const askEvery = 64

func (r *requester) init(cfg rdma.ConnConfig) {
	r.ring = make([]sendWQE, cfg.SendQueue)
	spans := make([]span, cfg.SendQueue*cfg.SendSGE)
	for i := range r.ring {
		r.ring[i].spans = spans[i*cfg.SendSGE : i*cfg.SendSGE : (i+1)*cfg.SendSGE]
	}
}

func (r *requester) start(w wiring, window int) {
	first := firstSequence(w.sendPSN)
	r.acked, r.cursor, r.end = first, first, first
	r.window, r.depth = window, w.initiatorDepth
	r.period = roce.ACKTimeout(w.ackTimeout)
	r.retryLimit, r.rnrLimit = w.retryCount, w.rnrRetryCount
	if r.rnrLimit == 7 {
		r.rnrLimit = -1
	}
}

// firstSequence is the 64-bit sequence number of a first PSN: one round up, so that what lies before it is no negative
// number.
func firstSequence(psn roce.PSN) uint64 { return 1<<24 | uint64(psn) }

// sequence is the 64-bit sequence number, near another one, whose PSN is psn.
func sequence(near uint64, psn roce.PSN) uint64 {
	return uint64(int64(near) + int64(psn.Sub(roce.PSN(near&psnMask))))
}

func (r *requester) at(number uint64) *sendWQE { return &r.ring[number%uint64(len(r.ring))] }

// transmit sends what is posted as far as window, READ depth, fences and waits allow. The caller holds mu.
func (q *queuePair) transmit() {
	r := &q.req
	if q.state != qpReady || !r.rnrAt.IsZero() && !q.rules.IgnoreRNRWait {
		return
	}
	for r.next < r.head {
		w := r.at(r.next)
		if !q.mayTransmit(w) {
			break
		}
		if w.local() {
			q.execute(w)
			continue
		}
		if !q.transmitPacket(w) {
			return
		}
	}
	q.startRetryTimer()
}

// mayTransmit tells whether nothing holds back the next packet of w.
func (q *queuePair) mayTransmit(w *sendWQE) bool {
	r := &q.req
	if r.packet == 0 && w.fence && r.reads > 0 {
		return false
	}
	if w.local() {
		return true
	}
	if w.op == rdma.OpRead && r.reads >= r.depth && !q.rules.IgnoreReadDepth {
		return false
	}
	return int(r.cursor-r.acked) < r.window || q.rules.IgnoreWindow
}

// execute does a local operation and moves on.
func (q *queuePair) execute(w *sendWQE) {
	r := &q.req
	if !w.sent {
		w.sent = true
		if status := q.runLocal(w); status != rdma.StatusSuccess {
			q.failWork(r.next, status)
			return
		}
	}
	r.next++
	q.complete(r.acked)
}

func (q *queuePair) runLocal(w *sendWQE) rdma.Status {
	m := &q.dev.mem
	if w.op == rdma.OpBind {
		if err := m.bind(w.window, w.bindKey, q.qpn, q.dev.localRegion(w.bind.Region), &w.bind); err != nil {
			return rdma.StatusBindError
		}
		return rdma.StatusSuccess
	}
	if err := m.invalidate(w.window, q.qpn); err != nil {
		return rdma.StatusLocalQPOperation
	}
	return rdma.StatusSuccess
}

// transmitPacket sends the next packet of w and moves the cursor. It reports false when the queue pair failed.
func (q *queuePair) transmitPacket(w *sendWQE) bool {
	r := &q.req
	if !w.sent {
		q.begin(w)
	}
	var p *Packet
	if w.op == rdma.OpRead {
		p = q.readRequest(w)
	} else {
		p = q.dataPacket(w, r.packet)
	}
	if p == nil {
		q.failWork(r.next, rdma.StatusLocalProtection)
		return false
	}
	q.emit(p)
	if w.op == rdma.OpRead {
		r.reads++
		r.cursor, r.packet = w.end(), w.packets
	} else {
		r.cursor++
		r.packet++
	}
	r.end = max(r.end, r.cursor)
	if r.packet == w.packets {
		r.next++
		r.packet = 0
	}
	return true
}

// begin gives w its sequence numbers.
func (q *queuePair) begin(w *sendWQE) {
	r := &q.req
	if q.rules.SkipPSN {
		r.end++
		r.cursor = r.end
	}
	w.sent, w.first = true, r.end
	w.packets = roce.Packets(uint32(w.length), q.pmtu)
}

// sendOpCodes are the opcodes of a message by operation and place: only, first, middle, last.
var sendOpCodes = [...][4]roce.OpCode{
	rdma.OpSend:     {roce.RCSendOnly, roce.RCSendFirst, roce.RCSendMiddle, roce.RCSendLast},
	rdma.OpSendImm:  {roce.RCSendOnlyImm, roce.RCSendFirst, roce.RCSendMiddle, roce.RCSendLastImm},
	rdma.OpSendInv:  {roce.RCSendOnlyInvalidate, roce.RCSendFirst, roce.RCSendMiddle, roce.RCSendLastInvalidate},
	rdma.OpWrite:    {roce.RCWriteOnly, roce.RCWriteFirst, roce.RCWriteMiddle, roce.RCWriteLast},
	rdma.OpWriteImm: {roce.RCWriteOnlyImm, roce.RCWriteFirst, roce.RCWriteMiddle, roce.RCWriteLastImm},
}

// place is the index into sendOpCodes of packet i of n.
func place(i, n int) int {
	switch {
	case n == 1:
		return 0
	case i == 0:
		return 1
	case i == n-1:
		return 3
	}
	return 2
}

// dataPacket makes packet i of a SEND or WRITE; nil when its memory cannot be read.
func (q *queuePair) dataPacket(w *sendWQE, i int) *Packet {
	from := i * q.pmtu
	size := min(q.pmtu, w.length-from)
	op := sendOpCodes[w.op][place(i, w.packets)]
	p := q.packet(op, w.first+uint64(i), packetSize(op, size))
	b := p.Payload()
	at := roce.BTHLen
	if op.Ext().Has(roce.ExtRETH) {
		putRETH(b[at:], w.remoteAddr, w.remoteKey, w.length)
		at += roce.RETHLen
	}
	if op.Ext().Has(roce.ExtImmDt) {
		be.PutUint32(b[at:], w.imm)
		at += roce.ImmDtLen
	}
	if op.Ext().Has(roce.ExtIETH) {
		be.PutUint32(b[at:], w.remoteKey)
		at += roce.IETHLen
	}
	for i := range w.spans {
		if !w.spans[i].valid(0) {
			p.Release()
			return nil
		}
	}
	if err := gather(w.spans, from, b[at:at+size]); err != nil {
		p.Release()
		return nil
	}
	q.pad(b, at+size, size)
	q.ask(p, i == w.packets-1)
	return p
}

// ask sets the acknowledge request on the last packet of a message, and on others now and then.
func (q *queuePair) ask(p *Packet, last bool) {
	r := &q.req
	r.sinceAsked++
	if (last || r.sinceAsked >= askEvery) && !q.rules.NoAckReq {
		p.SetAckReq(true)
		r.sinceAsked = 0
	}
}

// readRequest asks for what is still missing of a READ; nil when its memory cannot be written.
func (q *queuePair) readRequest(w *sendWQE) *Packet {
	for i := range w.spans {
		if !w.spans[i].valid(rdma.LocalWrite) {
			return nil
		}
	}
	done := w.read * q.pmtu
	p := q.packet(roce.RCReadRequest, w.first+uint64(w.read), packetSize(roce.RCReadRequest, 0))
	putRETH(p.Payload()[roce.BTHLen:], w.remoteAddr+uint64(done), w.remoteKey, w.length-done)
	p.SetAckReq(!q.rules.NoAckReq)
	return p
}

// putRETH writes an RDMA extended transport header.
func putRETH(b []byte, addr uint64, key uint32, length int) {
	be.PutUint64(b, addr)
	be.PutUint32(b[8:], key)
	be.PutUint32(b[12:], uint32(length))
}

// complete completes work that the peer has acknowledged up to, and not including, sequence number upTo. It reports
// false when a READ stands in the way whose answer is missing although the peer is past it.
func (q *queuePair) complete(upTo uint64) bool {
	r := &q.req
	whole := true
	for r.una < r.head {
		w := r.at(r.una)
		if !w.sent {
			break
		}
		if w.op == rdma.OpRead && w.read < w.packets {
			whole = upTo <= w.first+uint64(w.read)
			upTo = min(upTo, w.first+uint64(w.read))
			break
		}
		if !w.local() && w.end() > upTo {
			break
		}
		q.completeWork(w, rdma.StatusSuccess)
	}
	if upTo > r.acked {
		r.acked = upTo
	}
	if r.next < r.una || r.cursor < r.acked {
		q.rewind(r.acked)
	}
	return whole
}

// completeWork takes the oldest work off the queue.
func (q *queuePair) completeWork(w *sendWQE, status rdma.Status) {
	r := &q.req
	if w.op == rdma.OpRead && r.una < r.next && r.reads > 0 {
		r.reads--
	}
	if w.signaled || status != rdma.StatusSuccess {
		done := rdma.Completion{ID: w.id, Op: w.op, Status: status}
		if w.op == rdma.OpRead && status == rdma.StatusSuccess {
			done.Length = w.length
		}
		q.cq.push(done, r.una)
	}
	r.una++
}

// rewind moves the cursor so that the packet with this sequence number is sent next.
func (q *queuePair) rewind(seq uint64) {
	r := &q.req
	r.cursor, r.next, r.packet, r.reads = seq, r.una, 0, 0
	for ; r.next < r.head; r.next++ {
		w := r.at(r.next)
		if !w.sent {
			return
		}
		if w.local() || w.end() <= seq {
			if w.op == rdma.OpRead {
				r.reads++
			}
			continue
		}
		if w.op != rdma.OpRead && seq > w.first {
			r.packet = int(seq - w.first)
		}
		return
	}
}

// progress notes that the peer answers.
func (r *requester) progress() {
	r.retries, r.rnrRetries, r.repeated = 0, 0, false
	r.retryAt = time.Time{}
}

// startRetryTimer sets the retry deadline if something is in flight and none is set.
func (q *queuePair) startRetryTimer() {
	r := &q.req
	if r.acked == r.end || q.state != qpReady {
		r.retryAt = time.Time{}
		return
	}
	if r.period == 0 || !r.retryAt.IsZero() || q.rules.NoTimeout {
		return
	}
	r.retryAt = time.Now().Add(r.period)
	q.arm(r.retryAt)
}

// repeat transmits again from a sequence number on.
func (q *queuePair) repeat(seq uint64) {
	if !q.rules.NoRetransmit {
		q.rewind(seq)
	}
}

// retryTimeout repeats what is not acknowledged, or gives up.
func (q *queuePair) retryTimeout(now time.Time) {
	r := &q.req
	r.retryAt = time.Time{}
	if r.acked == r.end {
		return
	}
	if !r.rnrAt.IsZero() {
		r.retryAt = r.rnrAt.Add(r.period)
		return
	}
	infinite := r.retryLimit == 7 && q.rules.UnlimitedSevenRetries
	if r.retries >= r.retryLimit && !infinite {
		q.failWork(r.una, rdma.StatusRetryExceeded)
		return
	}
	r.retries++
	r.repeated = true
	q.dev.stats.timeouts.Add(1)
	q.repeat(r.acked)
	r.retryAt = now.Add(r.period)
}

// endRNRWait goes on after a wait that the peer asked for.
func (q *queuePair) endRNRWait() {
	q.req.rnrAt = time.Time{}
	q.repeat(q.req.acked)
}

// failWork completes work with an error, flushes all other work and ends the connection.
func (q *queuePair) failWork(number uint64, status rdma.Status) {
	r := &q.req
	for r.una < number {
		q.completeWork(r.at(r.una), rdma.StatusFlushed)
	}
	err := &rdma.WorkError{Status: status}
	if r.una < r.head {
		w := r.at(r.una)
		err.Op = w.op
		q.completeWork(w, status)
	}
	q.fail(q.dev.connError(q, err))
}

// flush completes all work as flushed.
func (r *requester) flush(q *queuePair) {
	for r.una < r.head {
		q.completeWork(r.at(r.una), rdma.StatusFlushed)
	}
	r.retryAt, r.rnrAt = time.Time{}, time.Time{}
}
