// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
)

// readOf is a conforming read of a device, at a sector that counts from the base.
func readOf(p *tester.Path, device uint32, sector uint64, size uint32) tester.Request {
	return p.Read(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, device, p.Base()+sector, size)), size)
}

// expected is what must become of a request.
type expected int

const (
	refused   expected = iota // answered with EINVAL, and the path lives on
	ended                     // the path is closed
	harmless                  // the path is closed or the request is answered with an error; it tells nothing
	performed                 // answered with success
)

// forgery is a read whose transport message, or place in the chunk, is wrong.
type forgery struct {
	name     string
	clause   string
	change   func(p *tester.Path, r *tester.Request)
	expected expected
}

// field changes 16 or 32 bits of the transport message.
func field(offset int, value any) func(*tester.Path, *tester.Request) {
	return func(_ *tester.Path, r *tester.Request) {
		if v, short := value.(uint16); short {
			binary.LittleEndian.PutUint16(r.Message[offset:], v)
			return
		}
		binary.LittleEndian.PutUint32(r.Message[offset:], value.(uint32))
	}
}

// Offsets in a read message with one descriptor.
const (
	atType, atHeaderLength, atFlags, atCount = 0, 2, 4, 6
	atLength                                 = ibtrs.ReadMessageSize + 12
)

// readSize is that of the reads that are forged.
const readSize = 512

var forgeries = []forgery{
	{"transport message of type 0", "IBTRS-IO-021", field(atType, uint16(0)), ended},
	{"transport message with the type of a key response", "IBTRS-IO-021", field(atType, uint16(ibtrs.TypeKeyResponse)), ended},
	{"transport message of type 65535", "IBTRS-IO-021", field(atType, uint16(0xFFFF)), ended},
	{"header length one byte beyond its offset", "IBTRS-IO-022", field(atHeaderLength, uint16(readSize+32+1)), refused},
	{"header length of 65535 bytes", "IBTRS-IO-022", field(atHeaderLength, uint16(0xFFFF)), refused},
	{"read that counts two descriptors", "IBTRS-IO-023", field(atCount, uint16(2)), refused},
	{"read that counts 65535 descriptors", "IBTRS-IO-023", field(atCount, uint16(0xFFFF)), harmless},
	{"read descriptor one byte longer than the data", "IBTRS-IO-024", field(atLength, uint32(readSize+1)), refused},
	{"read descriptor as long as the chunk", "IBTRS-IO-024", func(p *tester.Path, r *tester.Request) {
		binary.LittleEndian.PutUint32(r.Message[atLength:], p.Geometry.ChunkSize())
	}, refused},
	{"read descriptor of length 0", "IBTRS-IO-025", field(atLength, uint32(0)), harmless},
	{"read descriptor longer than the chunk", "IBTRS-IO-025", func(p *tester.Path, r *tester.Request) {
		binary.LittleEndian.PutUint32(r.Message[atLength:], p.Geometry.ChunkSize()+1)
	}, harmless},
	{"read descriptor of length 4294967295", "IBTRS-IO-025", field(atLength, uint32(0xFFFFFFFF)), harmless},
	{"transport message across the end of its chunk", "IBTRS-IO-026", func(p *tester.Path, r *tester.Request) {
		r.Immediate = p.Place(0, p.Geometry.ChunkSize()-2)
	}, ended},
	{"read that asks for an invalidation without a descriptor", "IBTRS-IO-034", func(_ *tester.Path, r *tester.Request) {
		*r = withoutDescriptor(*r)
	}, performed},
}

// withoutDescriptor makes a flush of a read, which asks for an invalidation although there is nothing to invalidate.
func withoutDescriptor(r tester.Request) tester.Request {
	r.Header = tester.Marshal(ibnbd.NewIORequest(ibnbd.OpFlush, 0, binary.LittleEndian.Uint32(r.Header[4:]), 0, 0))
	r.Front = 0
	r.Message = tester.Marshal(ibtrs.ReadMessage{Type: ibtrs.TypeRead, HeaderLength: uint16(len(r.Header)), Flags: ibtrs.NeedInvalidate})
	return r
}

