// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"fmt"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// ServerRequest is one request of a client, as the upper layer sees it. It is the place of one chunk of one path and is
// used again for each request in that chunk: after Respond nothing of it may be touched.
type ServerRequest struct {
	// The parts of the request: of the chunk, or with key refresh, if they are small, of copies that the client cannot reach.
	// With static keys it can change them at any time, and where the data of a read go always.
	ChunkRequest

	// Scratch is for the upper layer, and stays with the chunk.
	Scratch any

	path     *ServerPath
	chunk    uint32
	channel  *serverChannel
	offset   uint32
	copied   [legacyDescriptors]Descriptor // of a read: where the answer goes
	count    int
	key      uint32            // with key refresh: the chunk's new key
	header   [smallHeader]byte // of a request that was copied
	state    atomic.Uint32     // requestFree, ...
	response work
	renewal  work
	chain    [legacyDescriptors + 2]rdma.SendWR
	bind     [1]rdma.SendWR
	elements [legacyDescriptors]rdma.SGE
	body     [1]rdma.SGE
}

// What is copied of a request at most, in bytes.
const (
	smallHeader = 64   // enough for that of an I/O
	smallData   = 4096 // a page, because the room for it must suit direct I/O
)

// The states of a server's request.
const (
	requestFree    uint32 = iota
	requestWaiting        // for the chunk's new key
	requestBusy           // with the upper layer, or its response is still to be posted
)

func (r *ServerRequest) init(p *ServerPath, chunk uint32) { r.path, r.chunk = p, chunk }

// Path is the path that the request came on.
func (r *ServerRequest) Path() *ServerPath { return r.path }

// Chunk is the number of its chunk.
func (r *ServerRequest) Chunk() uint32 { return r.chunk }

// Abandoned reports that the path has gone down since the request came. A request that has not been begun must then not
// be executed any more: the client may have sent it again on another path (Clause IBTRS-PATH-020). It must be responded
// to all the same.
func (r *ServerRequest) Abandoned() bool {
	return !r.path.takes()
}

// bytes is the memory of the chunk.
func (r *ServerRequest) bytes() []byte {
	size := int(r.path.server.cfg.Geometry.ChunkSize())
	at := int(r.chunk) * size
	return r.path.memory.Bytes()[at : at+size : at+size]
}

// parse finds the parts of the request and copies the descriptors.
func (r *ServerRequest) parse() error {
	cfg := &r.path.server.cfg
	var err error
	r.ChunkRequest, err = ParseChunk(r.bytes(), r.offset, cfg.descriptors())
	if err != nil && cfg.Rules.AnyDescriptor && !FatalFault(err) && len(r.Header) > 0 {
		err = nil
	}
	r.count = 0
	if err != nil {
		return err
	}
	total := uint64(0)
	for i, d := range r.Descriptors.All() {
		if i == len(r.copied) {
			break
		}
		r.copied[i] = d
		r.count++
		total += uint64(d.Length)
	}
	if total > uint64(len(r.Data)) && !cfg.Rules.AnyDescriptor { // changed since it was checked
		r.count = 0
		return fmt.Errorf("descriptors of %d bytes for %d bytes of data: %w", total, len(r.Data), EINVAL)
	}
	return nil
}

// copySmall takes a request with a small header and little data out of the chunk, so that nothing of it can be changed any
// more. What a read finds in the chunk does not matter: its answer is made there. False says that it is something else, or
// broken.
func (r *ServerRequest) copySmall() bool {
	if r.parse() != nil || len(r.Header) > len(r.header) {
		return false
	}
	switch {
	case r.Direction == Read:
	case r.Direction == Write && len(r.Data) <= smallData:
		room := r.room()
		r.Data = room[:copy(room, r.Data)]
	default:
		return false
	}
	r.Header = r.header[:copy(r.header[:], r.Header)]
	return true
}

// room is the memory for a copy of the request's data.
func (r *ServerRequest) room() []byte {
	at := int(r.path.server.cfg.roomBegin()) + int(r.chunk)*smallData
	return r.path.memory.Bytes()[at : at+smallData : at+smallData]
}

func (r *ServerRequest) fatal(err error) bool {
	rules := &r.path.server.cfg.Rules
	if FatalFault(err) {
		return !(rules.AnyType && r.Direction != Read && r.Direction != Write)
	}
	return rules.LongHeaderCloses && r.Header == nil
}

// clauseOf names the clause that a fatal fault breaks.
func (r *ServerRequest) clauseOf(error) string {
	switch {
	case r.Direction != Read && r.Direction != Write:
		return "IBTRS-IO-021"
	case r.Header != nil:
		return "IBTRS-IO-025"
	}
	return "IBTRS-IO-026"
}

// drop ends a request without an answer.
func (r *ServerRequest) drop() {
	r.state.Store(requestFree)
	r.path.inflight.done()
}

// Respond ends the request with an error number, 0 for success. What has been read goes to the client.
func (r *ServerRequest) Respond(errno Errno) {
	if moment := r.path.server.cfg.LastFirst; moment > 0 {
		r.path.server.held.hold(moment, func() { r.respond(errno) })
		return
	}
	r.respond(errno)
}

func (r *ServerRequest) respond(errno Errno) {
	if r.Abandoned() {
		r.drop()
		return
	}
	if f := r.path.server.cfg.Rules.Intercept; f != nil {
		f(r.path, r.chunk, errno, func() { r.sendHeld(errno) })
	} else {
		r.send(errno)
	}
	r.path.inflight.done()
}

// sendHeld sends a response that was held back. When the path has gone meanwhile, so has its memory.
func (r *ServerRequest) sendHeld(errno Errno) {
	r.path.inflight.add() // before the question, so that a path which closes after it waits
	defer r.path.inflight.done()
	if !r.Abandoned() {
		r.send(errno)
	}
}
