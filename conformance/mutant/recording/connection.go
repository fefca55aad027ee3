// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Edits of connection management.

// FindCM returns the n-th connection management datagram of a kind.
func (e *Editor) FindCM(n int, kind roce.AttributeID) int {
	return e.Find(n, func(p *roce.Packet) bool {
		return p.IsMAD() && roce.AttributeID(uint16(p.Payload[16])<<8|uint16(p.Payload[17])) == kind
	})
}

// Offsets in the payload of a management datagram.
const (
	ReqPrivate = 24 + 140 + 36 // of the application's private data in a REQ
	RepPrivate = 24 + 36
)

// ConnectAgain adds a connection request like the n-th of the capture, made by a client that comes later: with its own queue pair,
// communication id and sequence numbers. The change gets its private data, and the whole datagram.
func (e *Editor) ConnectAgain(n int, later time.Duration, change func(private, mad []byte)) {
	model := e.FindCM(n, roce.AttrREQ)
	p, _ := e.Packet(model)
	last := e.Find(-1, func(q *roce.Packet) bool { return q.IsMAD() && q.SrcMAC == p.SrcMAC })
	lastPacket, _ := e.Packet(last)
	added := *p
	added.BTH.PSN = lastPacket.BTH.PSN.Add(1)
	added.Payload = slices.Clone(p.Payload)
	mad := added.Payload
	mad[24]++    // communication id
	mad[24+33]++ // queue pair
	mad[24+33] ^= byte(len(e.Frames))
	mad[24+3] ^= byte(len(e.Frames))
	change(mad[ReqPrivate:], mad)
	data, err := added.AppendFrame(nil)
	if err != nil {
		e.Fail("%w", err)
	}
	frame := e.Frames[len(e.Frames)-1]
	frame.FrameID = audit.FrameID{Rail: e.Frames[model].Rail, Number: e.Frames[last].Number + 2_000_000}
	frame.Data, frame.OrigLen, frame.At = data, len(data), frame.At.Add(later)
	e.Frames = append(e.Frames, frame)
}

// DisconnectOf is a DREQ of the server for the connection of frame i, a REP.
func (e *Editor) DisconnectOf(i int) *roce.CMDreq {
	p, _ := e.Packet(i)
	_, message, _ := roce.DecodeCM(p.Payload)
	m, ok := message.(*roce.CMRep)
	if !ok {
		e.Fail("frame %d is no reply to a connection request", i)
	}
	return &roce.CMDreq{LocalCommID: m.LocalCommID, RemoteCommID: m.RemoteCommID, RemoteQPN: m.LocalQPN}
}

// SetCM replaces the message of a management datagram.
func (e *Editor) SetCM(i int, m roce.CMMessage, private []byte) {
	e.Rebuild(i, func(p *roce.Packet) { p.Payload = e.datagram(m, private) })
}

func (e *Editor) datagram(m roce.CMMessage, private []byte) []byte {
	header := roce.NewCMHeader(m.Attribute(), 4711)
	payload, err := roce.AppendCM(nil, &header, m, private)
	if err != nil {
		e.Fail("%w", err)
	}
	return payload
}

// SendCM has the sender of frame i, a management datagram, send another one some time later.
func (e *Editor) SendCM(i int, later time.Duration, m roce.CMMessage, private []byte) {
	model, _ := e.Packet(i)
	at := e.Frames[i].At.Add(later)
	last := i
	for k := range e.Frames {
		if p, ok := e.Packet(k); ok && p.IsMAD() && p.SrcMAC == model.SrcMAC && !e.Frames[k].At.After(at) && k > last {
			last = k
		}
	}
	before, _ := e.Packet(last)
	psn := before.BTH.PSN.Add(1)
	for k := range e.Frames {
		if p, ok := e.Packet(k); ok && p.IsMAD() && p.SrcMAC == model.SrcMAC && !p.BTH.PSN.Before(psn) {
			e.Rebuild(k, func(p *roce.Packet) { p.BTH.PSN = p.BTH.PSN.Add(1) })
		}
	}
	e.Repeat(i, later, func(p *roce.Packet) { p.BTH.PSN, p.Payload = psn, e.datagram(m, private) })
}
