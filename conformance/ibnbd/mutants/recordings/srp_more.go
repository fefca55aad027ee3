// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/reference/roce"
	"github.com/ibnbd/ibnbd/reference/srp"
)

// Mutations of SRP that take more than a changed byte: task management, logouts, other channels, logins that overlap.

// abort makes a unit that aborts the command of a unit.
func abort(command []byte, lun srp.LUN) []byte {
	b, err := srp.TskMgmt{
		Type: srp.TypeTskMgmt, Tag: srp.Tag{0xAB, 0xCD}, LUN: lun, Function: srp.AbortTask, ManagedTag: srp.Tag(command[8:16]),
	}.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// answerTo makes an SRP_RSP for a tag, with response data if it is for task management.
func answerTo(tag srp.Tag, management bool) []byte {
	b := make([]byte, srp.RspSize, srp.RspSize+srp.ResponseDataSize)
	b[0] = srp.TypeRsp
	copy(b[8:], tag[:])
	if management {
		b[18] = byte(srp.RspValid)
		binary.BigEndian.PutUint32(b[32:], srp.ResponseDataSize)
		b = b[:cap(b)]
	}
	return b
}

// unitOf returns the information unit of frame i.
func (e *editor) unitOf(i int) []byte {
	p, _ := e.packet(i)
	return slices.Clone(p.Payload)
}

var moreSRPMutations = []mutation{
	{"login request of another type", func(e *editor) { e.set(e.cm(1, roce.AttrREQ), reqPrivate+11, 0x0F) }, []string{"SRP-LOGIN-001"}},
	{"a long command block without its rest", func(e *editor) {
		i := e.find(4, srpUnit(srp.TypeCmd))
		e.set(i, 32, 0x7F)
		e.set(i, 39, 24)
	}, []string{"SRP-CMD-005 initiator"}},
	{"not ready for what it gave credit for", func(e *editor) {
		ask := e.find(5, srpUnit(srp.TypeCmd))
		ack := e.firstAfter(ask, from(server, acknowledge))
		p, _ := e.packet(ask)
		e.repeat(ack, 0, func(q *roce.Packet) { q.BTH.PSN, q.AETH.Syndrome = p.BTH.PSN, roce.RNRSyndrome(1) })
	}, []string{"SRP-CRED-002"}},
	{"SRP_AER_RSP to nothing", func(e *editor) {
		e.insert(e.find(2, srpUnit(srp.TypeCmd)), false, time.Microsecond, func(p *roce.Packet) {
			p.Payload = append([]byte{srp.TypeAERRsp, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}, []string{"SRP-CRED-007"}},
	{"more READs than granted", func(e *editor) { e.set(e.cm(1, roce.AttrREQ), 24+35, 1) }, []string{"SRP-DATA-003"}},
	{"an answer after the logout", func(e *editor) {
		last := e.find(-1, func(p *roce.Packet) bool { return srpUnit(srp.TypeCmd)(p) || srpUnit(srp.TypeTskMgmt)(p) })
		answer := e.firstAfter(last, srpUnit(srp.TypeRsp))
		logout := append([]byte{srp.TypeILogout, 0, 0, 0, 0, 0, 0, 0}, e.unitOf(last)[8:16]...)
		after := e.frames[answer].At.Add(time.Millisecond).Sub(e.frames[last].At)
		e.insert(answer, false, 2*time.Millisecond, func(p *roce.Packet) { p.Payload = answerTo(srp.Tag{9, 9}, false) })
		e.insert(last, false, after, func(p *roce.Packet) { p.Payload = logout })
	}, []string{"SRP-LOGOUT-002"}},
	{"the abort of a command names another unit", func(e *editor) {
		ask := e.find(4, srpUnit(srp.TypeCmd))
		unit := e.unitOf(ask)
		e.insert(ask, false, time.Microsecond, func(p *roce.Packet) { p.Payload = abort(unit, srp.LUN{0, 1}) })
	}, []string{"SRP-TM-001"}},
	{"an aborted command is answered", func(e *editor) {
		ask := e.find(4, srpUnit(srp.TypeCmd))
		unit := e.unitOf(ask)
		answer := e.firstAfter(ask, srpUnit(srp.TypeRsp))
		e.insert(answer, true, -time.Microsecond, func(p *roce.Packet) { p.Payload = answerTo(srp.Tag{0xAB, 0xCD}, true) })
		e.insert(ask, false, time.Nanosecond, func(p *roce.Packet) { p.Payload = abort(unit, srp.LUN(unit[16:24])) })
	}, []string{"SRP-TM-002"}},
	{"task management on a channel that was closed", func(e *editor) {
		unit := e.unitOf(e.find(0, srpUnit(srp.TypeTskMgmt)))
		last := e.find(-1, func(p *roce.Packet) bool { return srpUnit(srp.TypeCmd)(p) || srpUnit(srp.TypeTskMgmt)(p) })
		e.insert(last, false, 30*time.Second, func(p *roce.Packet) { p.Payload = unit })
	}, []string{"SRP-TM-009"}},
	{"commands after the target has closed the channel", func(e *editor) {
		reply := e.cm(0, roce.AttrREP)
		ask := e.find(-3, srpUnit(srp.TypeCmd))
		at := e.frames[ask].At.Sub(e.frames[reply].At)
		e.delay(ask, 3*time.Second)
		e.manage(reply, at, closing(e, reply), nil)
	}, []string{"SRP-LOGOUT-004", "SRP-TM-009"}},
	{"no credit after a new login", func(e *editor) {
		reject, reply := e.cm(0, roce.AttrREJ), e.cm(0, roce.AttrREP)
		asked, _ := e.packet(e.cm(0, roce.AttrREQ))
		_, first, _ := roce.DecodeCM(asked.Payload)
		p, _ := e.packet(reply)
		_, message, _ := roce.DecodeCM(p.Payload)
		accept := *message.(*roce.CMRep)
		accept.LocalCommID++
		accept.LocalQPN++
		accept.RemoteCommID = first.(*roce.CMReq).LocalCommID
		e.message(reject, &accept, slices.Clone(message.PrivateData()))
		e.set(reply, repPrivate+4, 0, 0, 0, 1)
	}, []string{"SRP-CRED-001", "SRP-CRED-004", "SRP-CRED-012"}},
	{"relogin with the old queue pair", func(e *editor) {
		p, _ := e.packet(e.cm(1, roce.AttrREQ))
		old := slices.Clone(p.Payload[24+32 : 24+35])
		e.again(1, time.Second, func(_, mad []byte) { copy(mad[24+32:], old) })
	}, []string{"SRP-RECON-013"}},
	{"an abandoned attempt goes on", func(e *editor) {
		e.again(1, time.Second, func(b, mad []byte) { mad[24] ^= 0x40 })
		old := len(e.frames) - 1
		e.again(1, 2*time.Second, func(b, mad []byte) { mad[24] ^= 0x20; mad[24+34]++ })
		e.repeat(old, 4*time.Second, func(p *roce.Packet) { p.BTH.PSN = p.BTH.PSN.Add(2) })
	}, []string{"SRP-RECON-005"}},
	{"two first logins at a time", func(e *editor) {
		e.again(1, time.Second, func(b, mad []byte) { b[23] = 7; mad[24] ^= 0x40 })
		old := len(e.frames) - 1
		e.again(1, time.Second+time.Millisecond, func(b, mad []byte) { b[23] = 8; mad[24] ^= 0x20; mad[24+34]++ })
		e.repeat(old, 4*time.Second, func(p *roce.Packet) { p.BTH.PSN = p.BTH.PSN.Add(2) })
	}, []string{"SRP-RECON-028"}},
}

// indirect matches commands with an indirect descriptor.
func indirect(p *roce.Packet) bool {
	return srpUnit(srp.TypeCmd)(p) && (p.Payload[5]>>4 == byte(srp.Indirect) || p.Payload[5]&15 == byte(srp.Indirect))
}

var channelMutations = []mutation{
	{"a list that is longer than its count", func(e *editor) {
		e.rebuild(e.find(0, indirect), func(p *roce.Packet) { p.Payload = append(slices.Clone(p.Payload), 0, 0, 0, 0) })
	}, []string{"SRP-CMD-006 initiator"}},
	{"a list whose lengths do not add up", func(e *editor) {
		e.alter(e.find(0, indirect), func(p *roce.Packet) { p.Payload[48+16+3] ^= 0xFF })
	}, []string{"SRP-CMD-007"}},
	{"an answer on another channel", func(e *editor) {
		ask := e.find(-12, srpUnit(srp.TypeCmd))
		asked, _ := e.packet(ask)
		tag := srp.Tag(asked.Payload[8:16])
		answer := e.firstAfter(ask, srpUnit(srp.TypeRsp))
		own, _ := e.packet(answer)
		before := e.all(func(p *roce.Packet) bool { return srpUnit(srp.TypeRsp)(p) && p.BTH.DestQP != own.BTH.DestQP })
		before = slices.DeleteFunc(before, func(i int) bool { return i > ask })
		other := before[len(before)-1]
		e.insert(other, false, e.frames[ask].At.Add(time.Microsecond).Sub(e.frames[other].At), func(p *roce.Packet) {
			p.Payload = answerTo(tag, false)
		})
	}, []string{"SRP-CH-002 target", "SRP-CMD-015"}},
}
