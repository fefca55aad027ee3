// SPDX-License-Identifier: Apache-2.0

package script

import (
	"bytes"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Request is a request of a client, copied from its chunk.
type Request struct {
	ibtrs.ChunkRequest
	Conn   *Conn
	Chunk  uint32
	Kind   uint16          // the type of the block message
	IO     ibnbd.IORequest // of TypeIO
	Closes uint32          // of TypeClose: the device id
}

// request takes a request out of the chunk that an immediate names.
func (c *Conn) request(imm ibtrs.Immediate) {
	p := c.Path
	chunk, offset, err := p.geometry.Request(imm)
	if err != nil {
		p.server.fail(fmt.Errorf("the client's request: %w", err))
		p.Hangup()
		return
	}
	r := &Request{Conn: c, Chunk: chunk}
	if r.ChunkRequest, err = ibtrs.ParseChunk(p.chunk(chunk), offset, 1); err != nil {
		p.server.fail(fmt.Errorf("the client's request in chunk %d: %w", chunk, err))
		p.Hangup()
		return
	}
	if r.Direction == ibtrs.Write {
		r.Data = bytes.Clone(r.Data)
	}
	r.Header, r.Descriptors = bytes.Clone(r.Header), bytes.Clone(r.Descriptors)
	r.recognize()
	p.server.Seen = append(p.server.Seen, r)
	if f := p.server.Script.Serve; f != nil {
		f(r)
		return
	}
	r.Answer()
}

// recognize reads the block message.
func (r *Request) recognize() {
	r.Kind, _ = ibnbd.MessageType(r.Header)
	switch r.Kind {
	case ibnbd.TypeIO:
		r.IO, _ = ibnbd.ParseIORequest(r.Header)
	case ibnbd.TypeClose:
		m, _ := ibnbd.ParseCloseRequest(r.Header)
		r.Closes = m.DeviceID
	}
}

// Is says whether the request is an I/O of an operation that begins at a sector.
func (r *Request) Is(op ibnbd.Op, sector uint64) bool {
	return r.Kind == ibnbd.TypeIO && r.IO.Op() == op && r.IO.Sector == sector
}

// Answer is the work that answers a request, each part of it open to change.
type Answer struct {
	Data          []byte           // written to the client's memory, if it is not empty
	To            ibtrs.Descriptor // where
	InvalidateKey uint32           // key of the client that is taken back; 0 for none
	Renew         bool             // the chunk gets its next key
	Form          rdma.Op          // of the response: OpWriteImm, or OpSendImm with Body
	Immediate     ibtrs.Immediate
	Body          []byte
	CID           uint16 // of the connection that carries it
	Copies        int    // of the response, behind the first
}

// Answer serves the request as the protocol says.
func (r *Request) Answer() { r.Send(r.DefaultAnswer()) }

// DefaultAnswer executes the request and makes its answer.
func (r *Request) DefaultAnswer() Answer {
	errno, data := r.Conn.Path.server.serve(r)
	a := r.Outcome(errno)
	if errno == 0 && len(data) > 0 && r.Descriptors.Len() > 0 {
		a.To = r.Descriptors.At(0)
		a.Data = data[:min(len(data), int(a.To.Length))]
	}
	return a
}

// Outcome makes a conforming answer without data.
func (r *Request) Outcome(errno ibtrs.Errno) Answer {
	p := r.Conn.Path
	a := Answer{CID: r.Conn.CID, Form: rdma.OpWriteImm}
	if r.Direction == ibtrs.Read && r.Flags&ibtrs.NeedInvalidate != 0 && r.Descriptors.Len() > 0 {
		a.InvalidateKey = r.Descriptors.At(0).RKey
	}
	a.Immediate, _ = ibtrs.ResponseImmediate(r.Chunk, errno, a.InvalidateKey != 0)
	if p.refresh {
		a.Form, a.Renew = rdma.OpSendImm, true
		a.Body = marshal(ibtrs.KeyResponse{Type: ibtrs.TypeKeyResponse, Chunk: uint16(r.Chunk), RKey: p.windows[r.Chunk].NextKey()})
	}
	return a
}

// Send sends an answer, at any time and as often as one likes.
func (r *Request) Send(a Answer) {
	p := r.Conn.Path
	var chain []rdma.SendWR
	if a.Renew {
		chain = append(chain, rdma.SendWR{Op: rdma.OpInvalidate, Window: p.windows[r.Chunk]}, p.bind(r.Chunk))
	}
	if len(a.Data) > 0 {
		n := copy(p.chunk(r.Chunk), a.Data)
		at := int(r.Chunk) * int(p.geometry.ChunkSize())
		chain = append(chain, rdma.SendWR{
			Op: rdma.OpWrite, Local: []rdma.SGE{{Region: p.chunks, Offset: at, Length: n}}, RemoteAddr: a.To.Address, RemoteKey: a.To.RKey,
		})
	}
	if a.InvalidateKey != 0 {
		chain = append(chain, rdma.SendWR{Op: rdma.OpSendInv, RemoteKey: a.InvalidateKey})
	}
	for range 1 + a.Copies {
		response := rdma.SendWR{Op: a.Form, Imm: uint32(a.Immediate)}
		if a.Form == rdma.OpSendImm {
			response.Local = p.place(a.Body)
		}
		chain = append(chain, response)
	}
	if c := p.Conns[a.CID]; c != nil {
		c.Post(chain...)
	}
}
