// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The first four bytes of a classic capture, in the byte order of the machine that wrote it.
const (
	pcapMagic          = 0xA1B2C3D4
	pcapNanoMagic      = 0xA1B23C4D // nanoseconds where others have microseconds
	pcapKuznetzovMagic = 0xA1B2CD34 // records with eight bytes more, of a patched libpcap
)

const (
	pcapHeaderLen = 24
	pcapRecordLen = 16
	pcapLinkMask  = 0x03FFFFFF // the bits above tell the length of the frame check sequence
)

// pcapSource reads the classic format (draft-ietf-opsawg-pcap) and those of its variants that libpcap reads.
type pcapSource struct {
	in        *bufio.Reader
	order     binary.ByteOrder
	tick      time.Duration // unit of the second half of a time
	headerLen int           // of a record
	swapped   swapping
	snapLen   uint32
	frame     Frame
	buf       []byte
	header    [pcapRecordLen + 8]byte
}

// swapping tells in which order the two lengths of a record stand: before version 2.3 the length on the wire came first, and
// in version 2.3 either did.
type swapping uint8

const (
	inOrder swapping = iota
	perhapsSwapped
	alwaysSwapped
)

// isPcap tells a classic capture by its first four bytes.
func isPcap(magic []byte) bool {
	_, _, ok := pcapVariant(magic)
	return ok
}

// pcapVariant gives the byte order and the number of a variant.
func pcapVariant(magic []byte) (binary.ByteOrder, uint32, bool) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch variant := order.Uint32(magic); variant {
		case pcapMagic, pcapNanoMagic, pcapKuznetzovMagic:
			return order, variant, true
		}
	}
	return nil, 0, false
}

func newPcapSource(in *bufio.Reader, rail string) (Source, error) {
	var h [pcapHeaderLen]byte
	if n, err := io.ReadFull(in, h[:]); err != nil {
		return nil, fmt.Errorf("%w: pcap header has %d bytes, must have %d", ErrFormat, n, pcapHeaderLen)
	}
	order, variant, _ := pcapVariant(h[:])
	s := &pcapSource{in: in, order: order, tick: time.Microsecond, headerLen: pcapRecordLen, snapLen: order.Uint32(h[16:])}
	switch variant {
	case pcapNanoMagic:
		s.tick = time.Nanosecond
	case pcapKuznetzovMagic:
		s.headerLen += 8 // interface, protocol and direction
	}
	if err := s.setVersion(order.Uint16(h[4:]), order.Uint16(h[6:])); err != nil {
		return nil, err
	}
	link := Link(order.Uint32(h[20:]) & pcapLinkMask)
	if !readable[link] {
		return nil, unknownLink(link)
	}
	s.frame = Frame{FrameID: FrameID{Rail: rail}, Link: link}
	return s, nil
}

// setVersion settles the order of the lengths. 543.0 is what the tcpdump of DG/UX wrote.
func (s *pcapSource) setVersion(major, minor uint16) error {
	switch {
	case major == 2 && minor < 3, major == 543 && minor == 0:
		s.swapped = alwaysSwapped
	case major == 2 && minor == 3:
		s.swapped = perhapsSwapped
	case major != 2:
		return fmt.Errorf("%w: pcap version is %d.%d, must be 2.x", ErrFormat, major, minor)
	}
	return nil
}

func (s *pcapSource) Close() error { return nil }

func (s *pcapSource) Next() (Frame, error) {
	h := s.header[:s.headerLen]
	if _, err := io.ReadFull(s.in, h); err != nil {
		return Frame{}, recordError(err, s.frame.Number)
	}
	if err := s.checkHeader(h); err != nil {
		return Frame{}, recordError(err, s.frame.Number)
	}
	captured, length := s.lengths(h)
	if captured > MaxFrame {
		return Frame{}, recordError(tooLong(captured), s.frame.Number)
	}
	s.buf = sized(s.buf, int(captured))
	if _, err := io.ReadFull(s.in, s.buf); err != nil {
		return Frame{}, recordError(noEOF(err), s.frame.Number)
	}
	s.frame.Number++
	s.frame.At = time.Unix(int64(s.order.Uint32(h)), int64(s.order.Uint32(h[4:]))*int64(s.tick))
	s.frame.Data, s.frame.OrigLen = s.buf, int(max(captured, length))
	s.frame.Long = s.snapLen > 0 && captured > s.snapLen
	return s.frame, nil
}

// checkHeader refuses what looks like a record and is none.
func (s *pcapSource) checkHeader(h []byte) error {
	if allZero(h) {
		return fmt.Errorf("%w: nothing but zeros, the file was not written to its end", ErrFormat)
	}
	if order, _, ok := pcapVariant(h); ok && order.Uint16(h[4:]) == 2 && order.Uint16(h[6:]) == 4 {
		return fmt.Errorf("%w: another capture begins here; give the files one by one", ErrFormat)
	}
	return nil
}

// lengths gives the captured length and that on the wire. A captured length above the snap length of the file, or above that
// on the wire, is as good as another.
func (s *pcapSource) lengths(h []byte) (captured, length uint32) {
	captured, length = s.order.Uint32(h[8:]), s.order.Uint32(h[12:])
	if s.swapped == alwaysSwapped || s.swapped == perhapsSwapped && captured > length {
		return length, captured
	}
	return captured, length
}

func tooLong(captured uint32) error {
	return fmt.Errorf("%w: captured length is %d, must be at most %d", ErrFormat, captured, MaxFrame)
}

// sized gives a buffer of n bytes, the old one if it has room.
func sized(buf []byte, n int) []byte {
	if cap(buf) < n {
		return make([]byte, n, max(n, 2048))
	}
	return buf[:n]
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
