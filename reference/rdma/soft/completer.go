// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"fmt"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// receiveResponse handles an acknowledgement or a READ response. What lies outside of [oldest unacknowledged, last sent]
// has no effect at all.
func (q *queuePair) receiveResponse(p *Packet) dropReason {
	r := &q.req
	seq := sequence(r.acked, p.PSN())
	if seq >= r.end && !(q.rules.AcceptGhostAcks && p.OpCode() == roce.RCAcknowledge) {
		return dropGhost
	}
	if seq < r.acked {
		return dropStale
	}
	if p.OpCode().Operation() == roce.OperationReadResponse {
		return q.readResponse(p, seq)
	}
	if p.OpCode() != roce.RCAcknowledge {
		return dropOpCode
	}
	q.acknowledged(roce.Syndrome(p.Ext()[0]), min(seq, r.end-1))
	return delivered
}

// acknowledged handles an ACK or a NAK about the packet seq.
func (q *queuePair) acknowledged(s roce.Syndrome, seq uint64) {
	switch s.Class() {
	case roce.SyndromeACK:
		q.ack(seq + 1)
	case roce.SyndromeRNRNAK:
		q.rnr(s, seq)
	case roce.SyndromeNAK:
		q.nak(s, seq)
	default:
		q.ack(seq)
		q.failWork(q.req.una, rdma.StatusBadResponse)
	}
}

// ack completes what precedes upTo.
func (q *queuePair) ack(upTo uint64) {
	r := &q.req
	before := r.acked
	whole := q.complete(upTo)
	if r.acked > before {
		r.progress()
	}
	if !whole {
		q.gap()
	}
	q.startRetryTimer()
}

// gap repeats from the oldest missing answer, once until there is progress; after that the timer has to do it.
func (q *queuePair) gap() {
	r := &q.req
	if r.repeated || !r.rnrAt.IsZero() {
		return
	}
	r.repeated = true
	q.dev.stats.repeats.Add(1)
	q.repeat(r.acked)
}

// rnr waits as long as the peer asks for. Neither a NAK nor the retry timer shortens the wait.
func (q *queuePair) rnr(s roce.Syndrome, seq uint64) {
	r := &q.req
	retries := r.rnrRetries
	q.ack(seq)
	if r.rnrAt.IsZero() && q.state == qpReady {
		if retries >= r.rnrLimit && r.rnrLimit >= 0 && r.rnrRetries == retries {
			q.failWork(r.una, rdma.StatusRNRRetryExceeded)
			return
		}
		r.rnrRetries++
		r.retries, r.retryAt = 0, time.Time{}
		q.dev.stats.rnrWaits.Add(1)
		r.rnrAt = time.Now().Add(s.RNRTime())
		q.arm(r.rnrAt)
	}
	if q.rules.IgnoreRNRWait {
		q.endRNRWait()
	}
}

// nakStatus is how work ends on a NAK.
var nakStatus = map[roce.NAKCode]rdma.Status{
	roce.NAKInvalidRequest:         rdma.StatusRemoteInvalid,
	roce.NAKRemoteAccessError:      rdma.StatusRemoteAccess,
	roce.NAKRemoteOperationalError: rdma.StatusRemoteOperation,
}

// nak acknowledges what precedes seq; the rest is repeated, or the connection is at its end.
func (q *queuePair) nak(s roce.Syndrome, seq uint64) {
	q.ack(seq)
	code, _ := s.NAKCode()
	if code == roce.NAKSequenceError {
		if !q.rules.IgnoreSequenceNAK {
			q.gap()
			q.startRetryTimer()
		}
		return
	}
	status, known := nakStatus[code]
	if !known {
		status = rdma.StatusBadResponse
	}
	q.failWork(q.req.una, status)
}

// readResponse places the payload of a READ response.
func (q *queuePair) readResponse(p *Packet, seq uint64) dropReason {
	w := q.firstRead()
	if w == nil {
		return dropGhost
	}
	expected := w.first + uint64(w.read)
	if seq < expected && !q.rules.AcceptAnyReadOrder {
		return dropStale
	}
	if seq > expected && !q.rules.AcceptAnyReadOrder {
		q.gap()
		q.startRetryTimer()
		return dropGap
	}
	if err := checkReadResponse(w, p, q.pmtu); err != nil && !q.rules.IgnoreLengths {
		q.ack(expected)
		q.failWork(q.req.una, rdma.StatusBadResponse)
		return dropLength
	}
	if err := scatter(w.spans, w.read*q.pmtu, p.Data()); err != nil {
		q.failWork(q.req.una, rdma.StatusLocalProtection)
		return delivered
	}
	w.read++
	q.ack(w.first + uint64(w.read))
	return delivered
}

// firstRead gives the oldest READ that is sent and not complete, nil if there is none.
func (q *queuePair) firstRead() *sendWQE {
	r := &q.req
	for i := r.una; i < r.head; i++ {
		w := r.at(i)
		if !w.sent {
			return nil
		}
		if w.op == rdma.OpRead {
			return w
		}
	}
	return nil
}

// checkReadResponse tells whether place, length and opcode of the next response of a READ fit each other. A response to
// a repeated request begins with First or Only in the middle of the READ.
func checkReadResponse(w *sendWQE, p *Packet, pmtu int) error {
	want := min(pmtu, w.length-w.read*pmtu)
	if got := len(p.Data()); got != want {
		return fmt.Errorf("READ response %d of %d has %d bytes, must have %d", w.read+1, w.packets, got, want)
	}
	if p.OpCode().EndsMessage() != (w.read == w.packets-1) {
		return fmt.Errorf("READ response %d of %d is a %s", w.read+1, w.packets, p.OpCode())
	}
	return nil
}
