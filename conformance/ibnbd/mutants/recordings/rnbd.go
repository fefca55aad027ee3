// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge/match"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

const (
	client = "10.0.0.2"
	server = "10.0.0.1"
)

var le = binary.LittleEndian

// accepts changes the two accepts of the session that is refused its device.
func accepts(change func(private []byte)) func(e *editor) {
	return func(e *editor) {
		for _, n := range []int{4, 5} {
			e.Alter(e.FindCM(n, roce.AttrREP), func(p *roce.Packet) { change(p.Payload[repPrivate:]) })
		}
	}
}

// requestOf changes the connection request of a new client; only the clause about what is changed is broken.
func requestOf(change func(private, mad []byte)) func(e *editor) {
	return func(e *editor) {
		e.ConnectAgain(0, time.Second, func(private, mad []byte) { fresh(private); change(private, mad) })
	}
}

// elsewhere has the last heartbeat that match accepts travel on the connection of the last packet before it that io accepts.
func elsewhere(match, io func(p *roce.Packet) bool) func(e *editor) {
	return func(e *editor) {
		from := e.Find(-1, match)
		model, _ := e.Packet(from)
		before := slices.DeleteFunc(e.FindAll(io), func(i int) bool { return i > from })
		if len(before) == 0 {
			e.Fail("no packet of I/O before frame %d", from)
		}
		last := before[len(before)-1]
		later := e.Frames[from].At.Sub(e.Frames[last].At)
		e.Remove(from)
		e.Insert(last, false, later, func(p *roce.Packet) {
			p.BTH.OpCode, p.RETH, p.ImmDt, p.Payload = model.BTH.OpCode, model.RETH, model.ImmDt, nil
		})
	}
}

const (
	anyRead    = 0
	anyWrite   = 1
	anyDiscard = 3
)

