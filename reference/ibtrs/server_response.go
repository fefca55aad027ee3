// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// send posts the response as one chain on the connection that the request came on (Clause IBTRS-IO-008): the data, the
// invalidation of the client's key, and the response itself; each where it has a place.
//
// The chunk's new key was bound long before, which helps with soft-RoCE on Linux. When data is lost there, all that stands
// behind it in the send queue is done once more, binds that were done included, and those then fail and end the connection
// (Clause IBTRS-INV-016). What this does not help are the keys of other requests that follow on the same connection.
func (r *ServerRequest) send(errno Errno) {
	p := r.path
	rules := &p.server.cfg.Rules
	errno = errno.OnWire() // Clause IBTRS-IMM-005
	chain := r.chain[:0]
	if (errno == 0 || rules.DataOnError) && r.Direction == Read {
		chain = r.appendData(chain)
	}
	invalidated := r.invalidates()
	if invalidated && !rules.PretendInvalidate {
		chain = append(chain, rdma.SendWR{ID: workMessage, Op: rdma.OpSendInv, RemoteKey: r.copied[0].RKey})
	}
	chain = append(chain, r.answer(errno, invalidated))
	if rules.ResponseFirst {
		chain[0], chain[len(chain)-1] = chain[len(chain)-1], chain[0]
	}
	if f := rules.EditResponse; f != nil {
		f(p, r.chunk, &chain[len(chain)-1])
	}
	r.response.chain, r.response.owner = chain, &r.state
	c := r.channel
	if f := rules.AnswerOn; f != nil {
		c = p.channels[f(r, c.cid)]
	}
	if err := c.post(&r.response); err != nil {
		p.fail(err)
	}
}

// invalidates tells whether the response takes the client's key back (Clauses IBTRS-IO-011, IBTRS-IO-012, IBTRS-IO-034).
func (r *ServerRequest) invalidates() bool {
	rules := &r.path.server.cfg.Rules
	if r.Direction != Read || r.count == 0 || rules.NeverInvalidate {
		return false
	}
	return r.Flags&NeedInvalidate != 0 || rules.AlwaysInvalidated
}

// appendData writes what was read to where the descriptors say, one RDMA write for each.
func (r *ServerRequest) appendData(chain []rdma.SendWR) []rdma.SendWR {
	at := int(r.chunk) * int(r.path.server.cfg.Geometry.ChunkSize())
	for i, d := range r.copied[:r.count] {
		r.elements[i] = rdma.SGE{Region: r.path.memory, Offset: at, Length: int(d.Length)}
		at += int(d.Length)
		chain = append(chain, rdma.SendWR{
			ID: workMessage, Op: rdma.OpWrite, Local: r.elements[i : i+1], RemoteAddr: d.Address, RemoteKey: d.RKey,
		})
	}
	return chain
}

// answer is the work request that tells the client: with key refresh a SEND of the new key, else an RDMA write of
// nothing, in both cases with the immediate that says which request and how it ended.
func (r *ServerRequest) answer(errno Errno, invalidated bool) rdma.SendWR {
	rules := &r.path.server.cfg.Rules
	id := r.chunk
	if rules.FixedID {
		id = 0
	}
	imm, _ := ResponseImmediate(id, errno, invalidated)
	if r.path.answers == nil || rules.WrongResponseForm {
		return rdma.SendWR{ID: workMessage | uint64(r.chunk), Op: rdma.OpWriteImm, Imm: uint32(imm)}
	}
	at := int(r.chunk) * KeyResponseSize
	message := r.path.answers.Bytes()[at : at+KeyResponseSize]
	binary.LittleEndian.PutUint16(message, TypeKeyResponse)
	binary.LittleEndian.PutUint16(message[2:], uint16(r.chunk))
	binary.LittleEndian.PutUint32(message[4:], r.key)
	r.body[0] = rdma.SGE{Region: r.path.answers, Offset: at, Length: KeyResponseSize}
	return rdma.SendWR{ID: workMessage | uint64(r.chunk), Op: rdma.OpSendImm, Local: r.body[:], Imm: uint32(imm)}
}
