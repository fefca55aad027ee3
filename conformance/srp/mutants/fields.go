// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// srpMutations break SRP in the capture of a login, some I/O and a logout.
var srpMutations = []mutation{
	{"requested length in the wrong byte order", func(e *editor) {
		e.Alter(e.FindCM(0, roce.AttrREQ), func(p *roce.Packet) { slices.Reverse(p.Payload[reqPrivate+12 : reqPrivate+16]) })
	}, []string{"SRP-LOGIN-003 initiator"}},
	{"maximum length in the wrong byte order", func(e *editor) {
		e.Alter(e.FindCM(0, roce.AttrREP), func(p *roce.Packet) { slices.Reverse(p.Payload[repPrivate+16 : repPrivate+20]) })
	}, []string{"SRP-LOGIN-003 target"}},
	{"direct buffers are not listed", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+24, 0, 4) }, []string{"SRP-LOGIN-036"}},
	{"reserved bytes of the login", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREQ), reqPrivate+52, 1) }, []string{"SRP-LOGIN-004 initiator"}},
	{"unit longer than asked for", func(e *editor) {
		e.Set(e.FindCM(1, roce.AttrREQ), reqPrivate+12, 0, 0, 0, 64)
	}, []string{"SRP-LOGIN-009"}},
	{"unit longer than the target takes", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+16, 0, 0, 0, 64) },
		[]string{"SRP-LOGIN-010", "SRP-LOGIN-031"}},
	{"response longer than announced", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+20, 0, 0, 0, 100) }, []string{"SRP-LOGIN-012"}},
	{"tag of the login response", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+8, 1) }, []string{"SRP-LOGIN-013"}},
	{"reject without SRP_LOGIN_REJ", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREJ), 24+84, 0xC3) }, []string{"SRP-LOGIN-020"}},
	{"first login has terminated channels", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+26, 0x81) }, []string{"SRP-LOGIN-028"}},
	{"immediate data at offset 40", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREQ), reqPrivate+48, 0, 40) }, []string{"SRP-LOGIN-030"}},
	{"immediate data is not granted", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+26, 0x00) }, []string{"SRP-CMD-010"}},
	{"service id of UDP", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREQ), 24+13, 0x11) }, []string{"SRP-LOGIN-032"}},
	{"channel is kept before there is one", func(e *editor) {
		e.ConnectAgain(1, time.Second, func(b, mad []byte) { b[31]++; b[10] = 0x81 })
	}, []string{"SRP-CH-001"}},
	{"LUN of no form", func(e *editor) { e.Set(e.Find(4, isUnit(0x02)), 20, 0xFF) }, []string{"SRP-CMD-016"}},
	{"additional CDB beyond the unit", func(e *editor) { e.Set(e.Find(0, isUnit(0x02)), 31, 0xFC) },
		[]string{"SRP-CMD-002", "SRP-CMD-004 initiator"}},
	{"command without data too long", func(e *editor) {
		e.Rebuild(e.Find(0, func(p *roce.Packet) bool { return isUnit(0x02)(p) && p.Payload[5] == 0 }), func(p *roce.Packet) {
			p.Payload = append(slices.Clone(p.Payload), 0, 0, 0, 0)
		})
	}, []string{"SRP-CMD-001"}},
	{"data-out command too long", func(e *editor) {
		e.Rebuild(e.Find(0, func(p *roce.Packet) bool { return isUnit(0x02)(p) && p.Payload[5] == 0x10 }), func(p *roce.Packet) {
			p.Payload = append(slices.Clone(p.Payload), 0, 0, 0, 0)
		})
	}, []string{"SRP-CMD-003"}},
	{"data-out is not fetched", func(e *editor) {
		e.Alter(e.Find(0, func(p *roce.Packet) bool { return isUnit(0x02)(p) && p.Payload[5] == 0x10 }), func(p *roce.Packet) {
			binary.BigEndian.PutUint32(p.Payload[60:], 1<<20)
		})
	}, []string{"SRP-RSP-006"}},
	{"overflow of nothing", func(e *editor) {
		e.Alter(e.Find(0, func(p *roce.Packet) bool { return isUnit(0xC1)(p) && p.Payload[18]&0x20 != 0 }), func(p *roce.Packet) {
			p.Payload[18] = 0x10
			copy(p.Payload[24:], make([]byte, 4))
		})
	}, []string{"SRP-RSP-007"}},
	{"answer without request", func(e *editor) {
		e.Insert(e.Find(2, isUnit(0x02)), false, time.Microsecond, func(p *roce.Packet) {
			p.Payload = append([]byte{0x41, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}, []string{"SRP-CRED-006"}},
	{"two requests of the target", func(e *editor) {
		for range 2 {
			e.Insert(e.Find(2, isUnit(0xC1)), false, time.Microsecond, func(p *roce.Packet) {
				p.Payload = append([]byte{0x81, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
			})
		}
	}, []string{"SRP-CRED-013"}},
	{"data after the response", func(e *editor) {
		i := e.Find(2, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) > 0 }))
		model, _ := e.Packet(i)
		at := slices.IndexFunc(e.Frames[i:], func(f audit.Frame) bool {
			var p roce.Packet
			return p.Decode(f.Data) == nil && isUnit(0xC1)(&p)
		})
		e.Insert(i+at, false, time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.RETH, p.Payload = roce.RCWriteOnly, model.RETH, model.Payload
		})
	}, []string{"SRP-DATA-006", "SRP-RSP-014"}},
	{"tag of a response", func(e *editor) { e.Set(e.Find(3, isUnit(0xC1)), 8, 0xAA) }, []string{"SRP-CMD-014", "SRP-CMD-015"}},
	{"reserved byte of a command", func(e *editor) { e.Set(e.Find(3, isUnit(0x02)), 28, 1) }, []string{"SRP-LOGIN-004 initiator"}},
	{"request limit 1", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+4, 0, 0, 0, 1) }, []string{"SRP-CRED-001", "SRP-CRED-004"}},
	{"request limit 2", func(e *editor) { e.Set(e.FindCM(0, roce.AttrREP), repPrivate+4, 0, 0, 0, 2) }, []string{"SRP-CRED-004"}},
	{"initiator writes", func(e *editor) {
		e.Insert(e.Find(2, isUnit(0x02)), false, time.Microsecond, func(p *roce.Packet) {
			p.BTH.OpCode, p.Payload = roce.RCWriteOnly, make([]byte, 16)
			p.RETH = roce.RETH{VA: 4096, RKey: 7, DMALen: 16}
		})
	}, []string{"SRP-DATA-001"}},
	{"data beside the buffer", func(e *editor) {
		i := e.Find(2, recording.From(server, func(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCWriteOnly && len(p.Payload) > 0 }))
		e.Rebuild(i, func(p *roce.Packet) { p.RETH.VA += 1 << 30 })
	}, []string{"SRP-DATA-002", "SRP-RSP-005"}},
	{"good response too long", func(e *editor) {
		e.Rebuild(e.Find(0, func(p *roce.Packet) bool { return isUnit(0xC1)(p) && p.Payload[18] == 0 && p.Payload[19] == 0 }), func(p *roce.Packet) {
			p.Payload = append(slices.Clone(p.Payload), 0, 0, 0, 0)
		})
	}, []string{"SRP-RSP-001"}},
	{"sense without flag", func(e *editor) {
		e.Alter(e.Find(0, func(p *roce.Packet) bool { return isUnit(0xC1)(p) && p.Payload[18]&2 != 0 }), func(p *roce.Packet) { p.Payload[18] &^= 2 })
	}, []string{"SRP-RSP-002"}},
	{"residual of 0", func(e *editor) {
		e.Alter(e.Find(0, func(p *roce.Packet) bool { return isUnit(0xC1)(p) && p.Payload[18]&0x20 != 0 }), func(p *roce.Packet) { copy(p.Payload[24:], make([]byte, 4)) })
	}, []string{"SRP-RSP-005"}},
	{"task management without response data", func(e *editor) {
		e.Alter(e.Find(0, func(p *roce.Packet) bool { return isUnit(0xC1)(p) && p.Payload[18]&1 != 0 }), func(p *roce.Packet) { p.Payload[18] &^= 1 })
	}, []string{"SRP-TM-006"}},
}
