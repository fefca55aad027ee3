// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"time"
)

// The kinds of pcapng blocks that are read (draft-ietf-opsawg-pcapng); all others are passed over.
const (
	ngSection   = 0x0A0D0D0A
	ngInterface = 1
	ngPacket    = 2 // obsolete
	ngSimple    = 3
	ngEnhanced  = 6
)

const (
	ngByteOrder  = 0x1A2B3C4D
	ngBlockLen   = 12           // of a block without body: kind, and its length in front and behind
	ngBodyMost   = 1 << 20      // of a block that describes an interface
	ngHeaderMost = 16 << 20     // of the header of a section, with all its comments
	ngInterfaces = 1 << 16      // of a section
	ngLastSecond = 253402300799 // of the year 9999
)

// ngSource reads the next generation format.
type ngSource struct {
	in      *bufio.Reader
	order   binary.ByteOrder
	rail    string
	number  uint64
	ifaces  []ngIface
	strange uint64 // frames of link types that are not read
	link    Link   // of the first of them
	left    int64  // bytes of the present block that were not read yet, its second length included
	length  uint32 // of the present block
	at      time.Time
	head    [ngBlockLen]byte
	fixed   [24]byte
	buf     []byte
}

// ngIface is an interface of the present section.
type ngIface struct {
	rail    string
	dropped bool
	link    Link
	snapLen uint32
	unit    ngUnit
	offset  int64 // seconds that are added to each time
}

func newNgSource(in *bufio.Reader, rail string) (Source, error) {
	s := &ngSource{in: in, rail: rail, at: time.Unix(0, 0)}
	if kind, err := s.block(); err != nil || kind != ngSection {
		return nil, fmt.Errorf("%w: pcapng header: %w", ErrFormat, noEOF(err))
	}
	if err := s.end(); err != nil {
		return nil, fmt.Errorf("%w: pcapng header: %w", ErrFormat, noEOF(err))
	}
	return s, nil
}

func (s *ngSource) Close() error { return nil }

func (s *ngSource) Next() (Frame, error) {
	for {
		frame, err := s.next()
		switch {
		case err == io.EOF && s.number > 0 && s.number == s.strange:
			return Frame{}, unknownLink(s.link)
		case err != nil:
			return Frame{}, recordError(err, s.number)
		case frame.Number > 0:
			return frame, nil
		}
	}
}

// next reads one block, and gives its frame if it has one.
func (s *ngSource) next() (frame Frame, err error) {
	kind, err := s.block()
	if err != nil {
		return Frame{}, err
	}
	switch kind {
	case ngInterface:
		err = s.readInterface()
	case ngPacket:
		frame, err = s.readPacket(func(h []byte) uint32 { return uint32(s.order.Uint16(h)) })
	case ngEnhanced:
		frame, err = s.readPacket(func(h []byte) uint32 { return s.order.Uint32(h) })
	case ngSimple:
		frame, err = s.readSimple()
	}
	if err != nil {
		return Frame{}, noEOF(err)
	}
	return frame, noEOF(s.end())
}

// block reads the first bytes of the next block: of one that begins a section as far as its body.
func (s *ngSource) block() (kind uint32, err error) {
	head := s.head[:8]
	if _, err := io.ReadFull(s.in, head); err != nil {
		return 0, err
	}
	if binary.LittleEndian.Uint32(head) == ngSection {
		return ngSection, noEOF(s.section())
	}
	s.length = s.order.Uint32(head[4:])
	if s.length < ngBlockLen || s.length%4 != 0 {
		return 0, fmt.Errorf("%w: block length is %d, must be a multiple of 4 and at least %d", ErrFormat, s.length, ngBlockLen)
	}
	s.left = int64(s.length) - 8
	return s.order.Uint32(head), nil
}

// section reads the header of a section, which tells the byte order and forgets the interfaces.
func (s *ngSource) section() error {
	if _, err := io.ReadFull(s.in, s.fixed[:16]); err != nil {
		return err
	}
	switch uint32(ngByteOrder) {
	case binary.LittleEndian.Uint32(s.fixed[:]):
		s.order = binary.LittleEndian
	case binary.BigEndian.Uint32(s.fixed[:]):
		s.order = binary.BigEndian
	default:
		return fmt.Errorf("%w: byte order of a section is % x", ErrFormat, s.fixed[:4])
	}
	s.length = s.order.Uint32(s.head[4:])
	if s.length < ngBlockLen+16 || s.length%4 != 0 || s.length > ngHeaderMost {
		return fmt.Errorf("%w: section header has %d bytes, must be a multiple of 4 from %d to %d", ErrFormat, s.length, ngBlockLen+16, ngHeaderMost)
	}
	if major := s.order.Uint16(s.fixed[4:]); major != 1 {
		return fmt.Errorf("%w: pcapng version is %d.%d, must be 1.x", ErrFormat, major, s.order.Uint16(s.fixed[6:]))
	}
	s.left, s.ifaces = int64(s.length)-24, s.ifaces[:0]
	return nil
}

// end passes over the rest of a block and compares the length behind it.
func (s *ngSource) end() error {
	for s.left > 4 {
		n, err := s.in.Discard(int(min(s.left-4, 1<<20)))
		s.left -= int64(n)
		if err != nil {
			return err
		}
	}
	again := s.head[8:12]
	if _, err := io.ReadFull(s.in, again); err != nil {
		return err
	}
	if n := s.order.Uint32(again); n != s.length {
		return fmt.Errorf("%w: block length is %d in front and %d behind", ErrFormat, s.length, n)
	}
	return nil
}

