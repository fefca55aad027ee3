// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge/match"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Mutations of IBTRS and IBNBD that take more than a changed byte: a path that is refused, a permit too many, silence.

// secondPath matches what belongs to the second path of session gold.
func secondPath(p *roce.Packet) bool {
	return p.Src.String() == "10.0.1.2" || p.Src.String() == "10.0.1.1"
}

// refuse has the server reject the second path of session gold; nothing follows on it.
func refuse(errno ibtrs.Errno, flag byte) func(e *editor) {
	return func(e *editor) {
		ask := e.Find(0, func(p *roce.Packet) bool { return p.IsMAD() && p.Src.String() == "10.0.1.2" })
		answer := e.Find(0, func(p *roce.Packet) bool { return p.IsMAD() && p.Src.String() == "10.0.1.1" })
		e.Drop(func(i int, p *roce.Packet) bool { return i > answer && secondPath(p) })
		e.Set(ask, reqPrivate+44, flag)
		p, _ := e.Packet(answer)
		_, message, _ := roce.DecodeCM(p.Payload)
		private, _ := ibtrs.ConnResponse{Magic: ibtrs.Magic, Version: ibtrs.Version, Errno: -int16(errno)}.AppendBinary(nil)
		e.SetCM(answer, &roce.CMRej{RemoteCommID: message.(*roce.CMRep).RemoteCommID, Reason: roce.RejConsumer}, private)
	}
}

// toQP narrows a match to packets for the queue pair that frame i is for.
func toQP(e *editor, i int, match func(p *roce.Packet) bool) func(p *roce.Packet) bool {
	model, _ := e.Packet(i)
	dst, qpn := model.Dst, model.BTH.DestQP
	return func(p *roce.Packet) bool { return p.Dst == dst && p.BTH.DestQP == qpn && match(p) }
}

// notReady has the server refuse the request of frame i for lack of a receive, time after time.
func notReady(e *editor, i, times int) {
	ack := e.FirstAfter(i, recording.From(server, recording.IsAcknowledge))
	request, _ := e.Packet(i)
	for n := range times {
		e.Repeat(ack, time.Duration(n)*150*time.Millisecond, func(p *roce.Packet) {
			p.BTH.PSN, p.AETH.Syndrome = request.BTH.PSN, roce.RNRSyndrome(1)
		})
	}
}

