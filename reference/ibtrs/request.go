// SPDX-License-Identifier: Apache-2.0

package ibtrs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes in bytes of the messages at the end of a request, and the flag of a read.
const (
	WriteMessageSize = 4
	ReadMessageSize  = 8 // without its descriptors

	NeedInvalidate = 0x0001 // bit of ReadMessage.Flags: invalidate the descriptor's key with the response
)

// WriteMessage ends a request whose data goes from client to server, 4 bytes.
type WriteMessage struct {
	Type         uint16 // TypeWrite
	HeaderLength uint16 // bytes of the user header in front of the message
}

// AppendBinary appends the 4 bytes of the message. It never fails.
func (m WriteMessage) AppendBinary(b []byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint16(b, m.Type)
	return binary.LittleEndian.AppendUint16(b, m.HeaderLength), nil
}

// ParseWriteMessage reads a write message and checks its type.
func ParseWriteMessage(b []byte) (m WriteMessage, err error) {
	if len(b) < WriteMessageSize {
		return m, layout.Short(writeMessageLayout.Title, len(b), WriteMessageSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	m.HeaderLength = binary.LittleEndian.Uint16(b[2:])
	if m.Type != TypeWrite {
		err = layout.Illegal(writeMessageLayout.Title, "type", 0, m.Type, "2")
	}
	return m, err
}

// ReadMessage ends a request whose data, if any, goes from server to client: 8+16*Count bytes.
type ReadMessage struct {
	Type         uint16      // TypeRead
	HeaderLength uint16      // bytes of the user header in front of the message
	Flags        uint16      // NeedInvalidate or 0
	Count        uint16      // number of Descriptors
	Descriptors  Descriptors // where the server writes the data
}

// Size returns the number of bytes of the message on the wire.
func (m ReadMessage) Size() int { return ReadMessageSize + len(m.Descriptors) }

// AppendBinary appends the message, with Count as it is set and all of Descriptors. It never fails.
func (m ReadMessage) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, ReadMessageSize)
	binary.LittleEndian.PutUint16(p, m.Type)
	binary.LittleEndian.PutUint16(p[2:], m.HeaderLength)
	binary.LittleEndian.PutUint16(p[4:], m.Flags)
	binary.LittleEndian.PutUint16(p[6:], m.Count)
	return append(b, m.Descriptors...), nil
}

// ParseReadMessage reads a read message and checks its type and that the descriptors it counts are there.
// Descriptors is a part of b.
func ParseReadMessage(b []byte) (m ReadMessage, err error) {
	if len(b) < ReadMessageSize {
		return m, layout.Short(readMessageLayout.Title, len(b), ReadMessageSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	m.HeaderLength = binary.LittleEndian.Uint16(b[2:])
	m.Flags = binary.LittleEndian.Uint16(b[4:])
	m.Count = binary.LittleEndian.Uint16(b[6:])
	m.Descriptors, err = takeDescriptors(b[ReadMessageSize:], m.Count, readMessageLayout.Title, 6)
	if m.Type != TypeRead {
		err = layout.Illegal(readMessageLayout.Title, "type", 0, m.Type, "3")
	}
	return m, err
}

// Direction tells which way the data of a request goes. It is decided by the transport message alone, never by the
// user header.
type Direction uint8

// The two directions, numbered like the transport messages that announce them.
const (
	Write Direction = TypeWrite // client to server
	Read  Direction = TypeRead  // server to client
)

// String returns "write" or "read".
func (d Direction) String() string {
	switch d {
	case Write:
		return "write"
	case Read:
		return "read"
	}
	return fmt.Sprintf("Direction(%d)", uint8(d))
}

// ChunkRequest is a request as it lies in a chunk: data, user header, transport message, one behind the other
// (Clause IBTRS-IO-001).
type ChunkRequest struct {
	Direction   Direction
	Data        []byte      // of a write: what the client sent; of a read: where the server collects the answer
	Header      []byte      // the user header
	Flags       uint16      // of a read: NeedInvalidate or 0
	Descriptors Descriptors // of a read: where the answer goes
}

// A fault in a chunk is answered in one of two ways; errors of ParseChunk say which, see [FatalFault].
const (
	faultAnswered = EINVAL     // the request is answered with this number and the path lives on
	faultFatal    = ECONNRESET // the path is closed
)

// FatalFault reports whether an error of [ParseChunk] makes a server close the path (Clauses IBTRS-IO-021,
// IBTRS-IO-025, IBTRS-IO-026), rather than answer the request with EINVAL (Clauses IBTRS-IO-022 to IBTRS-IO-024).
func FatalFault(err error) bool {
	return errors.Is(err, faultFatal)
}

// ParseChunk finds the parts of the request in chunk whose transport message lies at offset, as told by the
// immediate. All parts are parts of chunk. It refuses more than maxDescriptors descriptors (1, but for original
// clients) and descriptors that are empty, or together longer than the data.
func ParseChunk(chunk []byte, offset uint32, maxDescriptors int) (r ChunkRequest, err error) {
	if uint64(offset)+WriteMessageSize > uint64(len(chunk)) {
		return r, chunkFault(faultFatal, "offset", int(offset), len(chunk), "4 bytes or more before the end of the chunk")
	}
	message := chunk[offset:]
	r.Direction = Direction(min(binary.LittleEndian.Uint16(message), 255))
	switch r.Direction {
	case Read:
		if err := r.takeRead(message, int(offset)); err != nil {
			return r, err
		}
	case Write:
	default:
		return r, chunkFault(faultFatal, "type", int(offset), binary.LittleEndian.Uint16(message), "2 (write) or 3 (read)")
	}

	headerLength := uint32(binary.LittleEndian.Uint16(message[2:]))
	if headerLength > offset {
		return r, chunkFault(faultAnswered, "header_length", int(offset)+2, headerLength, "at most the offset of the transport message")
	}
	dataLength := offset - headerLength
	r.Data = chunk[:dataLength:dataLength]
	r.Header = chunk[dataLength:offset:offset]
	return r, r.checkDescriptors(maxDescriptors, int(offset), uint64(len(chunk)))
}

func (r *ChunkRequest) takeRead(message []byte, offset int) error {
	m, err := ParseReadMessage(message)
	if err != nil {
		return chunkFault(faultFatal, "count", offset+6, len(message), "a read message that ends inside the chunk")
	}
	r.Flags, r.Descriptors = m.Flags, m.Descriptors
	return nil
}

func (r *ChunkRequest) checkDescriptors(limit, offset int, chunkSize uint64) error {
	if n := r.Descriptors.Len(); n > limit {
		return chunkFault(faultAnswered, "count", offset+6, n, fmt.Sprintf("at most %d", limit))
	}
	var total uint64
	for i, d := range r.Descriptors.All() {
		at := offset + ReadMessageSize + i*DescriptorSize + 12
		if d.Length == 0 || uint64(d.Length) > chunkSize {
			return chunkFault(faultFatal, "length", at, d.Length, fmt.Sprintf("1 to the chunk size %d", chunkSize))
		}
		if total += uint64(d.Length); total > uint64(len(r.Data)) {
			return chunkFault(faultAnswered, "length", at, d.Length, fmt.Sprintf("within the %d bytes of the request's data", len(r.Data)))
		}
	}
	return nil
}

func chunkFault(kind Errno, field string, offset int, value any, limit string) error {
	return &layout.Error{Message: "IBTRS request", Field: field, Offset: offset, Value: value, Limit: limit, Err: kind}
}
