// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"encoding/binary"

	"github.com/google/gopacket"
)

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

// header is a header of fixed length that can write itself.
type header interface {
	size() int    // length in bytes
	put(b []byte) // writes exactly size bytes
}

// prepend writes a header in front of what the buffer holds.
func prepend(b gopacket.SerializeBuffer, h header) error {
	room, err := b.PrependBytes(h.size())
	if err != nil {
		return err
	}
	h.put(room)
	return nil
}
