// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// Answers leave in the order of the requests: as long as READ responses are under way, an acknowledgement waits behind
// them, because it would tell the peer that they are lost.

// respond sends the answers that are due. It reports whether there are more for the pump. The caller holds mu.
func (q *queuePair) respond() (more bool) {
	q.ackIfDue()
	return q.runJobs(2 * burst)
}

// ackIfDue acknowledges what was received, at once or, if so configured, after more messages or some time.
func (q *queuePair) ackIfDue() {
	r, cfg := &q.rsp, &q.dev.cfg
	if !r.ackWanted {
		return
	}
	if cfg.AckDelay > 0 && !r.ackNow && r.ackPending < cfg.AckEvery {
		if r.ackAt.IsZero() {
			r.ackAt = time.Now().Add(cfg.AckDelay)
			q.arm(r.ackAt)
		}
		return
	}
	q.answer(roce.ACKSyndrome(q.dev.creditCode()), r.ackSeq)
}

// answer sends an ACK or a NAK, behind the READ responses that are under way. It covers a pending acknowledgement of what
// came before.
func (q *queuePair) answer(s roce.Syndrome, seq uint64) {
	r := &q.rsp
	if r.ackWanted && s.Class() != roce.SyndromeACK {
		r.ackWanted = false
		q.answer(roce.ACKSyndrome(q.dev.creditCode()), r.ackSeq)
	}
	r.ackWanted, r.ackNow, r.ackPending, r.ackAt = false, false, 0, time.Time{}
	if q.rules.NoAck && s.Class() == roce.SyndromeACK {
		return
	}
	q.queueJob(job{seq: seq, msn: r.msn, kind: jobAck, syndrome: s})
}

// queueJob begins an answer, at once if nothing is before it.
func (q *queuePair) queueJob(j job) {
	q.rsp.jobs = append(q.rsp.jobs, j)
	if len(q.rsp.jobs) == 1 {
		q.runJobs(2 * burst)
	}
}

// runJobs sends the packets of answers in order, at most limit. It reports whether some are left.
func (q *queuePair) runJobs(limit int) (more bool) {
	r := &q.rsp
	for n := 0; len(r.jobs) > 0; n++ {
		if n == limit {
			return true
		}
		if !q.runJob(&r.jobs[0]) {
			continue
		}
		copy(r.jobs, r.jobs[1:])
		r.jobs = r.jobs[:len(r.jobs)-1]
	}
	return false
}

// runJob sends the next packet of an answer and reports whether it was the last.
func (q *queuePair) runJob(j *job) (last bool) {
	switch j.kind {
	case jobAck:
		q.emitAck(j)
		return true
	case jobAtomic:
		q.emitAtomic(j)
		return true
	}
	return q.emitRead(j)
}

// emitAck sends an acknowledge packet.
func (q *queuePair) emitAck(j *job) {
	p := q.packet(roce.RCAcknowledge, j.seq, packetSize(roce.RCAcknowledge, 0))
	putAETH(p.Payload()[roce.BTHLen:], j.syndrome, j.msn)
	q.emit(p)
}

// putAETH writes an ACK extended transport header.
func putAETH(b []byte, s roce.Syndrome, msn uint32) { be.PutUint32(b, uint32(s)<<24|msn&psnMask) }

// readOpCodes are the opcodes of READ responses: [first to go][last to go].
var readOpCodes = [2][2]roce.OpCode{
	{roce.RCReadResponseMiddle, roce.RCReadResponseLast},
	{roce.RCReadResponseFirst, roce.RCReadResponseOnly},
}

// emitRead sends the next packet of a READ's answer. It reports whether it was the last.
func (q *queuePair) emitRead(j *job) (last bool) {
	size := min(q.pmtu, j.left)
	last = size == j.left
	op := readOpCodes[index(!j.started)][index(last)]
	p := q.packet(op, j.seq, packetSize(op, size))
	b, at := p.Payload(), roce.BTHLen
	if op.Ext().Has(roce.ExtAETH) {
		putAETH(b[at:], roce.ACKSyndrome(q.dev.creditCode()), j.msn)
		at += roce.AETHLen
	}
	if size > 0 {
		if err := j.opens.read(j.addr, b[at:at+size]); err != nil {
			p.Release()
			j.syndrome = roce.NAKSyndrome(roce.NAKRemoteAccessError)
			q.emitAck(j)
			q.rsp.jobs = q.rsp.jobs[:1]
			q.fail(q.dev.connError(q, err))
			return true
		}
	}
	q.pad(b, at+size, size)
	j.started = true
	j.seq++
	j.addr += uint64(size)
	j.left -= size
	q.emit(p)
	return last
}

// index is 1 for true.
func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// emitAtomic sends the result of an atomic.
func (q *queuePair) emitAtomic(j *job) {
	p := q.packet(roce.RCAtomicAcknowledge, j.seq, packetSize(roce.RCAtomicAcknowledge, 0))
	b := p.Payload()[roce.BTHLen:]
	putAETH(b, roce.ACKSyndrome(q.dev.creditCode()), j.msn)
	be.PutUint64(b[roce.AETHLen:], j.original)
	q.emit(p)
}

// answerAtomic queues the result of an atomic.
func (q *queuePair) answerAtomic(s *service) {
	q.queueJob(job{seq: s.first, msn: s.msn, kind: jobAtomic, original: s.original})
}