func (f forgery) attack() Attack {
	return Attack{Name: f.name, Clauses: []string{f.clause}, Run: func(ctx context.Context, t *tester.Tester) error {
		p, opened, err := t.Ready(ctx)
		if err != nil {
			return err
		}
		r := readOf(p, opened.DeviceID, 0, readSize)
		f.change(p, &r)
		if f.expected == performed {
			r = p.ToChunk(r, 0)
		}
		if err := p.Post(r); err != nil {
			return err
		}
		if f.expected == ended {
			return closedOnce(ctx, f.clause, p, r.CID)
		}
		a, err := p.Answer(ctx, r.CID)
		return f.judge(ctx, p, opened.DeviceID, a, err)
	}}
}

func (f forgery) judge(ctx context.Context, p *tester.Path, device uint32, a tester.Answer, err error) error {
	switch {
	case f.expected == harmless && errors.Is(err, tester.ErrClosed):
		return closed(ctx, f.clause, p)
	case f.expected == harmless && err == nil && a.Errno == 0:
		return tester.Broken(f.clause, "answered with success")
	case f.expected == harmless && errors.Is(err, tester.ErrSilent):
		return nil // what vanishes tells nothing
	case err != nil:
		return tester.Broken(f.clause, "%s, it must be answered", tester.Outcome(err))
	case f.expected == refused && a.Errno != ibtrs.EINVAL:
		return tester.Broken(f.clause, "answered with %s, it must be EINVAL", a.Errno)
	case f.expected == performed && (a.Errno != 0 || a.Invalidated || a.InvalidatedKey != 0):
		return tester.Broken(f.clause, "answered with %s, invalidated %t, it must be plain success", a.Errno, a.Invalidated)
	case !a.Untouched(0):
		return tester.Broken(f.clause, "answered with %s, and data came with it", a.Errno)
	}
	_, err = p.ReadAt(ctx, device, 0, readSize)
	return succeeded(f.clause, err)
}

func requests() []Attack {
	var all []Attack
	for _, f := range forgeries {
		a := f.attack()
		if f.expected == performed {
			a.Instead = SurvivalWarning
		}
		all = append(all, a)
	}
	return append(all,
		Attack{Name: "I/O on the service connection, and OPEN on one for I/O", Clauses: []string{"IBTRS-IO-008", "IBTRS-IO-009"}, Run: anyConnection},
		Attack{Name: "read with a descriptor shorter than its data", Does: Writes, Clauses: []string{"IBTRS-IO-010", "IBTRS-IO-004"}, Run: shortDescriptor},
		Attack{Name: "reads that ask for an invalidation", Clauses: []string{"IBTRS-IO-011", "IBTRS-IO-013"}, Run: invalidations},
		Attack{Name: "reads that ask for no invalidation", Clauses: []string{"IBTRS-IO-012", "IBTRS-IO-013", "IBTRS-IMM-004"}, Run: noInvalidations},
		Attack{Name: "SEND on a connection for I/O", Clauses: []string{"IBTRS-INFO-025"}, Run: sendToIO},
	)
}

func anyConnection(ctx context.Context, t *tester.Tester) error {
	p := t.NewSession().NewPath(0)
	if err := p.Connect(ctx); err != nil {
		return err
	}
	open := p.Read(tester.OpenMessage(t.Target().Exports[0], t.Access()), ibnbd.OpenResponseSize)
	open.CID = tester.Connections - 1
	b, err := p.Call(ctx, open, ibnbd.OpenResponseSize)
	if err != nil {
		return tester.Broken("IBTRS-IO-009", "OPEN on connection %d: %s", open.CID, tester.Outcome(err))
	}
	opened, err := ibnbd.ParseOpenResponse(b)
	if err != nil {
		return err
	}
	for cid := range uint16(tester.Connections) {
		r := readOf(p, opened.DeviceID, 0, readSize)
		r.CID = cid
		if _, err := p.Call(ctx, r, readSize); err != nil {
			return tester.Broken("IBTRS-IO-008", "read on connection %d: %s", cid, tester.Outcome(err))
		}
	}
	return nil
}