var moreMutations = []mutation{
	{"private data goes on behind a native request", requestOf(func(private, mad []byte) {
		mine := slices.Clone(private[:56])
		mad[24+12], mad[24+13] = 0x01, 0x3F
		clear(mad[24+140:])
		copy(mad[24+140:], mine)
		mad[24+140+60] = 1
	}), []string{"IBTRS-CONN-004"}},
	{"a further path is refused and the session used all the same", refuse(ibtrs.ENOMEM, 0), []string{"IBTRS-CONN-049"}},
	{"the session is not found although it is there", refuse(ibtrs.ENXIO, ibtrs.FirstConnection), []string{"IBTRS-CONN-028", "IBTRS-CONN-049"}},
	{"a further path is closed upon its name", func(e *editor) {
		reply := e.Find(0, func(p *roce.Packet) bool { return p.IsMAD() && p.Src.String() == "10.0.1.1" })
		info := e.Find(0, recording.From("10.0.1.2", infoRequest))
		e.Drop(func(i int, p *roce.Packet) bool { return i > info && secondPath(p) })
		e.SendCM(reply, e.Frames[info].At.Sub(e.Frames[reply].At)+10*time.Millisecond, e.DisconnectOf(reply), nil)
	}, []string{"IBTRS-INFO-013"}},
	{"a path is given up although I/O comes", func(e *editor) {
		e.Delay(e.FirstAfter(giveUp(e), recording.From(client, match.Request(5, 0))), 6*time.Second)
	}, []string{"IBTRS-HB-005 initiator"}},
	{"the server refuses the key that it gave", func(e *editor) {
		ask := e.Find(6, match.Request(4, anyRead))
		e.Rebuild(e.FirstAfter(ask, recording.From(server, recording.IsAcknowledge)), func(p *roce.Packet) {
			p.AETH.Syndrome = roce.NAKSyndrome(roce.NAKRemoteAccessError)
		})
	}, []string{"IBTRS-INV-004"}},
	{"heartbeat by SEND", func(e *editor) {
		e.Rebuild(e.Find(-1, recording.From(client, beat(8))), func(p *roce.Packet) {
			p.BTH.OpCode, p.RETH, p.Payload = roce.RCSendOnlyImm, roce.RETH{}, make([]byte, 8)
		})
	}, []string{"IBTRS-HB-003 initiator", "IBTRS-INV-012 initiator"}},
	{"answer on another connection", func(e *editor) {
		ask := e.Find(6, match.Request(4, anyRead))
		answer := e.FirstAfter(ask, recording.From(server, match.Response))
		p, _ := e.Packet(answer)
		moved := *p
		moved.Payload = slices.Clone(p.Payload)
		at := e.Frames[answer].At
		other := e.Find(1, recording.From(server, match.Response)) // the answer to OPEN, on connection 0
		e.Remove(answer)
		e.Insert(other, false, at.Sub(e.Frames[other].At), func(p *roce.Packet) { p.ImmDt, p.Payload = moved.ImmDt, moved.Payload })
	}, []string{"IBTRS-IO-008", "IBTRS-IO-019"}},
	{"more requests than permits", func(e *editor) {
		accepts(func(b []byte) { b[6], b[7] = 1, 0 })(e)
		info := e.Find(2, infoResponse)
		p, _ := e.Packet(info)
		belongs := toQP(e, info, func(q *roce.Packet) bool { return q.BTH.OpCode == roce.RCSendMiddle || q.BTH.OpCode == roce.RCSendLast })
		e.RemoveAll(belongs)
		e.Rebuild(info, func(q *roce.Packet) {
			q.BTH.OpCode, q.Payload = roce.RCSendOnly, slices.Clone(p.Payload[:24])
			q.Payload[2], q.Payload[3] = 1, 0
		})
		open := e.FirstAfter(info, recording.From(client, match.Request(2, 0)))
		e.Insert(open, false, time.Microsecond, func(*roce.Packet) {})
	}, []string{"IBTRS-IO-017", "IBTRS-IO-018", "IBTRS-IO-019"}},
	{"never ready", func(e *editor) { notReady(e, e.Find(-1, recording.From(client, match.Request(5, 0))), 17) }, []string{"IBTRS-IO-029"}},
	{"not ready for I/O", func(e *editor) {
		ask := e.Find(0, recording.From(client, match.Request(4, anyDiscard)))
		e.Delay(ask, 2*time.Second)
		notReady(e, ask, 1)
	}, []string{"IBTRS-IO-033"}},

	{"room for more than the answer to OPEN", func(e *editor) {
		e.Rebuild(e.Find(0, match.Request(2, 0)), func(p *roce.Packet) {
			p.RETH.VA += 64
			p.ImmDt.Value += 64
			p.Payload = slices.Clone(p.Payload)
			le.PutUint32(p.Payload[len(p.Payload)-4:], 56+64)
		})
	}, []string{"IBNBD-MSG-007", "IBTRS-IO-010"}},
	{"CLOSE with data", func(e *editor) {
		e.Rebuild(e.Find(0, match.Request(5, 0)), func(p *roce.Packet) {
			p.Payload = append(make([]byte, 8), p.Payload...)
			p.ImmDt.Value += 8
			p.RETH.DMALen += 8
		})
	}, []string{"IBNBD-MSG-008"}},
	{"an I/O message of a client of version 1 is refused", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 36 })), 4, 1)
		ask := e.Find(0, match.Request(4, anyWrite))
		e.Rebuild(e.FirstAfter(ask, recording.From(server, match.Response)), func(p *roce.Packet) { p.ImmDt.Value |= uint32(ibtrs.EINVAL) << 19 })
	}, []string{"IBNBD-MSG-005"}},
	{"a session without devices lives on", func(e *editor) {
		closed := e.Find(1, recording.From(client, match.Request(5, 0))) // device 1, the last of session gold
		beats := toQP(e, closed, beat(8))
		model, _ := e.Packet(e.Find(0, beats))
		answer := e.FirstAfter(closed, recording.From(server, match.Response))
		e.Delay(answer+1, 30*time.Second)
		e.Insert(closed, false, 12*time.Second, func(p *roce.Packet) {
			p.BTH.OpCode, p.RETH, p.ImmDt, p.Payload = model.BTH.OpCode, model.RETH, model.ImmDt, nil
		})
		other := e.Find(-1, recording.From("10.0.1.2", beat(9))) // its other path lives, too
		e.Insert(other, false, 13*time.Second, func(p *roce.Packet) { p.ImmDt = model.ImmDt })
	}, []string{"IBNBD-SYSFS-036 initiator"}},
}

