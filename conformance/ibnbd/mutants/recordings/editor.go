// SPDX-License-Identifier: Apache-2.0

package recordings

import (
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// editor changes a capture as a broken implementation would have made it: packets are altered with a right ICRC, added and
// taken away with all sequence numbers moved along.
type editor struct {
	frames []audit.Frame
	peers  map[qp]uint32
}

// qp names a queue pair by the address of its owner.
type qp struct {
	owner string
	qpn   uint32
}

// edit changes frames, which become the editor's own. It fails when the capture has not what is to be changed.
func edit(frames []audit.Frame, change func(e *editor)) (edited []audit.Frame, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case editError:
			err = r
		default:
			panic(r)
		}
	}()
	e := editing(frames)
	change(e)
	return e.frames, nil
}

// editError ends an edit from within.
type editError struct{ error }

func (e *editor) fail(format string, args ...any) { panic(editError{fmt.Errorf(format, args...)}) }

// editing begins to change a capture.
func editing(frames []audit.Frame) *editor {
	e := &editor{frames: frames, peers: make(map[qp]uint32)}
	asked := make(map[[2]any]uint32)
	for i := range e.frames {
		p, ok := e.packet(i)
		if !ok || !p.IsMAD() {
			continue
		}
		_, message, err := roce.DecodeCM(p.Payload)
		if err != nil {
			continue
		}
		switch m := message.(type) {
		case *roce.CMReq:
			asked[[2]any{p.Src.String(), m.LocalCommID}] = m.LocalQPN
		case *roce.CMRep:
			active := asked[[2]any{p.Dst.String(), m.RemoteCommID}]
			e.peers[qp{p.Dst.String(), active}] = m.LocalQPN
			e.peers[qp{p.Src.String(), m.LocalQPN}] = active
		}
	}
	return e
}

// packet decodes frame i.
func (e *editor) packet(i int) (*roce.Packet, bool) {
	var p roce.Packet
	return &p, p.Decode(e.frames[i].Data) == nil
}

// find returns the n-th frame, from 0, that match accepts; a negative n counts from the end.
func (e *editor) find(n int, match func(p *roce.Packet) bool) int {
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
		e.fail("%d frames match, number %d is wanted", len(found), n)
	}
	return found[n]
}

// cm returns the n-th connection management datagram of a kind.
func (e *editor) cm(n int, kind roce.AttributeID) int {
	return e.find(n, func(p *roce.Packet) bool {
		return p.IsMAD() && roce.AttributeID(uint16(p.Payload[16])<<8|uint16(p.Payload[17])) == kind
	})
}

// Offsets in the payload of a management datagram.
const (
	reqPrivate = 24 + 140 + 36 // of the application's private data in a REQ
	repPrivate = 24 + 36
)

// set writes bytes at an offset of the payload of frame i and makes the ICRC right.
func (e *editor) set(i, offset int, bytes ...byte) {
	e.alter(i, func(p *roce.Packet) {
		if offset < 0 {
			offset += len(p.Payload)
		}
		copy(p.Payload[offset:], bytes)
	})
}

// alter changes bytes of frame i in place and makes the ICRC right.
func (e *editor) alter(i int, change func(p *roce.Packet)) {
	p, ok := e.packet(i)
	if !ok {
		e.fail("frame %d is no RoCEv2 packet", i)
	}
	change(p)
	if err := p.Reseal(); err != nil {
		e.fail("%w", err)
	}
}

// rebuild changes header fields of frame i.
func (e *editor) rebuild(i int, change func(p *roce.Packet)) {
	p, _ := e.packet(i)
	change(p)
	data, err := p.AppendFrame(nil)
	if err != nil {
		e.fail("%w", err)
	}
	e.frames[i].Data, e.frames[i].OrigLen = data, len(data)
}

// shift moves the sequence numbers of all that belongs to the direction of p from number first on.
func (e *editor) shift(p *roce.Packet, first roce.PSN, by int) {
	answered := first
	if by < 0 {
		answered = first.Add(-1) // what acknowledged the packet that is gone acknowledges the one before it
	}
	back := e.peers[qp{p.Dst.String(), p.BTH.DestQP}]
	for i := range e.frames {
		q, ok := e.packet(i)
		if !ok || q.BTH.OpCode.Class() != roce.ClassRC {
			continue
		}
		psn := q.BTH.PSN
		request := !psn.Before(first) && q.BTH.OpCode.IsRequest() && q.Dst == p.Dst && q.BTH.DestQP == p.BTH.DestQP
		answer := !psn.Before(answered) && q.BTH.OpCode.IsResponse() && q.Dst == p.Src && q.BTH.DestQP == back
		if request || answer {
			e.rebuild(i, func(q *roce.Packet) { q.BTH.PSN = q.BTH.PSN.Add(by) })
		}
	}
}

