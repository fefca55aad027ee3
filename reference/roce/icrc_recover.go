// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"encoding/binary"
	"hash/crc32"
)

// ipv4IDAt is the offset of the identification in the IPv4 header.
const ipv4IDAt = 4

// crcIndex inverts the CRC table: it gives the index of the entry whose high
// byte is the given one. The high bytes of the table are a permutation.
var crcIndex = makeCRCIndex()

func makeCRCIndex() (index [256]byte) {
	for i, entry := range crc32.IEEETable {
		index[entry>>24] = byte(i)
	}
	return index
}

// RecoverIPv4ID solves the ICRC for the identification of the IPv4 header,
// which a UDP socket does not show. It takes the packet as [CheckICRC] does;
// bytes 4 and 5 of ip are ignored, all other covered fields must be as
// transmitted. ok tells whether a solution exists: if not, the packet is
// corrupt. One in 65536 corrupt packets has a solution all the same.
func RecoverIPv4ID(ip, udp, payload []byte) (id uint16, ok bool) {
	if len(ip) != ipv4Len || len(udp) != udpLen {
		return 0, false
	}
	end := int(be.Uint16(udp[4:])) - udpLen
	if end < BTHLen+ICRCLen || len(payload) < end {
		return 0, false
	}
	at := end - ICRCLen
	s := icrcScratches.Get().(*icrcScratch)
	defer icrcScratches.Put(s)
	n := s.mask(ip, udp, payload)

	// The register is the complement of the finished sum.
	before := ^crc32.Update(icrcSeed, crc32.IEEETable, s[:ipv4IDAt])
	after := ^binary.LittleEndian.Uint32(payload[at:])
	after = crcBackwards(after, payload[BTHLen:at])
	after = crcBackwards(after, s[ipv4IDAt+2:n])
	return crcSolve2(before, after)
}

// crcBackwards gives the register before the bytes of p were summed.
func crcBackwards(reg uint32, p []byte) uint32 {
	for i := len(p) - 1; i >= 0; i-- {
		index := crcIndex[reg>>24]
		reg = (reg^crc32.IEEETable[index])<<8 | uint32(index^p[i])
	}
	return reg
}

// crcSolve2 finds the two bytes that lead from one register to the other.
func crcSolve2(before, after uint32) (uint16, bool) {
	index2 := crcIndex[after>>24]
	middle := (after ^ crc32.IEEETable[index2]) << 8 // its low byte is not known yet
	index1 := crcIndex[middle>>24]
	full := crc32.IEEETable[index1] ^ before>>8
	if full&^0xFF != middle {
		return 0, false
	}
	return uint16(index1^byte(before))<<8 | uint16(index2^byte(full)), true
}
