// SPDX-License-Identifier: Apache-2.0

package roce

import "encoding/binary"

// be is the order of every field but the ICRC.
var be = binary.BigEndian

// uint24 reads three bytes, most significant first.
func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// putUint24 writes the low 24 bits of v, most significant byte first.
func putUint24(b []byte, v uint32) { b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v) }

// bit gives 1<<n if set, else 0.
func bit(set bool, n uint) byte {
	if set {
		return 1 << n
	}
	return 0
}

// Header is a header of fixed length. Put wants room for Len bytes; Decode
// reads as many and ignores what follows.
type Header interface {
	Len() int
	Put(b []byte)
	Decode(data []byte) error
}

// need fails if data has fewer than size bytes.
func need(data []byte, header string, size int) error {
	if len(data) < size {
		return tooShort(header, "length", len(data), size, ErrTruncated)
	}
	return nil
}
