// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"bytes"
	"context"
	"sync"
)

// A Disk cannot be asked what of it is allocated. What a client can find out is what reads as zeroes, by
// reading. So a status of base:allocation tells of zeroes and never of holes, of which nobody here knows, and all that has
// not been read is data, of which nothing is said.
//
// Its cost is bounded. The disk is looked at in granules. A granule whose first blocks hold data is data, whatever the rest
// is; only the others are read as a whole. So a copy that asks first reads zeroes once, as without asking, and of data a
// sixteenth more; and one status never reads more than a read may.

// extent is a run of bytes that are all zero, or of which that is not known.
type extent struct {
	length int64
	zero   bool
}

const (
	wantedGranule    = 64 << 10
	wantedProbe      = 4 << 10
	granulesInWindow = 16 // which are looked at together
	maxExtents       = 512
)

// roundUp gives the next multiple of block, which need not be a power of two.
func roundUp(n, block int64) int64 { return (n + block - 1) / block * block }

// granuleEnd is where the granule that a byte lies in ends.
func granuleEnd(at, granule int64) int64 { return at/granule*granule + granule }

func (t *transmission) block() int64   { return max(int64(t.info.BlockSize), 1) }
func (t *transmission) granule() int64 { return roundUp(wantedGranule, t.block()) }

// appendExtent adds a run to those before it.
func appendExtent(all []extent, length int64, zero bool) []extent {
	if n := len(all); n > 0 && all[n-1].zero == zero {
		all[n-1].length += length
		return all
	}
	return append(all, extent{length, zero})
}

func isZero(b []byte) bool { return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

// one tells whether the client wants no more than the first extent, and decided whether that is known.
func (c *command) one() bool     { return c.flags&cmdFlagReqOne != 0 }
func (c *command) decided() bool { return c.one() && len(c.runs) > 1 }

// lookAt finds the extents of a command's range, or of its first part. An error behind something that is known is left to the
// next command.
func (t *transmission) lookAt(ctx context.Context, c *command) error {
	c.runs = c.runs[:0]
	window := t.granule() * granulesInWindow
	c.resize(int(window))
	begin := int64(c.offset)
	end := begin + min(int64(c.length), maxIO)
	for at := begin; at < end && len(c.runs) < maxExtents && !c.decided(); {
		next := min(granuleEnd(at, window), end)
		if err := t.lookAtWindow(ctx, c, at, next); err != nil {
			if len(c.runs) > 0 {
				break
			}
			return err
		}
		at = next
	}
	if c.one() {
		c.runs = c.runs[:1]
	}
	return nil
}

// piece is the part of a granule that is looked at.
type piece struct {
	at     int64  // bytes of the disk
	buffer []byte // for all of it
	zero   bool
	err    error
}

// lookAtWindow adds the extents from at to end, which lie in one window, to those of the command, up to the first error, which
// it gives, or until the command is decided.
func (t *transmission) lookAtWindow(ctx context.Context, c *command, at, end int64) error {
	var all [granulesInWindow]piece
	n := 0
	for from := at; from < end; n++ {
		to := min(granuleEnd(from, t.granule()), end)
		all[n] = piece{at: from, buffer: c.buffer[from-at : to-at]}
		from = to
	}
	t.probe(ctx, all[:n])
	for rest := all[:n]; len(rest) > 0 && !c.decided(); {
		run := rest[:t.readZeroes(ctx, c, rest)]
		for _, p := range run {
			if p.err != nil {
				return p.err
			}
			c.runs = appendExtent(c.runs, int64(len(p.buffer)), p.zero)
		}
		rest = rest[len(run):]
	}
	return nil
}

// probe reads the first blocks of all pieces at a time.
func (t *transmission) probe(ctx context.Context, pieces []piece) {
	var all sync.WaitGroup
	for i := range pieces {
		p := &pieces[i]
		all.Go(func() {
			probed := p.buffer[:min(roundUp(wantedProbe, t.block()), int64(len(p.buffer)))]
			p.err = t.disk.ReadAt(ctx, probed, p.at)
			p.zero = p.err == nil && isZero(probed)
		})
	}
	all.Wait()
}

// readZeroes reads the whole of the first pieces that begin with zeroes, together, and gives the number of pieces that are
// known now, at least one. Behind data, a client that wants one extent needs no more than the next piece.
func (t *transmission) readZeroes(ctx context.Context, c *command, pieces []piece) int {
	n := 0
	for n < len(pieces) && pieces[n].zero {
		n++
	}
	if n == 0 {
		return 1
	}
	if c.one() && len(c.runs) > 0 && !c.runs[0].zero {
		n = 1
	}
	first, last := pieces[0], pieces[n-1]
	length := last.at + int64(len(last.buffer)) - first.at
	err := t.disk.ReadAt(ctx, first.buffer[:length], first.at)
	for i := range pieces[:n] {
		pieces[i].err, pieces[i].zero = err, err == nil && isZero(pieces[i].buffer)
	}
	return n
}
