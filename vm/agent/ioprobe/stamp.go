// SPDX-License-Identifier: Apache-2.0

package ioprobe

import (
	"encoding/binary"
)

// A Stamp is in every sector that a prober writes: whose it is, where it belongs, when it was written.
type Stamp struct {
	Seq      uint64 `json:"seq"`
	Offset   int64  `json:"offset"`   // bytes, where the sector was meant to be
	Realtime int64  `json:"realtime"` // nanoseconds, when its I/O was issued
}

const (
	sectorSize = 512
	stampMagic = "ibprobe1"
	stampSize  = 32
)

// Fill stamps every sector of an I/O that begins at s.Offset.
func (s Stamp) Fill(buf []byte) {
	for at := 0; at+sectorSize <= len(buf); at += sectorSize {
		sector := buf[at : at+stampSize]
		copy(sector, stampMagic)
		binary.LittleEndian.PutUint64(sector[8:], s.Seq)
		binary.LittleEndian.PutUint64(sector[16:], uint64(s.Offset+int64(at)))
		binary.LittleEndian.PutUint64(sector[24:], uint64(s.Realtime))
	}
}

// ParseStamp returns the stamp of the first sector of buf, or nil.
func ParseStamp(buf []byte) *Stamp {
	if len(buf) < stampSize || string(buf[:len(stampMagic)]) != stampMagic {
		return nil
	}
	return &Stamp{
		Seq:      binary.LittleEndian.Uint64(buf[8:]),
		Offset:   int64(binary.LittleEndian.Uint64(buf[16:])),
		Realtime: int64(binary.LittleEndian.Uint64(buf[24:])),
	}
}
