// SPDX-License-Identifier: Apache-2.0

package tester

import (
	"context"

	"github.com/ibnbd/ibnbd/reference/rdma"
)

// slot is memory for one request at a time: what is sent, and behind it the place for the data of a read, of the same size.
type slot struct {
	region rdma.Region
	at     int // where it begins
	half   int // of its size
}

// newSlots makes slots in a region of their own.
func (p *Path) newSlots(count, half int) ([]slot, error) {
	region, err := p.rail.Device.Register(2*count*half, rdma.LocalWrite|rdma.RemoteWrite|rdma.WindowBind)
	if err != nil {
		return nil, err
	}
	p.regions = append(p.regions, region)
	all := make([]slot, count)
	for i := range all {
		all[i] = slot{region, 2 * i * half, half}
	}
	return all, nil
}

// fill puts the parts of a message behind each other, as far as there is room.
func (s *slot) fill(parts ...[]byte) rdma.SGE {
	b, n := s.region.Bytes()[s.at:s.at+s.half], 0
	for _, part := range parts {
		n += copy(b[n:], part)
	}
	return rdma.SGE{Region: s.region, Offset: s.at, Length: n}
}

// room is the place for the data of a read.
func (s *slot) room() []byte { return s.region.Bytes()[s.at+s.half : s.at+2*s.half] }

// addr is the address of the room.
func (s *slot) addr() uint64 { return s.region.Addr() + uint64(s.at+s.half) }

// Batch is memory of a path for several requests at a time, each by its number.
type Batch struct {
	path  *Path
	slots []slot
}

// NewBatch makes memory for so many requests, with so much data each at most. The path must be connected.
func (p *Path) NewBatch(requests, most int) (*Batch, error) {
	const messages = 4096 // more than the messages of a request need
	slots, err := p.newSlots(requests, most+messages)
	return &Batch{p, slots}, err
}

// Write is [Path.Write] for request i.
func (b *Batch) Write(i int, header, data []byte) Request {
	r := b.path.Write(header, data)
	r.slot = &b.slots[i]
	return r
}

// Read is [Path.Read] for request i.
func (b *Batch) Read(i int, header []byte, size uint32) Request {
	return b.path.readInto(&b.slots[i], header, size)
}

// Buffer is the place for the data of request i, if that is a read, and all that lies behind it.
func (b *Batch) Buffer(i int) []byte { return b.slots[i].room() }

// Answer is [Path.Answer], but for the data, which are in the room of the request.
func (b *Batch) Answer(ctx context.Context, cid uint16) (Answer, error) {
	return b.path.response(ctx, cid)
}