// staticMutations break what holds only where keys are kept.
var staticMutations = []mutation{
	{"SEND as response", func(e *editor) {
		i := e.Find(2, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnlyImm && p.ImmDt.Value>>28 < 3 }))
		e.Rebuild(i, func(p *roce.Packet) { p.BTH.OpCode, p.RETH = roce.RCSendOnlyImm, roce.RETH{} })
	}, []string{"IBTRS-IO-014"}},
	{"a region too short", func(e *editor) { e.Set(e.Find(0, recording.From(server, staticInfo)), 8+12, 0, 0, 2, 0) }, []string{"IBTRS-INFO-006"}},
	{"no region", func(e *editor) {
		e.Rebuild(e.Find(0, recording.From(server, staticInfo)), func(p *roce.Packet) {
			p.Payload = slices.Clone(p.Payload[:8])
			p.Payload[2] = 0
		})
	}, []string{"IBTRS-INFO-005"}},
	{"write beside its chunk", func(e *editor) {
		e.Rebuild(e.Find(0, func(p *roce.Packet) bool { return p.Src.String() == client && p.BTH.OpCode == roce.RCWriteFirst }),
			func(p *roce.Packet) { p.RETH.VA += 64 })
	}, []string{"IBTRS-IO-001"}},
	{"key of nobody", func(e *editor) {
		e.Rebuild(e.Find(2, match.Request(4, anyRead)), func(p *roce.Packet) { p.RETH.RKey++ })
	}, []string{"IBTRS-MP-010"}},
	{"read is not invalidated", func(e *editor) {
		e.RemoveAll(recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCSendOnlyInvalidate }))
	}, []string{"IBTRS-IO-011"}},
	{"data of a read that failed", func(e *editor) {
		fail := e.Find(0, recording.From(server, func(p *roce.Packet) bool {
			return p.BTH.OpCode == roce.RCWriteOnlyImm && p.ImmDt.Value>>19&511 == uint32(ibtrs.EIO)
		}))
		ask := e.FindAll(recording.From(client, match.Request(4, anyRead)))
		last := ask[0]
		for _, i := range ask {
			if i < fail {
				last = i
			}
		}
		p, _ := e.Packet(last)
		d, _ := ibtrs.ParseDescriptor(p.Payload[len(p.Payload)-16:])
		e.Insert(fail, true, -time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.ImmDt, p.Payload = roce.RCWriteOnly, roce.ImmDt{}, make([]byte, 512)
			p.RETH = roce.RETH{VA: d.Address, RKey: d.RKey, DMALen: 512}
		})
	}, []string{"IBTRS-IO-013"}},
}

func staticInfo(p *roce.Packet) bool {
	return p.BTH.OpCode == roce.RCSendOnly && len(p.Payload) == 24 && p.Payload[0] == ibtrs.TypeInfoResponse
}

