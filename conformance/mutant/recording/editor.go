// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"fmt"
	"slices"
	"time"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/reference/roce"
)

// Editor changes a capture as a broken implementation would have made it: packets are altered with a right ICRC, added and
// taken away with all sequence numbers moved along.
type Editor struct {
	Frames []audit.Frame
	peers  map[qp]uint32
}

// qp names a queue pair by the address of its owner.
type qp struct {
	owner string
	qpn   uint32
}

// edit changes frames, which become the editor's own. It fails when the capture has not what is to be changed.
func edit(frames []audit.Frame, change func(e *Editor)) (edited []audit.Frame, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case editError:
			err = r
		default:
			panic(r)
		}
	}()
	e := newEditor(frames)
	if change != nil {
		change(e)
	}
	return e.Frames, nil
}

// editError ends an edit from within.
type editError struct{ error }

// Fail ends the edit, which then has an error.
func (e *Editor) Fail(format string, args ...any) { panic(editError{fmt.Errorf(format, args...)}) }

func newEditor(frames []audit.Frame) *Editor {
	e := &Editor{Frames: frames, peers: make(map[qp]uint32)}
	asked := make(map[[2]any]uint32)
	for i := range e.Frames {
		p, ok := e.Packet(i)
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

// Packet decodes frame i.
func (e *Editor) Packet(i int) (*roce.Packet, bool) {
	var p roce.Packet
	return &p, p.Decode(e.Frames[i].Data) == nil
}

// Find returns the n-th frame, from 0, that match accepts; a negative n counts from the end.
func (e *Editor) Find(n int, match func(p *roce.Packet) bool) int {
	var found []int
	for i := range e.Frames {
		if p, ok := e.Packet(i); ok && match(p) {
			found = append(found, i)
		}
	}
	if n < 0 {
		n += len(found)
	}
	if n < 0 || n >= len(found) {
		e.Fail("%d frames match, number %d is wanted", len(found), n)
	}
	return found[n]
}

// Set writes bytes at an offset of the payload of frame i and makes the ICRC right.
func (e *Editor) Set(i, offset int, bytes ...byte) {
	e.Alter(i, func(p *roce.Packet) {
		if offset < 0 {
			offset += len(p.Payload)
		}
		copy(p.Payload[offset:], bytes)
	})
}

// Alter changes bytes of frame i in place and makes the ICRC right.
func (e *Editor) Alter(i int, change func(p *roce.Packet)) {
	p, ok := e.Packet(i)
	if !ok {
		e.Fail("frame %d is no RoCEv2 packet", i)
	}
	change(p)
	if err := p.Reseal(); err != nil {
		e.Fail("%w", err)
	}
}

// Rebuild changes header fields of frame i.
func (e *Editor) Rebuild(i int, change func(p *roce.Packet)) {
	p, _ := e.Packet(i)
	change(p)
	data, err := p.AppendFrame(nil)
	if err != nil {
		e.Fail("%w", err)
	}
	e.Frames[i].Data, e.Frames[i].OrigLen = data, len(data)
}

// shift moves the sequence numbers of all that belongs to the direction of p from number first on.
func (e *Editor) shift(p *roce.Packet, first roce.PSN, by int) {
	answered := first
	if by < 0 {
		answered = first.Add(-1) // what acknowledged the packet that is gone acknowledges the one before it
	}
	back := e.peers[qp{p.Dst.String(), p.BTH.DestQP}]
	for i := range e.Frames {
		q, ok := e.Packet(i)
		if !ok || q.BTH.OpCode.Class() != roce.ClassRC {
			continue
		}
		psn := q.BTH.PSN
		request := !psn.Before(first) && q.BTH.OpCode.IsRequest() && q.Dst == p.Dst && q.BTH.DestQP == p.BTH.DestQP
		answer := !psn.Before(answered) && q.BTH.OpCode.IsResponse() && q.Dst == p.Src && q.BTH.DestQP == back
		if request || answer {
			e.Rebuild(i, func(q *roce.Packet) { q.BTH.PSN = q.BTH.PSN.Add(by) })
		}
	}
}

// Insert adds a packet like frame i behind it (or before it), after some time, and changes it.
func (e *Editor) Insert(i int, before bool, later time.Duration, change func(p *roce.Packet)) {
	p, ok := e.Packet(i)
	if !ok {
		e.Fail("frame %d is no RoCEv2 packet", i)
	}
	added := *p
	if !before {
		added.BTH.PSN = added.BTH.PSN.Add(1)
	}
	change(&added)
	data, err := added.AppendFrame(nil)
	if err != nil {
		e.Fail("%w", err)
	}
	e.shift(p, added.BTH.PSN, 1)
	frame := e.Frames[i]
	frame.Data, frame.OrigLen, frame.At = data, len(data), frame.At.Add(later)
	frame.Number += 1_000_000
	at := i + 1
	if before {
		at = i
	}
	e.Frames = slices.Insert(e.Frames, at, frame)
	slices.SortStableFunc(e.Frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
}

// Remove takes a packet away as if it had never been sent.
func (e *Editor) Remove(i int) {
	p, _ := e.Packet(i)
	copied := *p
	e.Frames = slices.Delete(e.Frames, i, i+1)
	e.shift(&copied, copied.BTH.PSN.Add(1), -1)
}

// FindAll lists the frames that match accepts.
func (e *Editor) FindAll(match func(p *roce.Packet) bool) (found []int) {
	for i := range e.Frames {
		if p, ok := e.Packet(i); ok && match(p) {
			found = append(found, i)
		}
	}
	return found
}

// FirstAfter is the first frame behind frame i that matches.
func (e *Editor) FirstAfter(i int, match func(p *roce.Packet) bool) int {
	for _, k := range e.FindAll(match) {
		if k > i {
			return k
		}
	}
	e.Fail("no frame behind frame %d matches", i)
	return 0
}

// RemoveAll takes away all packets that match accepts, as if they had never been sent.
func (e *Editor) RemoveAll(match func(p *roce.Packet) bool) {
	for _, i := range slices.Backward(e.FindAll(match)) {
		e.Remove(i)
	}
}

// Drop takes frames out of the capture as if it had ended for them: no sequence number is moved.
func (e *Editor) Drop(match func(i int, p *roce.Packet) bool) {
	kept := e.Frames[:0:0]
	for i := range e.Frames {
		if p, ok := e.Packet(i); ok && match(i, p) {
			continue
		}
		kept = append(kept, e.Frames[i])
	}
	e.Frames = kept
}

// Delay moves all frames from number i on to a later time.
func (e *Editor) Delay(i int, by time.Duration) {
	for ; i < len(e.Frames); i++ {
		e.Frames[i].At = e.Frames[i].At.Add(by)
	}
}

// Move has frame i come at another time.
func (e *Editor) Move(i int, at time.Time) {
	e.Frames[i].At = at
	slices.SortStableFunc(e.Frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
}

// Repeat shows frame i once more, later, as it is or with a change; no sequence number is moved.
func (e *Editor) Repeat(i int, later time.Duration, change func(p *roce.Packet)) {
	p, _ := e.Packet(i)
	change(p)
	data, err := p.AppendFrame(nil)
	if err != nil {
		e.Fail("%w", err)
	}
	frame := e.Frames[i]
	frame.Data, frame.OrigLen, frame.At = data, len(data), frame.At.Add(later)
	frame.Number += 3_000_000
	e.Frames = append(e.Frames, frame)
	slices.SortStableFunc(e.Frames, func(a, b audit.Frame) int { return a.At.Compare(b.At) })
}

// From narrows a match to packets of one address.
func From(addr string, match func(p *roce.Packet) bool) func(p *roce.Packet) bool {
	return func(p *roce.Packet) bool { return p.Src.String() == addr && match(p) }
}

// IsAcknowledge matches acknowledgements of reliable connections.
func IsAcknowledge(p *roce.Packet) bool { return p.BTH.OpCode == roce.RCAcknowledge }
