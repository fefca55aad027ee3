// SPDX-License-Identifier: Apache-2.0

package soft

import (
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// duplicate answers a request that was executed before: a SEND or WRITE is acknowledged, a READ is read again, an atomic
// gets its remembered result. What is not remembered is dropped.
func (q *queuePair) duplicate(p *Packet, seq uint64) dropReason {
	switch p.OpCode().Operation() {
	case roce.OperationSend, roce.OperationWrite:
		q.rsp.ackWanted, q.rsp.ackNow, q.rsp.ackSeq = true, true, q.rsp.newest
	case roce.OperationReadRequest:
		q.readAgain(p, seq)
	case roce.OperationCompareSwap, roce.OperationFetchAdd:
		if s := q.rsp.find(seq); s != nil && s.atomic {
			q.answerAtomic(s)
		}
	}
	return dropDuplicate
}

// find gives what is remembered of the READ or atomic that has this sequence number, nil if nothing is.
func (r *responder) find(seq uint64) *service {
	for i := range r.served {
		if s := &r.served[i]; s.first <= seq && seq < s.end {
			return s
		}
	}
	return nil
}

// readAgain reads again what lies inside a remembered READ.
func (q *queuePair) readAgain(p *Packet, seq uint64) {
	s := q.rsp.find(seq)
	addr, key, length := getRETH(p.Ext())
	if s == nil || s.atomic || !s.covers(seq, addr, key, int(length), q.pmtu) {
		return
	}
	if q.rsp.activeReads() > 2*q.rsp.resources {
		return // the answers to earlier repetitions are not out yet
	}
	var g grant
	if length > 0 {
		g = q.dev.mem.find(key)
		if err := g.check(q.qpn, addr, uint64(length), rdma.RemoteRead, q.rules); err != nil {
			q.refuse(roce.NAKRemoteAccessError)
			return
		}
	}
	q.queueJob(job{seq: seq, msn: s.msn, opens: g, addr: addr, left: int(length)})
}

// covers tells whether a request is a part of the remembered one.
func (s *service) covers(seq uint64, addr uint64, key uint32, length, pmtu int) bool {
	if key != s.key || addr < s.addr || length > s.length {
		return false
	}
	offset := addr - s.addr
	return offset <= uint64(s.length-length) && seq+uint64(roce.Packets(uint32(length), pmtu)) <= s.end
}