// insert adds a packet like frame i behind it (or before it), after some time, and changes it.
func (e *editor) insert(i int, before bool, later time.Duration, change func(p *roce.Packet)) {
	p, ok := e.packet(i)
	if !ok {
		e.fail("frame %d is no RoCEv2 packet", i)
	}
	added := *p
	if !before {
		added.BTH.PSN = added.BTH.PSN.Add(1)
	}
	change(&added)
	data, err := added.AppendFrame(nil)
	if err != nil {
		e.fail("%w", err)
	}
	e.shift(p, added.BTH.PSN, 1)
	frame := e.frames[i]
	frame.Data, frame.OrigLen, frame.At = data, len(data), frame.At.Add(later)
	frame.Number += 1_000_000
	at := i + 1
	if before {
		at = i
	}
	e.frames = slices.Insert(e.frames, at, frame)
	slices.SortStableFunc(e.frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
}

// remove takes a packet away as if it had never been sent.
func (e *editor) remove(i int) {
	p, _ := e.packet(i)
	copied := *p
	e.frames = slices.Delete(e.frames, i, i+1)
	e.shift(&copied, copied.BTH.PSN.Add(1), -1)
}

// again adds a connection request like the n-th of the capture, made by a client that comes later: with its own queue pair,
// communication id and sequence numbers. private are its 56 bytes.
func (e *editor) again(n int, later time.Duration, change func(private []byte, mad []byte)) {
	model := e.cm(n, roce.AttrREQ)
	p, _ := e.packet(model)
	last := e.find(-1, func(q *roce.Packet) bool { return q.IsMAD() && q.SrcMAC == p.SrcMAC })
	lastPacket, _ := e.packet(last)
	added := *p
	added.BTH.PSN = lastPacket.BTH.PSN.Add(1)
	added.Payload = slices.Clone(p.Payload)
	mad := added.Payload
	mad[24]++    // communication id
	mad[24+33]++ // queue pair
	mad[24+33] ^= byte(len(e.frames))
	mad[24+3] ^= byte(len(e.frames))
	change(mad[reqPrivate:], mad)
	data, err := added.AppendFrame(nil)
	if err != nil {
		e.fail("%w", err)
	}
	frame := e.frames[len(e.frames)-1]
	frame.FrameID = audit.FrameID{Rail: e.frames[model].Rail, Number: e.frames[last].Number + 2_000_000}
	frame.Data, frame.OrigLen, frame.At = data, len(data), frame.At.Add(later)
	e.frames = append(e.frames, frame)
}

// all lists the frames that match accepts.
func (e *editor) all(match func(p *roce.Packet) bool) (found []int) {
	for i := range e.frames {
		if p, ok := e.packet(i); ok && match(p) {
			found = append(found, i)
		}
	}
	return found
}

// removeAll takes away all packets that match accepts, as if they had never been sent.
func (e *editor) removeAll(match func(p *roce.Packet) bool) {
	for _, i := range slices.Backward(e.all(match)) {
		e.remove(i)
	}
}

// drop takes frames out of the capture as if it had ended for them: no sequence number is moved.
func (e *editor) drop(match func(i int, p *roce.Packet) bool) {
	kept := e.frames[:0:0]
	for i := range e.frames {
		if p, ok := e.packet(i); ok && match(i, p) {
			continue
		}
		kept = append(kept, e.frames[i])
	}
	e.frames = kept
}

// delay moves all frames from number i on to a later time.
func (e *editor) delay(i int, by time.Duration) {
	for ; i < len(e.frames); i++ {
		e.frames[i].At = e.frames[i].At.Add(by)
	}
}

// move has frame i come at another time.
func (e *editor) move(i int, at time.Time) {
	e.frames[i].At = at
	slices.SortStableFunc(e.frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
}

// repeat shows frame i once more, later, as it is or with a change; no sequence number is moved.
func (e *editor) repeat(i int, later time.Duration, change func(p *roce.Packet)) {
	p, _ := e.packet(i)
	change(p)
	data, err := p.AppendFrame(nil)
	if err != nil {
		e.fail("%w", err)
	}
	frame := e.frames[i]
	frame.Data, frame.OrigLen, frame.At = data, len(data), frame.At.Add(later)
	frame.Number += 3_000_000
	e.frames = append(e.frames, frame)
	slices.SortStableFunc(e.frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
}

// message replaces the message of a management datagram.
func (e *editor) message(i int, m roce.CMMessage, private []byte) {
	e.rebuild(i, func(p *roce.Packet) { p.Payload = e.datagram(m, private) })
}

func (e *editor) datagram(m roce.CMMessage, private []byte) []byte {
	header := roce.NewCMHeader(m.Attribute(), 4711)
	payload, err := roce.AppendCM(nil, &header, m, private)
	if err != nil {
		e.fail("%w", err)
	}
	return payload
}

// manage has the sender of frame i, a management datagram, send another one some time later.
func (e *editor) manage(i int, later time.Duration, m roce.CMMessage, private []byte) {
	model, _ := e.packet(i)
	at := e.frames[i].At.Add(later)
	last := i
	for k := range e.frames {
		if p, ok := e.packet(k); ok && p.IsMAD() && p.SrcMAC == model.SrcMAC && !e.frames[k].At.After(at) && k > last {
			last = k
		}
	}
	before, _ := e.packet(last)
	psn := before.BTH.PSN.Add(1)
	for k := range e.frames {
		if p, ok := e.packet(k); ok && p.IsMAD() && p.SrcMAC == model.SrcMAC && !p.BTH.PSN.Before(psn) {
			e.rebuild(k, func(p *roce.Packet) { p.BTH.PSN = p.BTH.PSN.Add(1) })
		}
	}
	e.repeat(i, later, func(p *roce.Packet) { p.BTH.PSN, p.Payload = psn, e.datagram(m, private) })
}
