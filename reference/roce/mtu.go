// SPDX-License-Identifier: Apache-2.0

package roce

import "fmt"

// MTUCode is a path MTU as the wire has it: 1 to 5 for 256 to 4096 bytes
// (InfiniBand Architecture Specification, volume 1, "PathMTU").
type MTUCode uint8

// The path MTU codes.
const (
	MTU256 MTUCode = 1 + iota
	MTU512
	MTU1024
	MTU2048
	MTU4096
)

// Room that Linux 6.12 keeps below the MTU of a network device, in bytes.
const (
	portOverhead = 80 // rxe, for the active MTU of the port
	pathOverhead = 96 // rdma_cm, for the path MTU in a REQ
)

// Bytes gives the path MTU in bytes, 0 for a code that is not assigned.
func (c MTUCode) Bytes() int {
	if c < MTU256 || c > MTU4096 {
		return 0
	}
	return 128 << c
}

// String gives the code and the bytes, for example "3 (1024 bytes)".
func (c MTUCode) String() string {
	if c.Bytes() == 0 {
		return fmt.Sprintf("%d (unassigned)", uint8(c))
	}
	return fmt.Sprintf("%d (%d bytes)", uint8(c), c.Bytes())
}

// MTUCodeOf gives the code of a path MTU of exactly n bytes; ok is false if
// there is none.
func MTUCodeOf(n int) (c MTUCode, ok bool) {
	for c := MTU256; c <= MTU4096; c++ {
		if c.Bytes() == n {
			return c, true
		}
	}
	return 0, false
}

// PortMTU gives the active MTU that a soft-RoCE port takes on a network device
// of the given MTU in bytes, at least MTU256 (measured on Linux 6.12 rxe).
func PortMTU(netdevMTU int) MTUCode { return largestMTU(netdevMTU - portOverhead) }

// PathMTU gives the path MTU that rdma_cm puts into a REQ over a network device
// of the given MTU in bytes, at least MTU256 (measured on Linux 6.12).
func PathMTU(netdevMTU int) MTUCode { return largestMTU(netdevMTU - pathOverhead) }

func largestMTU(room int) MTUCode {
	c := MTU4096
	for c > MTU256 && c.Bytes() > room {
		c--
	}
	return c
}

// Packets gives the number of packets, and of PSNs, of a SEND, WRITE or READ
// message of length bytes at a path MTU of pmtu bytes: at least one. A pmtu
// below 1 counts as an unlimited one.
func Packets(length uint32, pmtu int) int {
	if length == 0 || pmtu < 1 {
		return 1
	}
	return int((uint64(length) + uint64(pmtu) - 1) / uint64(pmtu))
}

// Segment gives the place in its message of packet i, counted from 0, of a
// message of length bytes at a path MTU of pmtu bytes, and the bytes
// [from, to) of the message that it carries. i must be below
// Packets(length, pmtu).
func Segment(length uint32, pmtu, i int) (pos Position, from, to uint32) {
	n := Packets(length, pmtu)
	if n == 1 {
		return PositionOnly, 0, length
	}
	from = uint32(i) * uint32(pmtu)
	if i == n-1 {
		return PositionLast, from, length
	}
	to = from + uint32(pmtu)
	if i == 0 {
		return PositionFirst, from, to
	}
	return PositionMiddle, from, to
}
