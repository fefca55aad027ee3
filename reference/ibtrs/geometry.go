// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"fmt"
	"math/bits"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Defaults and limits of a session's geometry.
const (
	DefaultQueueDepth    = 512
	DefaultMaxIOSize     = 126976
	DefaultMaxHeaderSize = 4096
	MaxQueueDepth        = 65535

	MinChunkSize     = 8192 // a server with less does not start
	MinMaxHeaderSize = 288  // an OPEN of 264 bytes, a read message and one descriptor
	MinMaxIOSize     = 512  // one sector
)

// Geometry is what the accept of a path fixes for a session: how many chunks there are, and how large they are.
type Geometry struct {
	QueueDepth    uint16 // chunks, and so requests at a time
	MaxIOSize     uint32 // bytes of user data in one request
	MaxHeaderSize uint32 // bytes of user header and transport message in one request
}

// DefaultGeometry is the one of a server that nobody configured: 512 chunks of 128 KiB.
var DefaultGeometry = Geometry{DefaultQueueDepth, DefaultMaxIOSize, DefaultMaxHeaderSize}

// ChunkSize returns the bytes of one chunk. It is meaningful only in a valid geometry.
func (g Geometry) ChunkSize() uint32 { return g.MaxIOSize + g.MaxHeaderSize }

// Shift returns the position of the chunk number in the payload of a request's immediate: 28 less the bits that
// the highest chunk number needs. A depth of 1 needs none, so its shift is 28.
func (g Geometry) Shift() int { return payloadBits - g.chunkBits() }

func (g Geometry) chunkBits() int {
	if g.QueueDepth == 0 {
		return 0
	}
	return bits.Len16(g.QueueDepth - 1)
}

// Validate checks what a client demands of an accept (Clauses IBTRS-CONN-038, IBTRS-CONN-051, IBTRS-INFO-018): at
// least one chunk, room for the largest message and for one sector, a chunk size that is a power of two, and chunk
// number and offset together within the 28 bits of an immediate.
func (g Geometry) Validate() error {
	title := connResponseLayout.Title
	size := uint64(g.MaxIOSize) + uint64(g.MaxHeaderSize)
	switch {
	case g.QueueDepth == 0:
		return layout.Illegal(title, "queue_depth", 6, g.QueueDepth, "at least 1")
	case g.MaxHeaderSize < MinMaxHeaderSize:
		return layout.Illegal(title, "max_header_size", 12, g.MaxHeaderSize, "at least 288")
	case g.MaxIOSize < MinMaxIOSize:
		return layout.Illegal(title, "max_io_size", 8, g.MaxIOSize, "at least 512")
	case size > 1<<32-1 || size&(size-1) != 0:
		return layout.Illegal(title, "max_io_size", 8, g.MaxIOSize, fmt.Sprintf("a power of two together with the header size %d", g.MaxHeaderSize))
	case g.chunkBits()+bits.Len64(size-1) > payloadBits:
		return layout.Illegal(title, "queue_depth", 6, g.QueueDepth, fmt.Sprintf("no more than fits into 28 bits beside offsets in chunks of %d bytes", size))
	}
	return nil
}

// ValidateServer checks what a server demands of its own configuration before it starts: [Geometry.Validate], and
// chunks of at least 8192 bytes.
func (g Geometry) ValidateServer() error {
	if err := g.Validate(); err != nil {
		return fmt.Errorf("%w: %w", EINVAL, err)
	}
	if g.ChunkSize() < MinChunkSize {
		return fmt.Errorf("chunks of %d bytes, at least %d are needed: %w", g.ChunkSize(), MinChunkSize, EINVAL)
	}
	return nil
}

// CheckWrite checks the sizes of a write before it is built: data and user header, in bytes, with their transport
// message must fit into a chunk, and the headers into their part of it. The error is EMSGSIZE to errors.Is.
func (g Geometry) CheckWrite(data, header int) error {
	return g.checkRequest(data, header, WriteMessageSize, WriteMessageSize)
}

// CheckRead checks the sizes of a read before it is built, like CheckWrite; descriptors is the number of places its
// data goes to.
func (g Geometry) CheckRead(data, header, descriptors int) error {
	return g.checkRequest(data, header, ReadMessageSize, ReadMessageSize+descriptors*DescriptorSize)
}

func (g Geometry) checkRequest(data, header, fixed, message int) error {
	if header+message > int(g.MaxHeaderSize) {
		return fmt.Errorf("user header of %d bytes and transport message of %d exceed the max header size %d: %w",
			header, message, g.MaxHeaderSize, EMSGSIZE)
	}
	if data+header+fixed > int(g.ChunkSize()) {
		return fmt.Errorf("%d bytes of data, %d of user header and %d of transport message exceed the chunk size %d: %w",
			data, header, fixed, g.ChunkSize(), EMSGSIZE)
	}
	return nil
}
