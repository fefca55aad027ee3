// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// qpState is the state of a queue pair, as far as it matters here.
type qpState uint8

const (
	qpInit    qpState = iota // receives may be posted
	qpReady                  // ready to receive and to send
	qpError                  // everything is flushed, nothing is answered
	qpRemoved                // the connection was closed; no buffer is touched any more
)

// burst is how many packets a queue pair makes before they are handed to the link.
const burst = 32

// queuePair is one end of a reliable connection: a requester, a responder, and their queues. mu guards all of it but
// the completion queue, which has a lock of its own, below this one.
type queuePair struct {
	dev   *Device
	qpn   uint32
	rules *Rules
	cfg   rdma.ConnConfig
	cq    *completionQueue

	mu        sync.Mutex
	state     qpState
	remoteQPN uint32
	peer      netip.Addr
	flow      flow
	pmtu      int
	out       []*Packet // made, and not yet handed to the link
	req       requester
	rsp       responder
	recv      recvQueue

	timer   *time.Timer
	timerAt time.Time // when it fires; zero while it does not run

	err  error
	lost chan struct{} // closed with state qpError

	heard   bool // a request of the peer has come
	pumping bool // in the pump's list
}

// newQueuePair makes a queue pair in state qpInit.
func newQueuePair(d *Device, qpn uint32, cfg rdma.ConnConfig) *queuePair {
	q := &queuePair{
		dev: d, qpn: qpn, rules: &d.cfg.Rules, cfg: cfg,
		cq:   newCompletionQueue(cfg.SendQueue + cfg.RecvQueue),
		lost: make(chan struct{}),
	}
	q.req.init(cfg)
	q.recv.init(cfg)
	return q
}

// wiring is what two sides have agreed on.
type wiring struct {
	remoteQPN          uint32
	peer               netip.Addr
	pmtu               int
	sendPSN, recvPSN   roce.PSN
	initiatorDepth     int
	responderResources int
	retryCount         int
	rnrRetryCount      int
	ackTimeout         uint8
	sourcePort         uint16
	tos, ttl           uint8
}

// start takes the queue pair to qpReady.
func (q *queuePair) start(w wiring) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != qpInit {
		return
	}
	q.state = qpReady
	q.remoteQPN, q.peer, q.pmtu = w.remoteQPN, w.peer, w.pmtu
	q.flow = newFlow(q.dev.Addr(), w.peer, w.sourcePort, w.tos, w.ttl)
	q.req.start(w, q.dev.cfg.Window)
	q.rsp.start(w)
}

// receive handles a packet that is well-formed, with a good ICRC, and addressed to this queue pair. The caller holds mu.
func (q *queuePair) receive(p *Packet) dropReason {
	op := p.OpCode()
	switch {
	case q.state == qpInit || q.state == qpRemoved:
		return dropNotReady
	case q.state == qpError && !q.rules.AnswerAfterError:
		return dropError
	case op.Class() != roce.ClassRC:
		return dropOpCode
	case p.Src() != q.peer && !q.rules.IgnorePeerAddr:
		return dropPeer
	}
	switch {
	case op.IsRequest():
		q.heard = true
		return q.receiveRequest(p)
	case op.IsResponse():
		return q.receiveResponse(p)
	}
	return dropOpCode
}

// serve does what is due after packets have been received or work was posted: acknowledge, answer READs, transmit. It
// reports whether there are answers left for the pump to send. The caller holds mu.
func (q *queuePair) serve() (more bool) {
	if q.state != qpReady {
		q.flushOut()
		return false
	}
	more = q.respond()
	q.transmit()
	q.flushOut()
	return more
}

// emit queues a packet; the caller has filled it but for the ICRC.
func (q *queuePair) emit(p *Packet) {
	q.out = append(q.out, p)
	if len(q.out) >= burst {
		q.flushOut()
	}
}

// flushOut hands the queued packets to the link.
func (q *queuePair) flushOut() {
	if len(q.out) == 0 {
		return
	}
	q.dev.send(q.out)
	q.out = q.out[:0]
}

// packet starts a packet to the peer with a UDP payload of n bytes, of which the base transport header is written.
func (q *queuePair) packet(op roce.OpCode, psn uint64, n int) *Packet {
	p := q.flow.start(n)
	b := p.Payload()
	be.PutUint32(b, uint32(op)<<24|uint32(roce.DefaultPKey))
	be.PutUint32(b[4:], q.remoteQPN)
	be.PutUint32(b[8:], uint32(psn)&psnMask)
	return p
}

