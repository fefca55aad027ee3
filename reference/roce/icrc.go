// SPDX-License-Identifier: Apache-2.0

package roce

import (
	"encoding/binary"
	"hash/crc32"
	"sync"
)

// Lengths of the headers below the BTH in bytes.
const (
	ipv4Len = 20
	ipv6Len = 40
	udpLen  = 8
)

// icrcSeed is the CRC of eight bytes of 0xFF, which stand for the link header
// that InfiniBand has in front and RoCEv2 has not.
const icrcSeed = 0x2144DF1C

// directUpdate is the number of bytes from which on the rest of a packet is
// summed where it lies. Below, one pass over a copy is faster than two passes.
const directUpdate = 128

// icrcScratch holds what an ICRC computation may not sum in place: the masked
// headers, and a short or uneven piece of what follows.
type icrcScratch [ipv6Len + udpLen + BTHLen + directUpdate]byte

// The sum escapes into assembler through a function variable, so that a local
// array would be allocated for every packet.
var icrcScratches = sync.Pool{New: func() any { return new(icrcScratch) }}

// ICRC computes the invariant CRC of a RoCEv2 packet from its headers as they
// are transmitted (RoCEv2 annex A17):
//
//   - ip: the IPv4 header without options (20 bytes) or the IPv6 header without
//     extensions (40 bytes),
//   - udp: the UDP header (8 bytes),
//   - rest: BTH, extension headers, payload and pad (at least 12 bytes),
//     without the ICRC itself.
//
// The fields that may change in flight count as all ones: traffic class, TTL or
// hop limit, IPv4 header checksum, IPv6 flow label, UDP checksum and byte 4 of
// the BTH. The result stands in the packet least significant byte first. Slices
// of other lengths are an [Error].
func ICRC(ip, udp, rest []byte) (uint32, error) {
	if err := checkICRCInput(ip, udp, rest); err != nil {
		return 0, err
	}
	return icrc(ip, udp, rest), nil
}

func checkICRCInput(ip, udp, rest []byte) error {
	if len(ip) != ipv4Len && len(ip) != ipv6Len {
		return notExactly("ICRC", "IP header length (40 for IPv6)", len(ip), ipv4Len)
	}
	if len(udp) != udpLen {
		return notExactly("ICRC", "UDP header length", len(udp), udpLen)
	}
	if len(rest) < BTHLen {
		return tooShort("ICRC", "length from the BTH on", len(rest), BTHLen, ErrMalformed)
	}
	return nil
}

// icrc is ICRC for lengths that are known to be right.
func icrc(ip, udp, rest []byte) uint32 {
	s := icrcScratches.Get().(*icrcScratch)
	n := s.mask(ip, udp, rest)
	rest = rest[BTHLen:]
	direct := len(rest) &^ 15 // the fast paths of crc32 take 16 bytes at a time
	if len(rest) < directUpdate {
		direct = 0
	}
	n += copy(s[n:], rest[:len(rest)-direct])
	sum := crc32.Update(icrcSeed, crc32.IEEETable, s[:n])
	icrcScratches.Put(s)
	if direct == 0 {
		return sum
	}
	return crc32.Update(sum, crc32.IEEETable, rest[len(rest)-direct:])
}

// mask copies the IP, UDP and base transport headers with their variable fields
// replaced by ones and gives the number of bytes written.
func (s *icrcScratch) mask(ip, udp, bth []byte) int {
	n := copy(s[:], ip)
	if n == ipv4Len {
		s[1] = 0xFF               // DSCP and ECN
		s[8] = 0xFF               // TTL
		s[10], s[11] = 0xFF, 0xFF // header checksum
	} else {
		s[0] |= 0x0F // traffic class, flow label
		s[1], s[2], s[3] = 0xFF, 0xFF, 0xFF
		s[7] = 0xFF // hop limit
	}
	n += copy(s[n:], udp[:6])
	s[n], s[n+1] = 0xFF, 0xFF // checksum
	n += 2
	n += copy(s[n:], bth[:BTHLen])
	s[n-BTHLen+4] = 0xFF // FECN, BECN, reserved
	return n
}

// ICRCVerdict is what can be said about the ICRC of a packet.
type ICRCVerdict uint8

// The verdicts.
const (
	ICRCUnverifiable ICRCVerdict = iota // a covered field is unknown, or IPv4 options make coverage undefined
	ICRCAbsent                          // the packet was cut before its end
	ICRCGood
	ICRCBad
)

// String gives "unverifiable", "absent", "good" or "bad".
func (v ICRCVerdict) String() string {
	switch v {
	case ICRCAbsent:
		return "absent"
	case ICRCGood:
		return "good"
	case ICRCBad:
		return "bad"
	}
	return "unverifiable"
}

// CheckICRC judges the ICRC of a packet from its IP header, its UDP header and
// its captured UDP payload. The UDP length says where the ICRC lies: bytes
// beyond it are ignored, and if it was not captured the verdict is ICRCAbsent.
// Headers that ICRC does not accept, or a UDP length without room for BTH and
// ICRC, give ICRCUnverifiable.
func CheckICRC(ip, udp, payload []byte) ICRCVerdict {
	if (len(ip) != ipv4Len && len(ip) != ipv6Len) || len(udp) != udpLen {
		return ICRCUnverifiable
	}
	end := int(be.Uint16(udp[4:])) - udpLen
	if end < BTHLen+ICRCLen {
		return ICRCUnverifiable
	}
	if len(payload) < end {
		return ICRCAbsent
	}
	at := end - ICRCLen
	if icrc(ip, udp, payload[:at]) != binary.LittleEndian.Uint32(payload[at:]) {
		return ICRCBad
	}
	return ICRCGood
}

// Reseal computes the ICRC of a UDP payload that ends with room for it and
// writes it there: for a sender, or after a field was changed on purpose.
func Reseal(ip, udp, payload []byte) error {
	if len(payload) < BTHLen+ICRCLen {
		return tooShort("ICRC", "UDP payload length", len(payload), BTHLen+ICRCLen, ErrMalformed)
	}
	at := len(payload) - ICRCLen
	sum, err := ICRC(ip, udp, payload[:at])
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(payload[at:], sum)
	return nil
}
