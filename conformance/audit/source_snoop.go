// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// snoopMagic is what captures of Solaris begin with (RFC 1761).
const snoopMagic = "snoop\x00\x00\x00"

const (
	snoopHeaderLen = 16
	snoopRecordLen = 24
	snoopPadMost   = 1 << 16 // bytes between the frame and the next record
)

// snoopSource reads the format of snoop.
type snoopSource struct {
	in    *bufio.Reader
	frame Frame
	buf   []byte
}

func newSnoopSource(in *bufio.Reader, rail string) (Source, error) {
	var h [snoopHeaderLen]byte
	if n, err := io.ReadFull(in, h[:]); err != nil {
		return nil, fmt.Errorf("%w: snoop header has %d bytes, must have %d", ErrFormat, n, snoopHeaderLen)
	}
	if version := binary.BigEndian.Uint32(h[8:]); version != 2 {
		return nil, fmt.Errorf("%w: snoop version is %d, must be 2", ErrFormat, version)
	}
	kind := binary.BigEndian.Uint32(h[12:])
	if kind != 4 {
		return nil, fmt.Errorf("%w: data link type of snoop is %d, must be 4 (Ethernet)", ErrFormat, kind)
	}
	return &snoopSource{in: in, frame: Frame{FrameID: FrameID{Rail: rail}, Link: Ethernet}}, nil
}

func (s *snoopSource) Close() error { return nil }

func (s *snoopSource) Next() (Frame, error) {
	var h [snoopRecordLen]byte
	if _, err := io.ReadFull(s.in, h[:]); err != nil {
		return Frame{}, recordError(err, s.frame.Number)
	}
	length, captured, record := binary.BigEndian.Uint32(h[:]), binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	pad := int64(record) - snoopRecordLen - int64(captured)
	switch {
	case captured > MaxFrame:
		return Frame{}, recordError(tooLong(captured), s.frame.Number)
	case pad < 0 || pad > snoopPadMost:
		err := fmt.Errorf("%w: record has %d bytes, of which %d are captured", ErrFormat, record, captured)
		return Frame{}, recordError(err, s.frame.Number)
	}
	s.buf = sized(s.buf, int(captured))
	if _, err := io.ReadFull(s.in, s.buf); err != nil {
		return Frame{}, recordError(noEOF(err), s.frame.Number)
	}
	if _, err := s.in.Discard(int(pad)); err != nil {
		return Frame{}, recordError(noEOF(err), s.frame.Number)
	}
	s.frame.Number++
	s.frame.At = time.Unix(int64(binary.BigEndian.Uint32(h[16:])), int64(binary.BigEndian.Uint32(h[20:]))*int64(time.Microsecond))
	s.frame.Data, s.frame.OrigLen = s.buf, int(max(captured, length))
	return s.frame, nil
}
