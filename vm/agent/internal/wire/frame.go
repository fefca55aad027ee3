// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A virtio-serial port is a byte stream that outlives the programs at its ends: what one host process left half-written
// may be in front of what the next one says, and a guest may not notice that the host changed. So everything travels in
// frames that name their session, and the reader looks for the start of a frame rather than trusting that it is there.
//
//	0      4      5       6        8         16
//	+------+------+-------+--------+---------+---------
//	| IBAG | kind | zero  | length | session | payload
//	+------+------+-------+--------+---------+---------
//
// Numbers are big endian; length counts the payload.

// MaxPayload is the largest payload of a frame in bytes. It is also what the guest's driver takes at once.
const MaxPayload = 32 << 10

const (
	magic      = "IBAG"
	headerSize = 16
)

// A FrameKind says what a frame is for.
type FrameKind uint8

// The kinds of frames. A host says Hello until the guest answers Welcome; Data goes both ways.
const (
	Hello FrameKind = iota + 1
	Welcome
	Data
)

// A Frame is one unit on the port.
type Frame struct {
	Kind    FrameKind
	Session uint64 // chosen by the host, at random, for each connection
	Payload []byte // at most MaxPayload
}

// Flush is what a host sends first: enough zeros to complete any frame that a predecessor left unfinished.
func Flush() []byte { return make([]byte, headerSize+MaxPayload) }

// WriteFrame writes one frame with one Write.
func WriteFrame(w io.Writer, f Frame) error {
	if len(f.Payload) > MaxPayload {
		return fmt.Errorf("frame of %d bytes: the limit is %d", len(f.Payload), MaxPayload)
	}
	buf := make([]byte, headerSize, headerSize+len(f.Payload))
	copy(buf, magic)
	buf[4] = byte(f.Kind)
	binary.BigEndian.PutUint16(buf[6:], uint16(len(f.Payload)))
	binary.BigEndian.PutUint64(buf[8:], f.Session)
	_, err := w.Write(append(buf, f.Payload...))
	return err
}

// A FrameReader finds frames in a stream of bytes.
type FrameReader struct {
	r      io.Reader
	header [headerSize]byte
	buf    [MaxPayload]byte
}

// NewFrameReader returns a reader of the frames in r. It reads no more than it needs.
func NewFrameReader(r io.Reader) *FrameReader { return &FrameReader{r: r} }

// Next returns the next frame, past any bytes that are none. Its payload is good until the next call. An error is that of
// the underlying reader.
func (r *FrameReader) Next() (Frame, error) {
	if _, err := io.ReadFull(r.r, r.header[:]); err != nil {
		return Frame{}, eof(err)
	}
	for !r.plausible() {
		if err := r.skip(); err != nil {
			return Frame{}, err
		}
	}
	payload := r.buf[:binary.BigEndian.Uint16(r.header[6:])]
	if _, err := io.ReadFull(r.r, payload); err != nil {
		return Frame{}, eof(err)
	}
	return Frame{FrameKind(r.header[4]), binary.BigEndian.Uint64(r.header[8:]), payload}, nil
}

func (r *FrameReader) plausible() bool {
	kind := FrameKind(r.header[4])
	return string(r.header[:4]) == magic && kind >= Hello && kind <= Data && r.header[5] == 0 &&
		binary.BigEndian.Uint16(r.header[6:]) <= MaxPayload
}

// skip drops the first byte of the header, and with it all that cannot start another one.
func (r *FrameReader) skip() error {
	n := 1
	for n < headerSize && r.header[n] != magic[0] {
		n++
	}
	kept := copy(r.header[:], r.header[n:])
	_, err := io.ReadFull(r.r, r.header[kept:])
	return eof(err)
}

// eof makes the end of the stream one error, wherever in a frame it comes.
func eof(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
