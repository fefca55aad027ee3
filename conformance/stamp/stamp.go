// SPDX-License-Identifier: Apache-2.0

// Package stamp makes block contents that tell who wrote them, when and where, so that a lost, doubled, torn, misplaced
// or overtaken write shows in what is read back.
//
// Every 512-byte sector carries its own [Stamp] and a checksum over the whole sector; the rest of it is a pattern that
// follows from the stamp. A read is judged sector by sector: [Check] names the first one that is not what it should be,
// and what it is instead.
package stamp

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Sector is the size in bytes of the unit that is stamped: the unit in which block protocols count.
const Sector = 512

const (
	magic      = "ibnbdstm"
	headerSize = 40
	sumOffset  = Sector - 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Stamp identifies one write. The sector number is added for each sector that the write covers.
type Stamp struct {
	Writer   uint64 // who: a test, a host, a path
	Sequence uint64 // which of that writer's writes; later writes have greater numbers
	Time     int64  // when, in nanoseconds of the writer's clock
}

// String names the write for evidence.
func (s Stamp) String() string {
	return fmt.Sprintf("writer %d, write %d, time %d", s.Writer, s.Sequence, s.Time)
}

// Fill stamps buf, whose first byte lies at the given 512-byte sector of the device. The length of buf is a multiple of
// Sector; Fill panics otherwise, because that is a mistake of the test.
func Fill(buf []byte, sector uint64, s Stamp) {
	mustBeSectors(buf)
	for ; len(buf) > 0; buf, sector = buf[Sector:], sector+1 {
		fillSector(buf[:Sector], sector, s)
	}
}

func fillSector(b []byte, sector uint64, s Stamp) {
	copy(b, magic)
	binary.LittleEndian.PutUint64(b[8:], sector)
	binary.LittleEndian.PutUint64(b[16:], s.Writer)
	binary.LittleEndian.PutUint64(b[24:], s.Sequence)
	binary.LittleEndian.PutUint64(b[32:], uint64(s.Time))
	// An xorshift sequence seeded by place and write: no two sectors are alike, so a shifted or mixed one is seen.
	x := (sector+1)*0x9e3779b97f4a7c15 ^ s.Writer<<32 ^ s.Sequence | 1
	for i := headerSize; i < sumOffset; i += 4 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint32(b[i:], uint32(x>>16))
	}
	binary.LittleEndian.PutUint32(b[sumOffset:], crc32.Checksum(b[:sumOffset], castagnoli))
}

// Read gives the stamp of one sector and the sector number that was written into it. It fails when the sector was never
// stamped or does not hold what its stamp says.
func Read(b []byte) (s Stamp, sector uint64, err error) {
	if len(b) < Sector {
		return s, 0, fmt.Errorf("stamp: %d bytes, a sector has %d", len(b), Sector)
	}
	b = b[:Sector]
	if string(b[:8]) != magic {
		return s, 0, fmt.Errorf("stamp: not stamped: begins with % x", b[:8])
	}
	sector = binary.LittleEndian.Uint64(b[8:])
	s = Stamp{
		Writer:   binary.LittleEndian.Uint64(b[16:]),
		Sequence: binary.LittleEndian.Uint64(b[24:]),
		Time:     int64(binary.LittleEndian.Uint64(b[32:])),
	}
	if got, want := binary.LittleEndian.Uint32(b[sumOffset:]), crc32.Checksum(b[:sumOffset], castagnoli); got != want {
		return s, sector, fmt.Errorf("stamp: torn: checksum %08x, content has %08x (header says %s, sector %d)", got, want, s, sector)
	}
	return s, sector, nil
}

// Mismatch tells which sector of a read was not as expected.
type Mismatch struct {
	Sector uint64 // where it was read
	Want   Stamp
	Got    Stamp  // what it holds, if Err is nil
	Home   uint64 // the sector for which it was written, if Err is nil
	Err    error  // why it holds no stamp
}

func (m *Mismatch) Error() string {
	switch {
	case m.Err != nil:
		return fmt.Sprintf("sector %d: want %s: %v", m.Sector, m.Want, m.Err)
	case m.Home != m.Sector:
		return fmt.Sprintf("sector %d: misplaced: holds sector %d of %s, want %s", m.Sector, m.Home, m.Got, m.Want)
	default:
		return fmt.Sprintf("sector %d: holds %s, want %s", m.Sector, m.Got, m.Want)
	}
}

// Unwrap gives the reason why the sector holds no stamp.
func (m *Mismatch) Unwrap() error { return m.Err }

// Check verifies that buf, read from the given sector on, was written by s as a whole. The error is a *Mismatch.
func Check(buf []byte, sector uint64, s Stamp) error {
	mustBeSectors(buf)
	for ; len(buf) > 0; buf, sector = buf[Sector:], sector+1 {
		got, home, err := Read(buf)
		if err != nil || home != sector || got != s {
			return &Mismatch{Sector: sector, Want: s, Got: got, Home: home, Err: err}
		}
	}
	return nil
}

func mustBeSectors(buf []byte) {
	if len(buf)%Sector != 0 {
		panic(fmt.Sprintf("stamp: buffer of %d bytes is no multiple of %d", len(buf), Sector))
	}
}
