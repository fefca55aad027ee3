// SPDX-License-Identifier: Apache-2.0

package nbd

import "net"

// reply tells the client how a command has ended, with what it asked for.
func (t *transmission) reply(c *command, err error) error {
	pieces := c.pieces[:0]
	switch {
	case !t.structured || err == nil && c.kind != cmdRead && c.kind != cmdBlockStatus:
		pieces = c.simple(pieces, errnoOf(err))
	case err != nil:
		pieces = c.failure(pieces, err)
	case c.kind == cmdRead:
		pieces = c.content(pieces, t.granule())
	default:
		pieces = c.status(pieces)
	}
	c.pieces = pieces // WriteTo takes its copy apart
	t.out.Lock()
	defer t.out.Unlock()
	_, err = pieces.WriteTo(t.conn)
	return err
}

func (c *command) simple(pieces net.Buffers, errno uint32) net.Buffers {
	b := be.AppendUint32(c.head[:0], magicReply)
	b = be.AppendUint32(b, errno)
	c.head = be.AppendUint64(b, c.cookie)
	pieces = append(pieces, c.head)
	if c.kind == cmdRead && errno == 0 {
		pieces = append(pieces, c.buffer)
	}
	return pieces
}

// chunk appends the header of a chunk to b.
func (c *command) chunk(b []byte, flags, kind uint16, length int) []byte {
	b = be.AppendUint32(b, magicChunk)
	b = be.AppendUint16(b, flags)
	b = be.AppendUint16(b, kind)
	b = be.AppendUint64(b, c.cookie)
	return be.AppendUint32(b, uint32(length))
}

// maxErrorText bounds what is said about an error, in bytes.
const maxErrorText = 1024

// failure is an error with a text for people.
func (c *command) failure(pieces net.Buffers, err error) net.Buffers {
	text := err.Error()
	text = text[:min(len(text), maxErrorText)]
	b := c.chunk(c.head[:0], chunkDone, chunkError, 4+2+len(text))
	b = be.AppendUint32(b, errnoOf(err))
	b = be.AppendUint16(b, uint16(len(text)))
	c.head = append(b, text...)
	return append(pieces, c.head)
}

// content is what was read: data, and holes in place of zeroes. A hole says here that these bytes are zero, and nothing of
// storage. A client that wants the data unfragmented gets one chunk.
func (c *command) content(pieces net.Buffers, granule int64) net.Buffers {
	runs := c.runs[:0]
	for at := int64(0); at < int64(len(c.buffer)); {
		end := min(granuleEnd(int64(c.offset)+at, granule)-int64(c.offset), int64(len(c.buffer)))
		runs = appendExtent(runs, end-at, isZero(c.buffer[at:end]))
		at = end
	}
	if c.flags&cmdFlagDF != 0 && len(runs) > 1 {
		runs = append(runs[:0], extent{length: int64(len(c.buffer))})
	}
	c.runs = runs
	return c.chunks(pieces)
}

// chunks makes a chunk of each run.
func (c *command) chunks(pieces net.Buffers) net.Buffers {
	const most = chunkSize + 12
	if need := max(len(c.runs), 1) * most; cap(c.head) < need {
		c.head = make([]byte, 0, need) // once: the pieces are parts of it
	}
	c.head = c.head[:0]
	if len(c.runs) == 0 {
		c.head = c.chunk(c.head, chunkDone, chunkNone, 0)
		return append(pieces, c.head)
	}
	at := int64(0)
	for i, run := range c.runs {
		flags, begin := uint16(0), len(c.head)
		if i == len(c.runs)-1 {
			flags = chunkDone
		}
		if run.zero {
			c.head = be.AppendUint64(c.chunk(c.head, flags, chunkOffsetHole, 12), c.offset+uint64(at))
			c.head = be.AppendUint32(c.head, uint32(run.length))
			pieces = append(pieces, c.head[begin:])
		} else {
			c.head = be.AppendUint64(c.chunk(c.head, flags, chunkOffsetData, 8+int(run.length)), c.offset+uint64(at))
			pieces = append(pieces, c.head[begin:], c.buffer[at:at+run.length])
		}
		at += run.length
	}
	return pieces
}

// status is what was found out about a range.
func (c *command) status(pieces net.Buffers) net.Buffers {
	b := c.chunk(c.head[:0], chunkDone, chunkStatus, 4+8*len(c.runs))
	b = be.AppendUint32(b, allocationID)
	for _, run := range c.runs {
		state := uint32(0)
		if run.zero {
			state = stateZero
		}
		b = be.AppendUint32(be.AppendUint32(b, uint32(run.length)), state)
	}
	c.head = b
	return append(pieces, c.head)
}