// failoverMutations break what holds when a path is lost.
var failoverMutations = []mutation{
	{"another request with the permit of a lost path", func(e *editor) {
		lost := e.FindCM(0, roce.AttrDREQ)
		again := e.FirstAfter(lost, recording.From("10.0.1.2", func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteLastImm }))
		e.Alter(again, func(p *roce.Packet) { match.Header(p)[8] ^= 1 })
		// The old path still says something, so that nothing is missing that would explain it.
		data := e.FindAll(recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCSendOnlyImm }))
		for _, i := range slices.Backward(data) {
			if i < lost {
				e.Insert(i, false, e.Frames[again].At.Sub(e.Frames[i].At)+time.Millisecond, func(p *roce.Packet) {
					p.BTH.OpCode, p.ImmDt, p.Payload = roce.RCWriteOnly, roce.ImmDt{}, make([]byte, 16)
					p.RETH = roce.RETH{VA: 4096, RKey: 7, DMALen: 16}
				})
				return
			}
		}
	}, []string{"IBTRS-PATH-012"}},
}

// returnMutations break what holds when a session comes back.
var returnMutations = []mutation{
	{"a device is used that was not opened again", func(e *editor) {
		e.Alter(e.Find(1, match.Request(2, 0)), func(p *roce.Packet) { match.Header(p)[0] = 9 })
	}, []string{"IBNBD-FAIL-002"}},
	{"OPEN without a second SESS_INFO", func(e *editor) {
		e.Alter(e.Find(1, match.Request(0, 0)), func(p *roce.Packet) { match.Header(p)[0] = 9 })
	}, []string{"IBNBD-MSG-020"}},
	{"a path that was lost is asked for as one of a session that is there", func(e *editor) {
		e.Set(e.Find(0, func(p *roce.Packet) bool {
			return p.IsMAD() && p.Src.String() == client && len(p.Payload) > reqPrivate+44 && p.Payload[reqPrivate+2] == 0xBD && p.Payload[reqPrivate+10] == 2
		}), reqPrivate+44, 0)
	}, []string{"IBTRS-CONN-058"}},
}

// turnsMutations break what holds when two paths carry requests in turn.
var turnsMutations = []mutation{
	{"a permit on two paths at once", func(e *editor) {
		// A read of the second rail comes a moment before the answer that has freed its permit came on the first.
		answers := e.FindAll(recording.From(server, match.Response))
		for _, read := range e.FindAll(recording.From("10.0.1.2", match.Request(4, anyRead))) {
			if answer, found := freed(e, read, answers); found {
				e.Move(read, e.Frames[answer].At.Add(-time.Microsecond))
				return
			}
		}
		e.Fail("no permit goes from the first rail to the second")
	}, []string{"IBTRS-IO-019"}},
}

// freed finds the answer that came last before a request and freed its permit, if nothing of the request's side lies between.
func freed(e *editor, request int, answers []int) (int, bool) {
	asks, _ := e.Packet(request)
	at, _ := slices.BinarySearch(answers, request)
	if at == 0 {
		return 0, false
	}
	last := answers[at-1]
	for i := last; i < request; i++ {
		if p, ok := e.Packet(i); ok && p.Src == asks.Src {
			return 0, false
		}
	}
	answer, _ := e.Packet(last)
	permit, _, _, _ := ibtrs.Immediate(answer.ImmDt.Value).Response()
	return last, permit == ibtrs.Immediate(asks.ImmDt.Value).Payload()>>19
}

// giveUp lets the initiator send one heartbeat, which is not acknowledged. Behind 31 s of silence the target answers two CLOSE, and
// the initiator gives the path up some milliseconds later. It gives the frame of the first CLOSE.
func giveUp(e *editor) int {
	first := e.Find(0, recording.From(client, beat(8)))
	mine, theirs := toQP(e, first, beat(8)), recording.From(server, beat(9))
	ack := e.Find(0, theirs)
	toClient := toQP(e, ack, func(p *roce.Packet) bool { return beat(8)(p) || beat(9)(p) })
	kept, _ := e.Packet(first)
	psn := kept.BTH.PSN
	e.RemoveAll(func(p *roce.Packet) bool { return mine(p) && p.BTH.PSN != psn })
	e.RemoveAll(toQP(e, first, beat(9)))
	e.RemoveAll(toClient)
	last := e.Find(0, recording.From(client, match.Request(5, 0)))
	e.Delay(last, 31*time.Second)
	return last
}