// body reads the next bytes of the present block.
func (s *ngSource) body(b []byte) error {
	if room := s.left - 4; int64(len(b)) > room {
		return fmt.Errorf("%w: block of %d bytes has no room for %d bytes more", ErrFormat, s.length, int64(len(b))-room)
	}
	n, err := io.ReadFull(s.in, b)
	s.left -= int64(n)
	return err
}

// readInterface reads the description of an interface.
func (s *ngSource) readInterface() error {
	if len(s.ifaces) == ngInterfaces || s.left-4 > ngBodyMost {
		return fmt.Errorf("%w: interface %d with a description of %d bytes, must be at most %d with %d bytes each",
			ErrFormat, len(s.ifaces), s.left-4, ngInterfaces, ngBodyMost)
	}
	b := make([]byte, max(8, s.left-4))
	if err := s.body(b); err != nil {
		return err
	}
	i := ngIface{link: Link(s.order.Uint16(b)), snapLen: s.order.Uint32(b[4:]), unit: microseconds, rail: s.rail}
	if err := s.options(b[8:], &i); err != nil {
		return err
	}
	s.ifaces = append(s.ifaces, i)
	return nil
}

// The options of an interface that matter here.
const (
	ngOptionEnd    = 0
	ngOptionName   = 2
	ngOptionUnit   = 9
	ngOptionOffset = 14
)

func (s *ngSource) options(b []byte, i *ngIface) error {
	for len(b) >= 4 {
		code, n := s.order.Uint16(b), int(s.order.Uint16(b[2:]))
		if code == ngOptionEnd {
			return nil
		}
		padded := (n + 3) &^ 3
		if padded > len(b)-4 {
			return fmt.Errorf("%w: option %d of an interface has %d bytes, the block has room for %d", ErrFormat, code, n, len(b)-4)
		}
		value := b[4 : 4+n]
		switch {
		case code == ngOptionName:
			if name, dropped := strings.CutSuffix(strings.TrimRight(string(value), "\x00"), DroppedSuffix); name != "" {
				i.rail, i.dropped = name, dropped
			}
		case code == ngOptionUnit && n == 1:
			i.unit = ngUnit(value[0])
			if !i.unit.valid() {
				return fmt.Errorf("%w: time unit of an interface is %#02x", ErrFormat, value[0])
			}
		case code == ngOptionOffset && n == 8:
			i.offset = int64(s.order.Uint64(value))
		}
		b = b[4+padded:]
	}
	return nil
}

// readPacket reads a packet block; iface finds the number of the interface in the first four bytes.
func (s *ngSource) readPacket(iface func([]byte) uint32) (Frame, error) {
	h := s.fixed[:20]
	if err := s.body(h); err != nil {
		return Frame{}, err
	}
	at := uint64(s.order.Uint32(h[4:]))<<32 | uint64(s.order.Uint32(h[8:]))
	return s.frame(iface(h), s.order.Uint32(h[12:]), s.order.Uint32(h[16:]), func(i *ngIface) (time.Time, bool) {
		return i.unit.time(at, i.offset)
	})
}

// readSimple reads a packet block that has no time and belongs to the first interface.
func (s *ngSource) readSimple() (Frame, error) {
	h := s.fixed[:4]
	if err := s.body(h); err != nil {
		return Frame{}, err
	}
	length := s.order.Uint32(h)
	captured := length
	if len(s.ifaces) > 0 && s.ifaces[0].snapLen > 0 {
		captured = min(captured, s.ifaces[0].snapLen)
	}
	return s.frame(0, captured, length, func(*ngIface) (time.Time, bool) { return time.Time{}, false })
}

// frame reads the bytes of a frame.
func (s *ngSource) frame(iface, captured, length uint32, when func(*ngIface) (time.Time, bool)) (Frame, error) {
	if int64(iface) >= int64(len(s.ifaces)) {
		return Frame{}, fmt.Errorf("%w: interface of a packet is %d, %d are described", ErrFormat, iface, len(s.ifaces))
	}
	if captured > MaxFrame {
		return Frame{}, tooLong(captured)
	}
	s.buf = sized(s.buf, int(captured))
	if err := s.body(s.buf); err != nil {
		return Frame{}, err
	}
	i := &s.ifaces[iface]
	at, timed := when(i)
	if timed {
		s.at = at
	}
	s.number++
	if !readable[i.link] {
		if s.strange++; s.strange == 1 {
			s.link = i.link
		}
	}
	return Frame{
		FrameID: FrameID{i.rail, s.number}, At: s.at, Data: s.buf, OrigLen: int(max(captured, length)), Link: i.link, Lost: i.dropped,
		Untimed: !timed, Long: i.snapLen > 0 && captured > i.snapLen,
	}, nil
}

// ngUnit is the unit of the times of an interface: a negative power of 10 or, with the highest bit set, of 2.
type ngUnit uint8

const microseconds ngUnit = 6

func (u ngUnit) valid() bool { return u&0x80 == 0 && u < 20 || u&0x80 != 0 && u&0x7F < 64 }

// time gives the time that many units after 1970, and offset seconds more. It is false for one that no calendar has.
func (u ngUnit) time(units uint64, offset int64) (time.Time, bool) {
	var second, nano uint64
	if shift := u & 0x7F; u&0x80 != 0 {
		second = units >> shift
		hi, lo := bits.Mul64(units-second<<shift, 1e9)
		nano = hi<<(64-shift) | lo>>shift
	} else {
		scale := power10(uint8(u))
		second, nano = units/scale, units%scale
		if u > 9 {
			nano /= power10(uint8(u) - 9)
		} else {
			nano *= power10(9 - uint8(u))
		}
	}
	if second > ngLastSecond || offset > ngLastSecond || offset < -ngLastSecond {
		return time.Time{}, false
	}
	at := int64(second) + offset
	return time.Unix(at, int64(nano)), at >= 0 && at <= ngLastSecond
}

func power10(n uint8) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
