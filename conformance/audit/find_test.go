// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"testing"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// finder finds packets in a capture.
type finder struct {
	testing.TB
	frames capture
}

// editor is the same.
type editor = finder

func search(tb testing.TB, names ...string) *finder {
	tb.Helper()
	return &finder{tb, load(tb, names...)}
}

// packet decodes frame i.
func (e *finder) packet(i int) (*roce.Packet, bool) {
	var p roce.Packet
	return &p, p.Decode(e.frames[i].Data) == nil
}

// find returns the n-th frame, from 0, that match accepts; a negative n counts from the end.
func (e *finder) find(n int, match func(p *roce.Packet) bool) int {
	e.Helper()
	var found []int
	for i := range e.frames {
		if p, ok := e.packet(i); ok && match(p) {
			found = append(found, i)
		}
	}
	if n < 0 {
		n += len(found)
	}
	if n < 0 || n >= len(found) {
		e.Fatalf("%d frames match, number %d is wanted", len(found), n)
	}
	return found[n]
}

// cm returns the n-th connection management datagram of a kind.
func (e *finder) cm(n int, kind roce.AttributeID) int {
	e.Helper()
	return e.find(n, func(p *roce.Packet) bool {
		return p.IsMAD() && roce.AttributeID(uint16(p.Payload[16])<<8|uint16(p.Payload[17])) == kind
	})
}

// reqPrivate is the offset of the application's private data in a connection request.
const reqPrivate = 24 + 140 + 36

// Addresses of mainline's two sides in the captures.
const (
	client = "10.0.0.2"
	server = "10.0.0.1"
)

const anyRead = 0

// initiatorRequest matches requests of IBTRS whose transport message is in one packet or its last.
func initiatorRequest(kind byte, op byte) func(p *roce.Packet) bool {
	return func(p *roce.Packet) bool {
		if p.BTH.OpCode != roce.RCWriteOnlyImm && p.BTH.OpCode != roce.RCWriteLastImm || p.ImmDt.Value>>28 != 0 || len(p.Payload) < 12 {
			return false
		}
		h := header(p)
		return h != nil && h[0] == kind && (kind != 4 || h[16] == op)
	}
}

// header returns the block message in the last packet of a request.
func header(p *roce.Packet) []byte {
	b := p.Payload
	for _, message := range []int{24, 8, 4} {
		at := len(b) - message
		if at < 4 {
			continue
		}
		kind, u := b[at], int(b[at+2])|int(b[at+3])<<8
		if (message == 4) == (kind == ibtrs.TypeWrite) && (kind == ibtrs.TypeRead || kind == ibtrs.TypeWrite) && b[at+1] == 0 && u <= at && u >= 8 && (message == 4 || int(b[at+6]) == (message-8)/16) {
			return b[at-u : at]
		}
	}
	return nil
}

// response matches the answers of a target with key refresh.
func response(p *roce.Packet) bool {
	return p.BTH.OpCode == roce.RCSendOnlyImm && (p.ImmDt.Value>>28 == 1 || p.ImmDt.Value>>28 == 2)
}
