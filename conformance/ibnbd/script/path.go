// SPDX-License-Identifier: Apache-2.0

package script

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/rdma"
)

// Path is one build of a client's path, as far as it has come.
type Path struct {
	Request  ibtrs.ConnRequest // the first of the build
	Conns    map[uint16]*Conn  // those that were accepted, by cid
	Name     string            // of the session; "" before INFO
	Informed bool              // the INFO request has come
	HungUp   bool              // this side has disconnected it

	server   *Server
	device   rdma.Device
	geometry ibtrs.Geometry
	refresh  bool
	chunks   rdma.Region
	windows  []rdma.Window // by chunk, with key refresh
	outbox   rdma.Region   // what is sent
	sent     int           // where the next message goes in it
	accepted []*Conn       // those of Conns, and those whose place another has taken
}

// Sizes of what a path sends from, and of its queues.
const (
	messageSize = 64 // any message but the INFO response fits
	messages    = 256
	infoSize    = 1 << 20 // an INFO response of 65535 regions
	spareWork   = 512
)

// Broken says whether any connection of the path is over.
func (p *Path) Broken() bool {
	for _, c := range p.Conns {
		if c.Lost {
			return true
		}
	}
	return false
}

// Over says whether the path had connections and all of them are over.
func (p *Path) Over() bool {
	for _, c := range p.Conns {
		if !c.Lost {
			return false
		}
	}
	return len(p.Conns) > 0
}

// admit accepts a connection. The receives are there before the client can send.
func (p *Path) admit(r rdma.Request, cid uint16, data []byte) (*Conn, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	c := &Conn{Path: p, CID: cid, then: make(map[uint64]func(rdma.Completion))}
	depth := int(p.geometry.QueueDepth)
	var recvs []rdma.RecvWR
	if cid == 0 {
		var err error
		if c.info, err = p.device.Register(infoReceive, rdma.LocalWrite); err != nil {
			return nil, err
		}
		recvs = append(recvs, rdma.RecvWR{ID: infoWork, Local: []rdma.SGE{{Region: c.info, Length: infoReceive}}})
	}
	for range depth + spareWork {
		recvs = append(recvs, rdma.RecvWR{})
	}
	cfg := rdma.ConnConfig{SendQueue: 8*depth + spareWork, RecvQueue: len(recvs) + 1, RetryCount: 7, RNRRetryCount: 7}
	var err error
	if c.conn, err = r.Accept(p.server.ctx, cfg, data, recvs...); err != nil {
		if c.info != nil {
			err = errors.Join(err, c.info.Close())
		}
		return nil, err
	}
	if old := p.Conns[cid]; old != nil {
		p.server.fail(fmt.Errorf("connection %d of a path was asked for twice", cid))
	}
	p.Conns[cid] = c
	p.accepted = append(p.accepted, c)
	return c, nil
}

// prepare makes the memory of the path.
func (p *Path) prepare() error {
	if p.outbox != nil {
		return nil
	}
	var err error
	if p.outbox, err = p.device.Register(messages*messageSize+infoSize, rdma.LocalWrite); err != nil {
		return err
	}
	access := rdma.LocalWrite | rdma.RemoteWrite
	if p.refresh {
		access = rdma.LocalWrite | rdma.WindowBind
	}
	depth := int(p.geometry.QueueDepth)
	if p.chunks, err = p.device.Register(depth*int(p.geometry.ChunkSize()), access); err != nil || !p.refresh {
		return err
	}
	for range depth {
		w, err := p.device.NewSharedWindow()
		if err != nil {
			return err
		}
		p.windows = append(p.windows, w)
	}
	return nil
}

// chunk is the memory of a chunk.
func (p *Path) chunk(k uint32) []byte {
	size := int(p.geometry.ChunkSize())
	return p.chunks.Bytes()[int(k)*size : (int(k)+1)*size]
}

// bind is the work that gives a chunk its next key.
func (p *Path) bind(k uint32) rdma.SendWR {
	size := int(p.geometry.ChunkSize())
	return rdma.SendWR{Op: rdma.OpBind, Window: p.windows[k], Bind: rdma.Bind{
		Region: p.chunks, Offset: int(k) * size, Length: size, Access: rdma.RemoteWrite,
	}}
}

// Regions are those of a conforming INFO response: one of all chunks, or with key refresh one for each.
func (p *Path) Regions() []ibtrs.Descriptor {
	size := p.geometry.ChunkSize()
	if !p.refresh {
		return []ibtrs.Descriptor{{Address: p.chunks.Addr(), RKey: p.chunks.Key(), Length: size * uint32(p.geometry.QueueDepth)}}
	}
	var regions []ibtrs.Descriptor
	for k, w := range p.windows {
		regions = append(regions, ibtrs.Descriptor{Address: p.chunks.Addr() + uint64(k)*uint64(size), RKey: w.Key(), Length: size})
	}
	return regions
}

// Inform makes the keys of the chunks and answers INFO.
func (p *Path) Inform() {
	p.BindAll()
	p.Conns[0].Send(marshal(ibtrs.NewInfoResponse(ibtrs.Descriptors{}.Append(p.Regions()...))))
}

// BindAll gives every chunk its first key, if the keys are refreshed.
func (p *Path) BindAll() {
	var chain []rdma.SendWR
	for k := range p.windows {
		chain = append(chain, p.bind(uint32(k)))
	}
	if len(chain) > 0 {
		p.Conns[0].Post(chain...)
	}
}

// place copies a message to where it can be sent from.
func (p *Path) place(message []byte) []rdma.SGE {
	if len(message) == 0 {
		return nil
	}
	at := p.sent % messages * messageSize
	p.sent++
	if len(message) > messageSize {
		at = messages * messageSize
	}
	n := copy(p.outbox.Bytes()[at:], message)
	return []rdma.SGE{{Region: p.outbox, Offset: at, Length: n}}
}

// Hangup disconnects the path without waiting.
func (p *Path) Hangup() { p.hangup(p.server.ctx, &p.server.running) }

func (p *Path) hangup(ctx context.Context, parting *sync.WaitGroup) {
	p.HungUp = true
	for _, c := range p.accepted {
		parting.Go(func() { _ = c.conn.Disconnect(ctx) }) // a client that does not confirm is no fault of the server
	}
}

// release gives the connections back, whose goroutines then end.
func (p *Path) release() error {
	var errs []error
	for _, c := range p.accepted {
		errs = append(errs, c.conn.Close())
	}
	return errors.Join(errs...)
}

// free gives the memory back.
func (p *Path) free() error {
	var errs []error
	for _, c := range p.accepted {
		if c.info != nil {
			errs = append(errs, c.info.Close())
		}
	}
	for _, w := range p.windows {
		errs = append(errs, w.Close())
	}
	for _, r := range []rdma.Region{p.chunks, p.outbox} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

// Addr is the address of the server that the path goes to.
func (p *Path) Addr() netip.Addr { return p.device.Addr() }

// Server is whose path it is.
func (p *Path) Server() *Server { return p.server }
