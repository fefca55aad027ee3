// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Request is one request, byte for byte. [Path.Write] and [Path.Read] make conforming ones.
type Request struct {
	CID       uint16 // the connection that carries it
	Chunk     uint32 // the chunk that it is written to, below the queue depth
	Front     uint32 // bytes of the chunk in front of what is written
	Data      []byte // written first
	Header    []byte // the block message, behind the data
	Message   []byte // the transport message, behind the header
	Immediate ibtrs.Immediate
	Key       uint32 // by which it is written; 0 stands for the present key of the chunk
	window    rdma.Window
	slot      *slot            // where it lies until it is answered
	place     ibtrs.Descriptor // where the answer goes
}

// Answer is how the target has answered.
type Answer struct {
	Message
	Chunk          uint32      // message id of the response
	Errno          ibtrs.Errno // 0: success
	Invalidated    bool        // the response says that the client's key was taken back
	InvalidatedKey uint32      // the key that the target did take back; 0: none
	Buffer         []byte      // the place for the data of a read, and all that lies behind it
}

// unwritten fills the place for the data of reads, so that what the target writes there shows.
const unwritten = 0xEE

// Write makes the request that writes data with a block message, on the first I/O connection, in chunk 0.
func (p *Path) Write(header, data []byte) Request {
	r := Request{CID: 1, Data: data, Header: header, slot: &p.slot}
	r.Message, _ = ibtrs.WriteMessage{Type: ibtrs.TypeWrite, HeaderLength: uint16(len(header))}.AppendBinary(nil)
	return p.into(r, 0)
}

// Read makes the request that reads size bytes with a block message, on the first I/O connection, in chunk 0. It asks for
// no invalidation; with size 0 it has no descriptor.
func (p *Path) Read(header []byte, size uint32) Request { return p.readInto(&p.slot, header, size) }

func (p *Path) readInto(s *slot, header []byte, size uint32) Request {
	r := Request{CID: 1, Front: size, Header: header, slot: s}
	r.place = ibtrs.Descriptor{Address: s.addr(), RKey: s.region.Key(), Length: size}
	m := ibtrs.ReadMessage{Type: ibtrs.TypeRead, HeaderLength: uint16(len(header))}
	if size > 0 {
		m.Count, m.Descriptors = 1, ibtrs.Descriptors{}.Append(r.place)
	}
	r.Message, _ = m.AppendBinary(nil)
	return p.into(r, 0)
}

// ReadInvalidating is Read with a key that the target is asked to take back.
func (p *Path) ReadInvalidating(header []byte, size uint32) (Request, error) {
	w, err := p.rail.Device.NewWindow()
	if err != nil {
		return Request{}, err
	}
	p.windows = append(p.windows, w)
	r := p.Read(header, size)
	r.window = w
	r.place.RKey = w.NextKey()
	m := ibtrs.ReadMessage{Type: ibtrs.TypeRead, HeaderLength: uint16(len(header)), Flags: ibtrs.NeedInvalidate, Count: 1}
	m.Descriptors = m.Descriptors.Append(r.place)
	r.Message, _ = m.AppendBinary(nil)
	return r, nil
}

// ClientKey is the key by which the target writes the data of a read.
func (r Request) ClientKey() uint32 { return r.place.RKey }

// ToChunk gives the request for another chunk.
func (p *Path) ToChunk(r Request, chunk uint32) Request { return p.into(r, chunk) }

func (p *Path) into(r Request, chunk uint32) Request {
	r.Chunk = chunk
	r.Immediate = p.Place(chunk, r.Front+uint32(len(r.Data)+len(r.Header)))
	return r
}

// Place is the immediate that announces a transport message at an offset of a chunk.
func (p *Path) Place(chunk, offset uint32) ibtrs.Immediate {
	return ibtrs.MakeImmediate(ibtrs.ImmRequest, chunk<<p.Geometry.Shift()|offset)
}

