// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"sync"
	"sync/atomic"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
	"github.com/ibnbd/ibnbd/reference/rdma/soft"
)

// bed is the configuration of a reference server that is about to become a mutant: its rules can be turned off, and what
// comes to it and goes from it can be altered on the way. What is altered on the way in makes a server that misjudges: one
// to which every magic looks right takes any magic.
//
// Its hooks run in goroutines of the server's devices; mu is held while they do.
type bed struct {
	*ibnbd.ServerConfig

	dead atomic.Bool

	mu  sync.Mutex
	odd map[uint32]ibtrs.Errno // by chunk: the answer that its request is going to get
}

func newBed(cfg *ibnbd.ServerConfig) *bed {
	b := &bed{ServerConfig: cfg, odd: make(map[uint32]ibtrs.Errno)}
	gone := func(*soft.Packet) bool { return b.dead.Load() }
	for _, d := range b.devices() {
		for _, stage := range []soft.Stage{soft.Arrived, soft.Sealed} {
			d.Inject(soft.Fault{Stage: stage, Match: gone, Drop: true})
		}
	}
	return b
}

// rules are those of the transport.
func (b *bed) rules() *ibtrs.ServerRules { return &b.Transport.Rules }

// devices are those that the server listens on.
func (b *bed) devices() []*soft.Device {
	var all []*soft.Device
	for _, d := range b.Transport.Devices {
		all = append(all, d.(*soft.Device)) // package loopback makes no others
	}
	return all
}

// inbound alters packets before the server gets them.
func (b *bed) inbound(match func(*soft.Packet) bool, change func(*soft.Packet)) {
	for _, d := range b.devices() {
		d.Inject(soft.Fault{Stage: soft.Arrived, Match: match, Change: func(p *soft.Packet) {
			b.mu.Lock()
			defer b.mu.Unlock()
			change(p)
		}})
	}
}

// die takes the server off the network, without a word: nothing that was sent to it arrives, and nothing leaves.
func (b *bed) die() { b.dead.Store(true) }

// edit alters the work request that carries a response.
func (b *bed) edit(change func(chunk uint32, work *rdma.SendWR)) {
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
func (b *bed) editErrno(change func(chunk uint32, errno ibtrs.Errno) ibtrs.Errno) {
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
func (b *bed) answerOdd(errno ibtrs.Errno, chosen func(w *written) bool) {
	b.seesRequest(func(w *written) {
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
