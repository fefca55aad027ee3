// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// brokenServer is the configuration of a reference server that a mutant is made of: its rules can be turned off, and what
// comes to it and goes from it can be altered on the way.
type brokenServer struct {
	*ibnbd.ServerConfig
	*filter

	odd map[uint32]ibtrs.Errno // by chunk: the answer that its request is going to get; guarded by the filter's lock
}

func newBrokenServer(cfg *ibnbd.ServerConfig) *brokenServer {
	var devices []*soft.Device
	for _, d := range cfg.Transport.Devices {
		devices = append(devices, d.(*soft.Device)) // package loopback makes no others
	}
	return &brokenServer{cfg, newFilter(devices...), make(map[uint32]ibtrs.Errno)}
}

// rules are those of the transport.
func (b *brokenServer) rules() *ibtrs.ServerRules { return &b.Transport.Rules }

// edit alters the work request that carries a response.
func (b *brokenServer) edit(change func(chunk uint32, work *rdma.SendWR)) {
	before := b.rules().EditResponse
	b.rules().EditResponse = func(p *ibtrs.ServerPath, chunk uint32, work *rdma.SendWR) {
		if before != nil {
			before(p, chunk, work)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		change(chunk, work)
	}
}

// editErrno alters the number that a request is answered with.
func (b *brokenServer) editErrno(change func(chunk uint32, errno ibtrs.Errno) ibtrs.Errno) {
	b.edit(func(chunk uint32, work *rdma.SendWR) {
		id, errno, invalidated, ok := ibtrs.Immediate(work.Imm).Response()
		if !ok {
			return
		}
		if imm, err := ibtrs.ResponseImmediate(id, change(chunk, errno), invalidated); err == nil {
			work.Imm = uint32(imm)
		}
	})
}

// answerOdd answers the requests that are chosen with a number of the mutant's own.
func (b *brokenServer) answerOdd(errno ibtrs.Errno, chosen func(w *request) bool) {
	b.alterRequests(func(w *request) {
		if chosen(w) {
			b.odd[w.chunk(b)] = errno
		}
	})
	b.editErrno(func(chunk uint32, right ibtrs.Errno) ibtrs.Errno {
		errno, odd := b.odd[chunk]
		if !odd {
			return right
		}
		delete(b.odd, chunk)
		return errno
	})
}