// rnbdMutations break IBTRS and IBNBD in the capture of two sessions, one of them with two paths.
var rnbdMutations = []mutation{
	{"service id of UDP", requestOf(func(_, mad []byte) { mad[24+13] = 0x11 }), []string{"IBTRS-CONN-002"}},
	{"overlay byte", requestOf(func(b, _ []byte) { b[0] = 1 }), []string{"IBTRS-CONN-005"}},
	{"magic", requestOf(func(b, _ []byte) { b[2]++ }), []string{"IBTRS-CONN-006"}},
	{"minor version", requestOf(func(b, _ []byte) { b[4] = 1 }), []string{"IBTRS-CONN-007"}},
	{"one connection", requestOf(func(b, _ []byte) { b[8] = 1 }), []string{"IBTRS-CONN-010"}},
	{"connection 2 after 0", func(e *editor) {
		e.ConnectAgain(0, time.Second, func(b, _ []byte) { fresh(b); b[8] = 3 })
		e.ConnectAgain(0, 2*time.Second, func(b, _ []byte) { fresh(b); b[8] = 3; b[6] = 2 })
	}, []string{"IBTRS-CONN-059"}},
	{"build begins with connection 1", requestOf(func(b, _ []byte) { b[6] = 1 }), []string{"IBTRS-CONN-008"}},
	{"other count", func(e *editor) {
		e.ConnectAgain(0, time.Second, func(b, _ []byte) { fresh(b) })
		e.ConnectAgain(0, 2*time.Second, func(b, _ []byte) { fresh(b); b[6] = 1; b[8] = 3 })
	}, []string{"IBTRS-CONN-009"}},
	{"path UUID of another path", func(e *editor) {
		rail1 := e.Find(0, func(p *roce.Packet) bool { return p.IsMAD() && p.Src.String() == "10.0.1.2" })
		p, _ := e.Packet(rail1)
		other := slices.Clone(p.Payload[reqPrivate+12 : reqPrivate+28])
		e.ConnectAgain(0, 40*time.Second, func(b, _ []byte) { copy(b[12:], other); b[10] = 2 })
	}, []string{"IBTRS-CONN-011"}},
	{"new group UUID upon reconnect", func(e *editor) {
		e.ConnectAgain(0, 40*time.Second, func(b, _ []byte) { b[28] ^= 0x55; b[10] = 2 })
	}, []string{"IBTRS-CONN-012"}},
	{"first path without flag", requestOf(func(b, _ []byte) { b[44] = 0 }), []string{"IBTRS-CONN-013"}},
	{"second connection without flag", func(e *editor) {
		e.ConnectAgain(0, time.Second, func(b, _ []byte) { fresh(b) })
		e.ConnectAgain(0, 2*time.Second, func(b, _ []byte) { fresh(b); b[6], b[44] = 1, 0 })
	}, []string{"IBTRS-CONN-063"}},
	{"an unknown flag of the request", requestOf(func(b, _ []byte) { b[44] |= 0x80 }), []string{"IBTRS-CONN-014"}},
	{"reserved bytes of the request", requestOf(func(b, _ []byte) { b[50] = 7 }), []string{"IBTRS-CONN-014"}},
	{"errno in an accept", func(e *editor) { e.Set(e.FindCM(5, roce.AttrREP), repPrivate+4, 0x98, 0xFF) }, []string{"IBTRS-CONN-015"}},
	{"other depth in the second accept", func(e *editor) { e.Set(e.FindCM(5, roce.AttrREP), repPrivate+7, 1) }, []string{"IBTRS-CONN-016"}},
	{"other depth of the second path", func(e *editor) {
		further := func(p *roce.Packet) bool { return p.IsMAD() && p.Src.String() == "10.0.1.1" }
		for n := range 2 {
			e.Set(e.Find(n, further), repPrivate+7, 1)
		}
	}, []string{"IBTRS-CONN-061"}},
	{"depth 0", accepts(func(b []byte) { b[6], b[7] = 0, 0 }), []string{"IBTRS-CONN-017"}},
	{"chunk size no power of two", accepts(func(b []byte) { b[8] = 8 }), []string{"IBTRS-CONN-018"}},
	{"chunk size too large", accepts(func(b []byte) { le.PutUint32(b[8:], 1<<20-4096) }), []string{"IBTRS-CONN-019"}},
	{"reserved bytes of an accept", func(e *editor) { e.Set(e.FindCM(4, roce.AttrREP), repPrivate+30, 1) }, []string{"IBTRS-CONN-020"}},
	{"RNR retry count of the client", requestOf(func(_, mad []byte) { mad[24+50] &^= 7 }), []string{"IBTRS-CONN-041 initiator"}},
	{"RNR retry count of the server", func(e *editor) { e.Set(e.FindCM(4, roce.AttrREP), 24+27, 0x20) }, []string{"IBTRS-CONN-041 target"}},
	{"responder resources", requestOf(func(_, mad []byte) { mad[24+35] = 4 }), []string{"IBTRS-CONN-042 initiator"}},
	{"initiator depth of the server", func(e *editor) { e.Set(e.FindCM(4, roce.AttrREP), 24+25, 4) }, []string{"IBTRS-CONN-042 target"}},
	{"retry count", requestOf(func(_, mad []byte) { mad[24+47] = mad[24+47]&^7 | 2 }), []string{"IBTRS-CONN-043"}},
	{"RDMA READ", func(e *editor) {
		e.Insert(e.Find(-1, recording.From(client, match.Request(4, anyRead))), false, time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.Payload = roce.RCReadRequest, nil
			p.RETH.DMALen = 512
		})
	}, []string{"IBTRS-CONN-044 initiator"}},

	{"name of another session on the second path", func(e *editor) {
		e.Set(e.Find(0, recording.From("10.0.1.2", infoRequest)), 2, 'g', 'o', 'l', 'f')
	}, []string{"IBNBD-OPEN-032 initiator"}},
	{"INFO request twice", func(e *editor) {
		e.Insert(e.Find(0, infoRequest), false, time.Microsecond, func(*roce.Packet) {})
	}, []string{"IBTRS-INFO-001"}},
	{"type of the INFO request", func(e *editor) { e.Set(e.Find(0, infoRequest), 0, 1) }, []string{"IBTRS-INFO-002"}},
	{"name not filled up", func(e *editor) { e.Set(e.Find(0, infoRequest), 100, 'x') }, []string{"IBTRS-INFO-003"}},
	{"regions are counted wrongly", func(e *editor) { e.Set(e.Find(2, infoResponse), 2, 0xFF, 0x01) },
		[]string{"IBTRS-INFO-004", "IBTRS-INFO-005", "IBTRS-INFO-006", "IBTRS-INFO-007"}},
	{"region length", func(e *editor) { e.Set(e.Find(2, infoResponse), 8+12+1, 1) }, []string{"IBTRS-INFO-006"}},
	{"heartbeat before INFO", func(e *editor) {
		model, _ := e.Packet(e.Find(0, recording.From(client, beat(8))))
		e.Insert(e.Find(0, infoRequest), false, time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.RETH, p.ImmDt, p.Payload = model.BTH.OpCode, model.RETH, model.ImmDt, nil
		})
	}, []string{"IBTRS-HB-002 target", "IBTRS-HB-011 initiator", "IBTRS-INFO-019"}},
	{"server speaks before INFO", func(e *editor) {
		model, _ := e.Packet(e.Find(0, recording.From(server, beat(8))))
		e.Insert(e.Find(0, infoResponse), true, -time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.RETH, p.ImmDt, p.Payload = model.BTH.OpCode, model.RETH, model.ImmDt, nil
		})
	}, []string{"IBTRS-HB-002 initiator", "IBTRS-INFO-020"}},

	{"immediate in the wrong byte order", func(e *editor) {
		i := e.Find(-1, recording.From(client, beat(8)))
		e.Rebuild(i, func(p *roce.Packet) { p.ImmDt.Value = 0x80 })
	}, []string{"IBTRS-IMM-001 initiator"}},
	{"immediate names another chunk", func(e *editor) {
		i := e.Find(-1, match.Request(5, 0))
		e.Rebuild(i, func(p *roce.Packet) { p.ImmDt.Value |= 9 << 19 })
	}, []string{"IBTRS-IMM-002"}},
	{"response twice", func(e *editor) {
		e.Insert(e.Find(0, match.Response), false, time.Microsecond, func(*roce.Packet) {})
	}, []string{"IBTRS-IMM-003"}},
	{"truncated errno", func(e *editor) {
		i := e.Find(0, func(p *roce.Packet) bool { return match.Response(p) && p.ImmDt.Value>>19&511 == 2 })
		e.Rebuild(i, func(p *roce.Packet) { p.ImmDt.Value |= 490 << 19 })
	}, []string{"IBTRS-IMM-004"}},
	{"heartbeat with a payload", func(e *editor) {
		e.Rebuild(e.Find(0, recording.From(server, beat(8))), func(p *roce.Packet) { p.ImmDt.Value++ })
	}, []string{"IBTRS-IMM-011 target"}},

	{"write beside its chunk", func(e *editor) {
		e.Rebuild(e.Find(0, match.Request(5, 0)), func(p *roce.Packet) { p.RETH.VA += 64 })
	}, []string{"IBTRS-IO-001"}},
	{"read beside its place", func(e *editor) {
		e.Rebuild(e.Find(4, match.Request(4, anyRead)), func(p *roce.Packet) { p.RETH.VA += 64 })
	}, []string{"IBTRS-IO-002"}},
	{"offset in the immediate", func(e *editor) {
		e.Rebuild(e.Find(1, match.Request(4, anyRead)), func(p *roce.Packet) { p.ImmDt.Value += 4 })
	}, []string{"IBTRS-IO-003"}},
	{"write without immediate", func(e *editor) {
		e.Insert(e.Find(4, match.Request(4, anyRead)), true, -time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.Payload = roce.RCWriteOnly, make([]byte, 512)
			p.RETH.DMALen = 512
		})
	}, []string{"IBTRS-IO-005"}},
	{"unknown flag in a read", func(e *editor) { e.Set(e.Find(4, match.Request(4, anyRead)), -20, 3) }, []string{"IBTRS-IO-006"}},
	{"read without invalidate flag", func(e *editor) { e.Set(e.Find(4, match.Request(4, anyRead)), -20, 0) },
		[]string{"IBTRS-IO-012", "IBTRS-IO-038"}},
	{"read data is not sent", func(e *editor) {
		i := e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 36 }))
		e.Remove(i)
	}, []string{"IBTRS-IO-010"}},
	{"key is not invalidated", func(e *editor) {
		e.Remove(e.Find(3, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCSendOnlyInvalidate }))
	}, []string{"IBTRS-IO-011"}},
	{"failed read brings data", func(e *editor) {
		fail := e.Find(0, func(p *roce.Packet) bool { return match.Response(p) && p.ImmDt.Value>>19&511 == 2 })
		open := e.Find(1, match.Request(2, 0))
		ask, _ := e.Packet(open)
		d, _ := ibtrs.ParseDescriptor(ask.Payload[len(ask.Payload)-16:])
		e.Insert(fail, true, -time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.Payload = roce.RCWriteOnly, make([]byte, 56)
			p.RETH = roce.RETH{VA: d.Address, RKey: d.RKey, DMALen: 56}
		})
	}, []string{"IBTRS-IO-013"}},
	{"read without room has a flag", func(e *editor) {
		i := e.Find(4, match.Request(4, anyDiscard-3))
		p, _ := e.Packet(i)
		h := slices.Clone(match.Header(p))
		h[16] = 2
		e.Rebuild(i, func(p *roce.Packet) {
			p.Payload = append(h, 3, 0, 32, 0, 1, 0, 0, 0)
			p.RETH.VA -= uint64(p.ImmDt.Value&(1<<19-1)) - 32
			p.RETH.DMALen = uint32(len(p.Payload))
			p.ImmDt.Value = p.ImmDt.Value>>19<<19 | 32
		})
	}, []string{"IBTRS-IO-007"}},
	{"more than the largest I/O", func(e *editor) {
		e.Rebuild(e.Find(1, match.Request(4, anyRead)), func(p *roce.Packet) {
			const data = ibtrs.DefaultMaxIOSize + 512
			p.RETH.VA += data - 4096
			p.ImmDt.Value += data - 4096
			p.Payload = slices.Clone(p.Payload)
			le.PutUint32(p.Payload[len(p.Payload)-4:], data)
		})
	}, []string{"IBTRS-IO-010", "IBTRS-IO-028"}},
	{"a header that has no room", func(e *editor) {
		const room, more = 288, 8
		accepts(func(b []byte) {
			le.PutUint32(b[8:], 128<<10-room)
			le.PutUint32(b[12:], room)
		})(e)
		e.Rebuild(e.Find(4, match.Request(2, 0)), func(p *roce.Packet) {
			message := slices.Clone(p.Payload[len(p.Payload)-24:])
			message[2] += more
			p.Payload = slices.Concat(p.Payload[:len(p.Payload)-24], make([]byte, more), message)
			p.RETH.DMALen += more
			p.ImmDt.Value += more
		})
	}, []string{"IBNBD-MSG-004 initiator", "IBTRS-IO-040"}},
	{"SEND responses without key refresh", accepts(func(b []byte) { b[16] = 0 }), []string{"IBTRS-IO-014"}},
	{"permit used twice", func(e *editor) {
		e.Insert(e.Find(0, match.Request(4, anyDiscard)), false, time.Microsecond, func(*roce.Packet) {})
	}, []string{"IBTRS-IO-019"}},
	{"largest write fails", func(e *editor) {
		ask := e.Find(0, func(p *roce.Packet) bool {
			return match.Request(4, anyWrite)(p) && le.Uint32(match.Header(p)[20:]) == ibtrs.DefaultMaxIOSize
		})
		i := slices.IndexFunc(e.Frames[ask:], func(f audit.Frame) bool {
			var p roce.Packet
			return p.Decode(f.Data) == nil && p.Src.String() == server && match.Response(&p)
		})
		e.Rebuild(ask+i, func(p *roce.Packet) { p.ImmDt.Value |= 22 << 19 })
	}, []string{"IBTRS-IO-027"}},
	{"read key of before", func(e *editor) {
		a, b := e.Find(10, match.Request(4, anyRead)), e.Find(11, match.Request(4, anyRead))
		p, _ := e.Packet(a)
		key := slices.Clone(p.Payload[len(p.Payload)-8 : len(p.Payload)-4])
		e.Set(b, -8, key...)
	}, []string{"IBNBD-IO-001", "IBTRS-IO-010", "IBTRS-IO-011", "IBTRS-IO-017"}},

	{"key refresh announced once", func(e *editor) { e.Set(e.FindCM(5, roce.AttrREP), repPrivate+16, 0) }, []string{"IBTRS-INV-001"}},
	{"type of the key response", func(e *editor) { e.Set(e.Find(-1, match.Response), 0, 5) }, []string{"IBTRS-INV-002"}},
	{"chunk of the key response", func(e *editor) { e.Set(e.Find(-1, match.Response), 2, 5) }, []string{"IBTRS-INV-003"}},
	{"late invalidation", func(e *editor) {
		i := e.Find(3, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCSendOnlyInvalidate })
		p, _ := e.Packet(i)
		key := p.IETH.RKey
		e.Remove(i)
		at := slices.IndexFunc(e.Frames[i:], func(f audit.Frame) bool {
			var p roce.Packet
			return p.Decode(f.Data) == nil && p.Src.String() == server && match.Response(&p)
		})
		e.Insert(i+at, false, time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.IETH.RKey, p.Payload = roce.RCSendOnlyInvalidate, key, nil
		})
	}, []string{"IBTRS-INV-006", "IBTRS-IO-011"}},
	{"key of before", func(e *editor) {
		a, b := e.Find(10, match.Request(4, anyRead)), e.Find(11, match.Request(4, anyRead))
		p, _ := e.Packet(a)
		e.Rebuild(b, func(q *roce.Packet) { q.RETH.RKey = p.RETH.RKey })
	}, []string{"IBTRS-INV-007"}},
	{"key of nobody", func(e *editor) {
		e.Rebuild(e.Find(6, match.Request(4, anyRead)), func(p *roce.Packet) { p.RETH.RKey = 0xDEADBEEF })
	}, []string{"IBTRS-MP-010"}},

	{"heartbeat out of turn", func(e *editor) {
		e.Insert(e.Find(0, recording.From(client, beat(8))), false, 1500*time.Millisecond, func(*roce.Packet) {})
	}, []string{"IBTRS-HB-001 initiator", "IBTRS-HB-002 target"}},
	{"heartbeat is not acknowledged", func(e *editor) { e.Remove(e.Find(0, recording.From(server, beat(9)))) }, []string{"IBTRS-HB-002 target"}},
	{"heartbeat of the initiator on a connection for I/O", elsewhere(recording.From(client, beat(8)), recording.From(client, match.Request(4, anyRead))),
		[]string{"IBTRS-HB-013 initiator"}},
	{"heartbeat of the target on a connection for I/O", elsewhere(recording.From(server, beat(8)), recording.From(server, match.Response)),
		[]string{"IBTRS-HB-013 target"}},
	{"heartbeat with data", func(e *editor) {
		e.Rebuild(e.Find(0, recording.From(client, beat(8))), func(p *roce.Packet) { p.Payload, p.RETH.DMALen = make([]byte, 8), 8 })
	}, []string{"IBTRS-HB-003 initiator"}},

	{"same incarnation again", func(e *editor) {
		e.ConnectAgain(0, 40*time.Second, func(b, _ []byte) {})
	}, []string{"IBTRS-PATH-004"}},
	{"first incarnation 0", requestOf(func(b, _ []byte) { b[10] = 0 }), []string{"IBTRS-PATH-005"}},
	{"first incarnation 2", requestOf(func(b, _ []byte) { b[10] = 2 }), []string{"IBTRS-PATH-005"}},

	{"I/O long after a connection was closed", func(e *editor) {
		e.Insert(e.Find(-1, recording.From(client, match.Request(4, anyRead))), false, 30*time.Second, func(*roce.Packet) {})
	}, []string{"IBTRS-IO-017", "IBTRS-MP-005", "IBTRS-PATH-003 initiator"}},

	{"OPEN without SESS_INFO", func(e *editor) {
		e.Alter(e.Find(0, match.Request(0, 0)), func(p *roce.Packet) { match.Header(p)[0] = 9 })
	}, []string{"IBNBD-MSG-001"}},
	{"SESS_INFO of version 0", func(e *editor) {
		e.Alter(e.Find(0, match.Request(0, 0)), func(p *roce.Packet) { match.Header(p)[4] = 0 })
	}, []string{"IBNBD-MSG-002 initiator", "IBNBD-MSG-003"}},
	{"answer above the version asked for", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 36 })), 4, 3)
	}, []string{"IBNBD-MSG-003"}},
	{"type of OPEN_RSP", func(e *editor) {
		e.Set(e.Find(-1, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 56 })), 0, 7)
	}, []string{"IBNBD-MSG-004 target"}},
	{"padding of an I/O message", func(e *editor) {
		e.Alter(e.Find(3, match.Request(4, anyRead)), func(p *roce.Packet) { match.Header(p)[2] = 1 })
	}, []string{"IBNBD-MSG-009 initiator"}},
	{"reserved bytes of OPEN_RSP", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 56 })), 50, 1)
	}, []string{"IBNBD-MSG-009 target", "IBNBD-MSG-014"}},

	{"device 0 is not known", func(e *editor) {
		ask := e.Find(0, match.Request(4, anyRead))
		i := slices.IndexFunc(e.Frames[ask:], func(f audit.Frame) bool {
			var p roce.Packet
			return p.Decode(f.Data) == nil && p.Src.String() == server && match.Response(&p)
		})
		e.Rebuild(ask+i, func(p *roce.Packet) { p.ImmDt.Value |= 107 << 19 })
	}, []string{"IBNBD-OPEN-014", "IBTRS-IO-013"}},
	{"logical block size 0", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 56 })), 38, 0, 0)
	}, []string{"IBNBD-OPEN-020"}},
	{"secure erase 2", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 56 })), 42, 2)
	}, []string{"IBNBD-OPEN-021"}},
	{"write of another size", func(e *editor) {
		e.Alter(e.Find(0, match.Request(4, anyWrite)), func(p *roce.Packet) { le.PutUint32(match.Header(p)[20:], 2048) })
	}, []string{"IBNBD-IO-001"}},
	{"flush as a write", func(e *editor) {
		e.Alter(e.Find(0, match.Request(4, anyDiscard)), func(p *roce.Packet) { match.Header(p)[16] = 2 })
	}, []string{"IBNBD-IO-005"}},
	{"discard of more than is allowed", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 56 })), 24, 8, 0, 0, 0)
	}, []string{"IBNBD-IO-027"}},
	{"read of more than the disk takes", func(e *editor) {
		e.Set(e.Find(0, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) == 56 })), 16, 8, 0, 0, 0)
	}, []string{"IBNBD-IO-031"}},
	{"write-same to mainline", func(e *editor) {
		e.Alter(e.Find(0, match.Request(4, anyWrite)), func(p *roce.Packet) { match.Header(p)[16] = 5 })
	}, []string{"IBNBD-COMPAT-009"}},
	{"second session of the same name", func(e *editor) {
		e.Set(e.Find(2, infoRequest), 2, 'g', 'o', 'l', 'd', 0)
	}, []string{"IBNBD-SYSFS-035"}},
}