// pad writes the pad count and the pad bytes for size bytes of data that end at b[at].
func (q *queuePair) pad(b []byte, at, size int) {
	n := -size & 3
	b[1] |= byte(n) << 4
	for i := range n {
		b[at+i] = 0
		if q.rules.NonzeroPad {
			b[at+i] = 0xFF
		}
	}
}

// packetSize is the UDP payload of a packet with these headers and this much data.
func packetSize(op roce.OpCode, data int) int {
	return op.HeaderLen() + (data+3)&^3 + roce.ICRCLen
}

// fail takes the queue pair to qpError: everything posted is flushed. The caller holds mu.
func (q *queuePair) fail(err error) {
	if q.state == qpError || q.state == qpRemoved {
		return
	}
	q.state = qpError
	q.err = err
	q.stopTimer()
	q.flushOut()
	q.req.flush(q)
	q.recv.flush(q)
	close(q.lost)
	q.cq.end(err) // from here on Poll tells it
}

// disconnect is fail for callers that do not hold mu. What was received is acknowledged first.
func (q *queuePair) disconnect(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastWords()
	q.fail(err)
}

// remove is the end of the queue pair: afterwards no buffer is touched.
func (q *queuePair) remove() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lastWords()
	q.fail(errConnClosed)
	q.state = qpRemoved
	q.cq.discard(errConnClosed)
}

// lastWords acknowledges what was received, so that the peer's last work completes.
func (q *queuePair) lastWords() {
	if q.state == qpReady {
		q.respond()
		q.flushOut()
	}
}

var errConnClosed = fmt.Errorf("connection %w", rdma.ErrClosed)

// cause is why the queue pair failed, nil while it lives.
func (q *queuePair) cause() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// postSend posts a chain of work: all of it or nothing.
func (q *queuePair) postSend(work []rdma.SendWR) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != qpReady {
		return q.notReady()
	}
	r := &q.req
	if r.head+uint64(len(work))-q.cq.sendFree.Load() > uint64(q.cfg.SendQueue) {
		return rdma.ErrQueueFull
	}
	for i := range work {
		if err := r.at(r.head+uint64(i)).fill(q, &work[i]); err != nil {
			return fmt.Errorf("work request %d of %d: %w", i+1, len(work), err)
		}
	}
	for i := range work {
		if w := r.at(r.head + uint64(i)); w.op == rdma.OpBind {
			w.bindKey = w.window.advance()
		}
	}
	r.head += uint64(len(work))
	q.transmit()
	q.flushOut()
	return nil
}

func (q *queuePair) notReady() error {
	if q.err != nil {
		return q.err
	}
	return errors.New("the connection is not established")
}

// postRecv posts a chain of receives: all of it or nothing.
func (q *queuePair) postRecv(work []rdma.RecvWR) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != qpReady && q.state != qpInit {
		return q.notReady()
	}
	r := &q.recv
	if r.head+uint64(len(work))-q.cq.recvFree.Load() > uint64(q.cfg.RecvQueue) {
		return rdma.ErrQueueFull
	}
	for i := range work {
		w, err := r.at(r.head+uint64(i)), error(nil)
		w.spans, w.length, err = q.dev.fillSpans(w.spans, work[i].Local, q.cfg.RecvSGE)
		if err != nil {
			return fmt.Errorf("receive %d of %d: %w", i+1, len(work), err)
		}
		w.id, w.number = work[i].ID, r.head+uint64(i)
	}
	r.head += uint64(len(work))
	return nil
}

// recvQueue is the queue of receives.
type recvQueue struct {
	ring       []recvWQE
	head, next uint64 // posted and used
}

func (r *recvQueue) init(cfg rdma.ConnConfig) {
	r.ring = make([]recvWQE, cfg.RecvQueue)
	spans := make([]span, cfg.RecvQueue*cfg.RecvSGE)
	for i := range r.ring {
		r.ring[i].spans = spans[i*cfg.RecvSGE : i*cfg.RecvSGE : (i+1)*cfg.RecvSGE]
	}
}

func (r *recvQueue) at(number uint64) *recvWQE { return &r.ring[number%uint64(len(r.ring))] }

// take gives the next receive, nil if there is none.
func (r *recvQueue) take() *recvWQE {
	if r.next == r.head {
		return nil
	}
	r.next++
	return r.at(r.next - 1)
}

// flush completes all receives as flushed, the one in use first.
func (r *recvQueue) flush(q *queuePair) {
	if w := q.rsp.recv; w != nil {
		q.rsp.recv = nil
		q.cq.push(rdma.Completion{ID: w.id, Status: rdma.StatusFlushed, Recv: true}, w.number)
	}
	for w := r.take(); w != nil; w = r.take() {
		q.cq.push(rdma.Completion{ID: w.id, Status: rdma.StatusFlushed, Recv: true}, w.number)
	}
}
