// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/mutant/recording"
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
func unitOf(e *editor, i int) []byte {
	p, _ := e.Packet(i)
	return slices.Clone(p.Payload)
}

var moreMutations = []mutation{
	{"login request of another type", func(e *editor) { e.Set(e.FindCM(1, roce.AttrREQ), reqPrivate+11, 0x0F) }, []string{"SRP-LOGIN-001"}},
	{"a long command block without its rest", func(e *editor) {
		i := e.Find(4, isUnit(srp.TypeCmd))
		e.Set(i, 32, 0x7F)
		e.Set(i, 39, 24)
	}, []string{"SRP-CMD-005 initiator"}},
	{"not ready for what it gave credit for", func(e *editor) {
		ask := e.Find(5, isUnit(srp.TypeCmd))
		ack := e.FirstAfter(ask, recording.From(server, recording.IsAcknowledge))
		p, _ := e.Packet(ask)
		e.Repeat(ack, 0, func(q *roce.Packet) { q.BTH.PSN, q.AETH.Syndrome = p.BTH.PSN, roce.RNRSyndrome(1) })
	}, []string{"SRP-CRED-002"}},
	{"SRP_AER_RSP to nothing", func(e *editor) {
		e.Insert(e.Find(2, isUnit(srp.TypeCmd)), false, time.Microsecond, func(p *roce.Packet) {
			p.Payload = append([]byte{srp.TypeAERRsp, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}, []string{"SRP-CRED-007"}},
	{"more READs than granted", func(e *editor) { e.Set(e.FindCM(1, roce.AttrREQ), 24+35, 1) }, []string{"SRP-DATA-003"}},
	{"an answer after the logout", func(e *editor) {
		last := e.Find(-1, func(p *roce.Packet) bool { return isUnit(srp.TypeCmd)(p) || isUnit(srp.TypeTskMgmt)(p) })
		answer := e.FirstAfter(last, isUnit(srp.TypeRsp))
		logout := append([]byte{srp.TypeILogout, 0, 0, 0, 0, 0, 0, 0}, unitOf(e, last)[8:16]...)
		after := e.Frames[answer].At.Add(time.Millisecond).Sub(e.Frames[last].At)
		e.Insert(answer, false, 2*time.Millisecond, func(p *roce.Packet) { p.Payload = answerTo(srp.Tag{9, 9}, false) })
		e.Insert(last, false, after, func(p *roce.Packet) { p.Payload = logout })
	}, []string{"SRP-LOGOUT-002"}},
	{"a command behind the logout", func(e *editor) {
		e.Insert(e.Find(-1, isUnit(srp.TypeCmd)), true, -time.Microsecond, func(p *roce.Packet) {
			p.Payload = append([]byte{srp.TypeILogout, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}, []string{"SRP-LOGOUT-009 initiator"}},
	{"an answer behind the target's logout", func(e *editor) {
		e.Insert(e.Find(-1, isUnit(srp.TypeRsp)), true, -time.Microsecond, func(p *roce.Packet) {
			p.Payload = append([]byte{srp.TypeTLogout, 0, 0, 0, 0, 0, 0, 0}, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}, []string{"SRP-LOGOUT-009 target"}},
	{"the abort of a command names another unit", func(e *editor) {
		ask := e.Find(4, isUnit(srp.TypeCmd))
		unit := unitOf(e, ask)
		e.Insert(ask, false, time.Microsecond, func(p *roce.Packet) { p.Payload = abort(unit, srp.LUN{0, 1}) })
	}, []string{"SRP-TM-001"}},
	{"an aborted command is answered", func(e *editor) {
		ask := e.Find(4, isUnit(srp.TypeCmd))
		unit := unitOf(e, ask)
		answer := e.FirstAfter(ask, isUnit(srp.TypeRsp))
		e.Insert(answer, true, -time.Microsecond, func(p *roce.Packet) { p.Payload = answerTo(srp.Tag{0xAB, 0xCD}, true) })
		e.Insert(ask, false, time.Nanosecond, func(p *roce.Packet) { p.Payload = abort(unit, srp.LUN(unit[16:24])) })
	}, []string{"SRP-TM-002"}},
	{"task management on a channel that was closed", func(e *editor) {
		unit := unitOf(e, e.Find(0, isUnit(srp.TypeTskMgmt)))
		last := e.Find(-1, func(p *roce.Packet) bool { return isUnit(srp.TypeCmd)(p) || isUnit(srp.TypeTskMgmt)(p) })
		e.Insert(last, false, 30*time.Second, func(p *roce.Packet) { p.Payload = unit })
	}, []string{"SRP-TM-009"}},
	{"commands after the target has closed the channel", func(e *editor) {
		reply := e.FindCM(0, roce.AttrREP)
		ask := e.Find(-3, isUnit(srp.TypeCmd))
		at := e.Frames[ask].At.Sub(e.Frames[reply].At)
		e.Delay(ask, 3*time.Second)
		e.SendCM(reply, at, e.DisconnectOf(reply), nil)
	}, []string{"SRP-LOGOUT-004", "SRP-TM-009"}},
	{"no credit after a new login", func(e *editor) {
		reject, reply := e.FindCM(0, roce.AttrREJ), e.FindCM(0, roce.AttrREP)
		asked, _ := e.Packet(e.FindCM(0, roce.AttrREQ))
		_, first, _ := roce.DecodeCM(asked.Payload)
		p, _ := e.Packet(reply)
		_, message, _ := roce.DecodeCM(p.Payload)
		accept := *message.(*roce.CMRep)
		accept.LocalCommID++
		accept.LocalQPN++
		accept.RemoteCommID = first.(*roce.CMReq).LocalCommID
		e.SetCM(reject, &accept, slices.Clone(message.PrivateData()))
		e.Set(reply, repPrivate+4, 0, 0, 0, 1)
	}, []string{"SRP-CRED-001", "SRP-CRED-004", "SRP-CRED-012"}},
	{"relogin with the old queue pair", func(e *editor) {
		p, _ := e.Packet(e.FindCM(1, roce.AttrREQ))
		old := slices.Clone(p.Payload[24+32 : 24+35])
		e.ConnectAgain(1, time.Second, func(_, mad []byte) { copy(mad[24+32:], old) })
	}, []string{"SRP-RECON-013"}},
	{"an abandoned attempt goes on", func(e *editor) {
		e.ConnectAgain(1, time.Second, func(b, mad []byte) { mad[24] ^= 0x40 })
		old := len(e.Frames) - 1
		e.ConnectAgain(1, 2*time.Second, func(b, mad []byte) { mad[24] ^= 0x20; mad[24+34]++ })
		e.Repeat(old, 4*time.Second, func(p *roce.Packet) { p.BTH.PSN = p.BTH.PSN.Add(2) })
	}, []string{"SRP-RECON-005"}},
	{"two first logins at a time", func(e *editor) {
		e.ConnectAgain(1, time.Second, func(b, mad []byte) { b[23] = 7; mad[24] ^= 0x40 })
		old := len(e.Frames) - 1
		e.ConnectAgain(1, time.Second+time.Millisecond, func(b, mad []byte) { b[23] = 8; mad[24] ^= 0x20; mad[24+34]++ })
		e.Repeat(old, 4*time.Second, func(p *roce.Packet) { p.BTH.PSN = p.BTH.PSN.Add(2) })
	}, []string{"SRP-RECON-028"}},
}

// indirect matches commands with an indirect descriptor.
func indirect(p *roce.Packet) bool {
	return isUnit(srp.TypeCmd)(p) && (p.Payload[5]>>4 == byte(srp.Indirect) || p.Payload[5]&15 == byte(srp.Indirect))
}

var channelMutations = []mutation{
	{"a list that is longer than its count", func(e *editor) {
		e.Rebuild(e.Find(0, indirect), func(p *roce.Packet) { p.Payload = append(slices.Clone(p.Payload), 0, 0, 0, 0) })
	}, []string{"SRP-CMD-006"}},
	{"a list whose lengths do not add up", func(e *editor) {
		e.Alter(e.Find(0, indirect), func(p *roce.Packet) { p.Payload[48+16+3] ^= 0xFF })
	}, []string{"SRP-CMD-007"}},
	{"an answer on another channel", func(e *editor) {
		ask := e.Find(-12, isUnit(srp.TypeCmd))
		asked, _ := e.Packet(ask)
		tag := srp.Tag(asked.Payload[8:16])
		answer := e.FirstAfter(ask, isUnit(srp.TypeRsp))
		own, _ := e.Packet(answer)
		before := e.FindAll(func(p *roce.Packet) bool { return isUnit(srp.TypeRsp)(p) && p.BTH.DestQP != own.BTH.DestQP })
		before = slices.DeleteFunc(before, func(i int) bool { return i > ask })
		other := before[len(before)-1]
		e.Insert(other, false, e.Frames[ask].At.Add(time.Microsecond).Sub(e.Frames[other].At), func(p *roce.Packet) {
			p.Payload = answerTo(tag, false)
		})
	}, []string{"SRP-CH-002 target", "SRP-CMD-015"}},
}
