// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/tester"
	"github.com/ibnbd/ibnbd/reference/ibnbd"
)

// everyChunk is the clause about the number in a response.
const everyChunk = "IBTRS-IMM-003"

// fullQueue is as many requests as a session can have under way, each in a chunk of its own, on all connections for I/O.
type fullQueue struct {
	path   *tester.Path
	batch  *tester.Batch
	device uint32
	block  uint32 // of the device, in bytes
	size   uint32 // of each, in bytes
	blocks int    // different ranges of that size, which are used in turn

	sequence uint64 // of what is written
}

const (
	// mostRequests bounds how many requests are sent at once.
	mostRequests = 2048
	// fullQueueSize is how large each is at most, in bytes.
	fullQueueSize = 8192
)

// fullDepth writes as much as there is room for, all at once, and then reads through every chunk at once. The answers may
// come in any order.
func fullDepth(ctx context.Context, t *tester.Tester) error {
	c, err := newFullQueue(ctx, t)
	if err != nil {
		return err
	}
	depth := min(int(c.path.Geometry.QueueDepth), mostRequests)
	writes := min(depth, c.blocks)
	for _, at := range []struct {
		once    int
		what    string
		request func(int) tester.Request
	}{{writes, "writes", c.write}, {depth, "reads", c.read}} {
		if err := c.all(ctx, at.once, at.request); err != nil {
			return fmt.Errorf("%d %s at once: %w", at.once, at.what, err)
		}
	}
	for i := range depth {
		if want := c.content(i); !bytes.Equal(c.batch.Buffer(i)[:c.size], want) {
			return tester.Broken(exactly, "of %d reads at once, that in chunk %d brings other data than sector %d has", depth, i, t.Base()+c.sector(i))
		}
	}
	return nil
}

// fullDepthOfReads reads through every chunk at once.
func fullDepthOfReads(ctx context.Context, t *tester.Tester) error {
	c, err := newFullQueue(ctx, t)
	if err != nil {
		return err
	}
	return c.all(ctx, min(int(c.path.Geometry.QueueDepth), mostRequests), c.read)
}

func newFullQueue(ctx context.Context, t *tester.Tester) (*fullQueue, error) {
	session := t.NewSession()
	session.Outstanding = mostRequests
	path, opened, err := session.Ready(ctx, t.Target().Exports[0], t.Access())
	if err != nil {
		return nil, err
	}
	depth := min(uint64(path.Geometry.QueueDepth), mostRequests)
	block := max(uint32(opened.LogicalBlockSize), ibnbd.SectorSize)
	room := t.UsableSectors(opened.Capacity) * ibnbd.SectorSize
	size := min(uint32(min(room/depth, fullQueueSize)), largestIO(path, opened, block))
	size = max(size/block*block, block)
	batch, err := path.NewBatch(int(depth), int(size))
	return &fullQueue{path: path, batch: batch, device: opened.DeviceID, block: block, size: size, blocks: int(room / uint64(size)), sequence: 20}, err
}

// sector is where request i is about.
func (c *fullQueue) sector(i int) uint64 { return uint64(i%c.blocks) * uint64(c.size/ibnbd.SectorSize) }

// content is what is written there.
func (c *fullQueue) content(i int) []byte {
	return tester.Stamped(c.sector(i), int(c.size), c.sequence)
}

func (c *fullQueue) write(i int) tester.Request {
	message := ibnbd.NewIORequest(ibnbd.OpWrite, 0, c.device, c.path.Base()+c.sector(i), c.size)
	return c.batch.Write(i, tester.Marshal(message), c.content(i))
}

func (c *fullQueue) read(i int) tester.Request {
	message := ibnbd.NewIORequest(ibnbd.OpRead, 0, c.device, c.path.Base()+c.sector(i), c.size)
	return c.batch.Read(i, tester.Marshal(message), c.size)
}

// connection is the one for I/O that carries request i.
func connection(i int) uint16 { return 1 + uint16(i%(tester.Connections-1)) }

// all sends so many requests, each in a chunk of its own, before it looks at answers.
func (c *fullQueue) all(ctx context.Context, count int, request func(i int) tester.Request) error {
	for i := range count {
		r := c.path.ToChunk(request(i), uint32(i))
		r.CID = connection(i)
		if err := c.path.Post(r); err != nil {
			return err
		}
	}
	waiting := make(map[uint32]bool)
	for i := range count {
		waiting[uint32(i)] = true
	}
	for i := range count {
		a, err := c.batch.Answer(ctx, connection(i))
		switch {
		case c.path.KeyRefresh() && refusedKey(err):
			return tester.Broken(newKeyWorks, "with the key that came with the last answer: %s", tester.Outcome(err))
		case err != nil:
			return tester.Broken(everyChunk, "%d requests are not answered: %s", len(waiting), tester.Outcome(err))
		case !waiting[a.Chunk] || connection(int(a.Chunk)) != connection(i):
			return tester.Broken(everyChunk, "connection %d has an answer for chunk %d, in which it has no request", connection(i), a.Chunk)
		case a.Errno != 0:
			return fmt.Errorf("the request in chunk %d: %w", a.Chunk, a.Errno)
		}
		delete(waiting, a.Chunk)
	}
	return nil
}