// shortDescriptor reads 4096 bytes into a place for 512.
func shortDescriptor(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	const sector, size = 24, 4096
	if err := p.WriteAt(ctx, opened.DeviceID, sector, tester.Stamped(sector, size, 7)); err != nil {
		return err
	}
	r := readOf(p, opened.DeviceID, sector, size)
	binary.LittleEndian.PutUint32(r.Message[atLength:], readSize)
	a, err := p.Do(ctx, r)
	switch {
	case err != nil || a.Errno != 0:
		return tester.Broken("IBTRS-IO-004", "%s, errno %s: the length of the data follows from offset and header", tester.Outcome(err), a.Errno)
	case !a.Untouched(readSize):
		return tester.Broken("IBTRS-IO-010", "more than the %d bytes of the descriptor were written", readSize)
	case string(a.Buffer[:readSize]) != string(tester.Stamped(sector, size, 7)[:readSize]):
		return tester.Broken("IBTRS-IO-010", "other data than the device has")
	}
	return nil
}

// nobody is the id of a device that was never opened.
const nobody = 4711

func invalidations(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, device := range []uint32{opened.DeviceID, nobody} {
		r, err := p.ReadInvalidating(tester.Marshal(ibnbd.NewIORequest(ibnbd.OpRead, 0, device, 0, readSize)), readSize)
		if err != nil {
			return err
		}
		a, err := p.Do(ctx, r)
		switch {
		case err != nil:
			return tester.Broken("IBTRS-IO-011", "device %d: %s", device, tester.Outcome(err))
		case (a.Errno == 0) != (device == opened.DeviceID):
			return tester.Broken("IBTRS-IO-011", "device %d: answered with %s", device, a.Errno)
		case !a.Invalidated || a.InvalidatedKey != r.ClientKey():
			return tester.Broken("IBTRS-IO-011", "device %d: answered with %s, response type 2: %t, key taken back: %#x of %#x",
				device, a.Errno, a.Invalidated, a.InvalidatedKey, r.ClientKey())
		case a.Errno != 0 && !a.Untouched(0):
			return tester.Broken("IBTRS-IO-013", "a read that failed with %s brought data", a.Errno)
		}
	}
	return nil
}

func noInvalidations(ctx context.Context, t *tester.Tester) error {
	p, opened, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	for _, device := range []uint32{opened.DeviceID, nobody} {
		a, err := p.Do(ctx, readOf(p, device, 0, readSize))
		switch {
		case err != nil:
			return tester.Broken("IBTRS-IO-012", "device %d: %s", device, tester.Outcome(err))
		case a.Invalidated || a.InvalidatedKey != 0:
			return tester.Broken("IBTRS-IO-012", "device %d: response type 2: %t, key taken back: %#x", device, a.Invalidated, a.InvalidatedKey)
		case device == nobody && a.Errno != ibtrs.ENOTCONN:
			return tester.Broken("IBTRS-IMM-004", "answered with %s, it must be %s", a.Errno, ibtrs.ENOTCONN)
		case a.Errno != 0 && !a.Untouched(0):
			return tester.Broken("IBTRS-IO-013", "a read that failed with %s brought data", a.Errno)
		}
	}
	return nil
}

// sendToIO sends a message where the target has receives without room.
func sendToIO(ctx context.Context, t *tester.Tester) error {
	p, _, err := t.Ready(ctx)
	if err != nil {
		return err
	}
	if err := p.Send(1, []byte("hello")); err != nil {
		return err
	}
	m, err := p.Conns[1].Receive(ctx)
	if err == nil {
		return tester.Broken("IBTRS-INFO-025", "the target answers with a %s", m)
	}
	return context.Cause(ctx)
}