// Post sends a request without waiting. What the target's owner does not allow is not sent, with an error that wraps
// ErrForbidden.
func (p *Path) Post(r Request) error {
	t := p.Session.tester
	if err := t.target.Limit.allows(r); err != nil {
		t.forbidden = cmp.Or(t.forbidden, err)
		return err
	}
	room := r.slot.room()
	for i := range room {
		room[i] = unwritten
	}
	local := r.slot.fill(r.Data, r.Header, r.Message)
	chain := make([]rdma.SendWR, 0, 2)
	if r.window != nil {
		chain = append(chain, rdma.SendWR{Op: rdma.OpBind, Window: r.window, Bind: rdma.Bind{
			Region: r.slot.region, Offset: r.slot.at + r.slot.half, Length: int(r.place.Length), Access: rdma.RemoteWrite,
		}})
	}
	to := p.Chunks[r.Chunk]
	if r.Key != 0 {
		to.RKey = r.Key
	}
	chain = append(chain, rdma.SendWR{
		Op: rdma.OpWriteImm, Local: []rdma.SGE{local},
		RemoteAddr: to.Address + uint64(r.Front), RemoteKey: to.RKey, Imm: uint32(r.Immediate), Signaled: true,
	})
	if err := p.Conns[r.CID].conn.PostSend(chain...); err != nil {
		if p.Conns[r.CID].Lost() {
			return fmt.Errorf("request on connection %d: %w: %w", r.CID, ErrClosed, err)
		}
		return fmt.Errorf("request on connection %d: %w", r.CID, err)
	}
	return nil
}

// Do sends a request and waits for its answer, of whatever success. Heartbeats that come in between are acknowledged.
func (p *Path) Do(ctx context.Context, r Request) (Answer, error) {
	if err := p.Post(r); err != nil {
		return Answer{}, err
	}
	return p.Answer(ctx, r.CID)
}

// Answer waits for the next response on a connection, and learns the new key of its chunk.
func (p *Path) Answer(ctx context.Context, cid uint16) (Answer, error) {
	a, err := p.response(ctx, cid)
	a.Buffer = bytes.Clone(p.slot.room())
	return a, err
}

// response is Answer without the data of a read.
func (p *Path) response(ctx context.Context, cid uint16) (Answer, error) {
	var a Answer
	for {
		m, err := p.Conns[cid].Receive(ctx)
		if err != nil {
			return a, err
		}
		switch {
		case m.Op == rdma.OpSendInv:
			a.InvalidatedKey = m.Key
			continue
		case m.Op == rdma.OpWriteImm && m.Imm == ibtrs.Heartbeat:
			if err := p.Conns[cid].SendImmediate(ibtrs.HeartbeatAck); err != nil {
				return a, err
			}
			continue
		case m.Op == rdma.OpWriteImm && m.Imm == ibtrs.HeartbeatAck:
			continue
		}
		a.Message = m
		return a, p.read(&a)
	}
}

// read takes a response apart.
func (p *Path) read(a *Answer) error {
	var ok bool
	if a.Chunk, a.Errno, a.Invalidated, ok = a.Imm.Response(); !ok || a.Op == rdma.OpSend {
		return fmt.Errorf("%s is no response", a.Message)
	}
	if a.Op != rdma.OpSendImm {
		return nil
	}
	k, err := ibtrs.ParseKeyResponse(a.Body)
	if err == nil {
		err = k.Check(p.Geometry, a.Imm)
	}
	if err != nil {
		return fmt.Errorf("key response: %w", err)
	}
	p.Chunks[k.Chunk].RKey = k.RKey
	return nil
}

// Untouched says whether the target has left the place for the data of a read alone from byte n on.
func (a Answer) Untouched(n int) bool {
	return bytes.Count(a.Buffer[n:], []byte{unwritten}) == len(a.Buffer)-n
}

// Call sends a request and gives the data of its answer, size bytes. An answer with an error number gives that as error.
func (p *Path) Call(ctx context.Context, r Request, size int) ([]byte, error) {
	a, err := p.Do(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case a.Chunk != r.Chunk:
		return nil, Broken("IBTRS-IMM-003", "the request in chunk %d is answered for chunk %d", r.Chunk, a.Chunk)
	case a.Errno != 0:
		return nil, a.Errno
	}
	return a.Buffer[:size], nil
}

// Outcome is what became of a request, in words for evidence.
func Outcome(err error) string {
	var errno ibtrs.Errno
	switch {
	case err == nil:
		return "success"
	case errors.As(err, &errno):
		return errno.String()
	case errors.Is(err, ErrClosed):
		return "the path was closed"
	case errors.Is(err, ErrSilent):
		return "no answer"
	}
	return err.Error()
}
