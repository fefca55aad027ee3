// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
)

// What an initiator reads: the parameter data of the commands by which it gets to know a logical unit. Nothing outside of the bytes
// that came is looked at; an error names field, value and limit.

func short(what string, got, need int) error {
	return fmt.Errorf("%s has %d bytes, must have at least %d: %w", what, got, need, syscall.EPROTO)
}

// ParseLUNs reads the list of REPORT LUNS (SPC-4 6.33). more says that the target has more units than fitted into the allocation
// length.
func ParseLUNs(b []byte) (luns []LUN, more bool, err error) {
	if len(b) < lunListHeader {
		return nil, false, short("list of logical units", len(b), lunListHeader)
	}
	list := uint64(binary.BigEndian.Uint32(b))
	rest := b[lunListHeader:]
	if list%8 != 0 {
		return nil, false, fmt.Errorf("list of logical units says that it has %d bytes, must be a multiple of 8: %w", list, syscall.EPROTO)
	}
	rest = rest[:min(uint64(len(rest)), list)]
	for ; len(rest) >= 8; rest = rest[8:] {
		luns = append(luns, LUN(rest[:8]))
	}
	return luns, uint64(len(luns))*8 < list, nil
}

// Identity is what standard INQUIRY data tells (SPC-4 6.6.2).
type Identity struct {
	Absent                    bool  // there is no unit under this number
	Type                      uint8 // of device; 0 is a disk
	Vendor, Product, Revision string
}

const identitySize = revisionAt + maxRelease

// ParseInquiry reads standard INQUIRY data.
func ParseInquiry(b []byte) (id Identity, err error) {
	if len(b) < identitySize {
		return id, short("standard INQUIRY data", len(b), identitySize)
	}
	id.Absent, id.Type = b[0]>>5 != 0, b[0]&0x1f
	id.Vendor, id.Product, id.Revision = printable(b[vendorAt:productAt]), printable(b[productAt:revisionAt]), printable(b[revisionAt:identitySize])
	return id, nil
}

// printable makes text of what a target calls text.
func printable(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, string(b)))
}

// ParseVital gives the body of a page of vital product data. What the page announces and did not come is missing.
func ParseVital(page uint8, b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, short(fmt.Sprintf("VPD page %#02x", page), len(b), 4)
	}
	if b[1] != page {
		return nil, fmt.Errorf("VPD page %#02x came for page %#02x: %w", b[1], page, syscall.EPROTO)
	}
	body := b[4:]
	return body[:min(len(body), int(binary.BigEndian.Uint16(b[2:])))], nil
}

// ParseSerial reads the body of VPD page 80.
func ParseSerial(body []byte) string { return printable(body) }

// ParseDesignator reads the body of VPD page 83 and gives the NAA identifier of the unit in hexadecimal, "" if it has none.
func ParseDesignator(body []byte) string {
	for len(body) >= 4 {
		size := 4 + int(body[3])
		if size > len(body) {
			return ""
		}
		if body[1]&0x3f == designatorNAA { // association 0: of the unit
			return fmt.Sprintf("%x", body[4:size])
		}
		body = body[size:]
	}
	return ""
}

// Limits are those of VPD page B0. Zero means that the unit tells none.
type Limits struct {
	MaxTransfer, MaxUnmap, MaxUnmapRanges uint32 // in blocks; ranges are counted
	UnmapGranularity                      uint32 // blocks
	MaxWriteSame                          uint64 // blocks
}

// ParseLimits reads the body of VPD page B0, as much as came of it.
func ParseLimits(body []byte) (l Limits) {
	var b [blockLimitsLength]byte
	copy(b[:], body)
	return Limits{
		MaxTransfer: binary.BigEndian.Uint32(b[4:]), MaxUnmap: binary.BigEndian.Uint32(b[16:]),
		MaxUnmapRanges: binary.BigEndian.Uint32(b[20:]), UnmapGranularity: binary.BigEndian.Uint32(b[24:]),
		MaxWriteSame: binary.BigEndian.Uint64(b[32:]),
	}
}

// ParseRotational reads the body of VPD page B1.
func ParseRotational(body []byte) bool {
	return len(body) >= 2 && binary.BigEndian.Uint16(body) > notRotating
}

// Provisioning is what VPD page B2 tells.
type Provisioning struct {
	Unmap     bool // UNMAP is supported
	WriteSame bool // WRITE SAME(16) with UNMAP is supported
}

// ParseProvisioning reads the body of VPD page B2.
func ParseProvisioning(body []byte) (p Provisioning) {
	if len(body) < 2 {
		return p
	}
	return Provisioning{Unmap: body[1]&lbpUnmap != 0, WriteSame: body[1]&lbpWriteSame16 != 0}
}

// Capacity is the size of a unit.
type Capacity struct {
	Blocks        uint64
	BlockSize     int // bytes
	PhysicalBlock int // bytes
	Thin          bool
}

const (
	capacity10Size = 8
	capacity16Size = 16
	leastBlock     = 512
	mostBlock      = 1 << 16
)

// ParseCapacity10 reads the data of READ CAPACITY(10). big says that the unit has more blocks than it can tell.
func ParseCapacity10(b []byte) (c Capacity, big bool, err error) {
	if len(b) < capacity10Size {
		return c, false, short("READ CAPACITY(10) data", len(b), capacity10Size)
	}
	last := binary.BigEndian.Uint32(b)
	c, err = capacity(uint64(last), binary.BigEndian.Uint32(b[4:]))
	return c, last == 1<<32-1, err
}

// ParseCapacity16 reads the data of READ CAPACITY(16).
func ParseCapacity16(b []byte) (c Capacity, err error) {
	if len(b) < capacity16Size {
		return c, short("READ CAPACITY(16) data", len(b), capacity16Size)
	}
	if c, err = capacity(binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])); err != nil {
		return c, err
	}
	c.PhysicalBlock = min(c.BlockSize<<(b[13]&0x0f), mostBlock)
	c.Thin = binary.BigEndian.Uint16(b[14:])&capacityThin != 0
	return c, nil
}

func capacity(last uint64, block uint32) (c Capacity, err error) {
	if block < leastBlock || block > mostBlock || block&(block-1) != 0 {
		return c, fmt.Errorf("block of %d bytes, must be a power of two from %d to %d: %w", block, leastBlock, mostBlock, syscall.EPROTO)
	}
	if last >= 1<<63/uint64(block)-1 {
		return c, fmt.Errorf("last block has number %d, with %d bytes each the unit must have less than 2^63 bytes: %w", last, block, syscall.EPROTO)
	}
	return Capacity{Blocks: last + 1, BlockSize: int(block), PhysicalBlock: int(block)}, nil
}

// Mode is what MODE SENSE(10) tells of a disk.
type Mode struct {
	ReadOnly   bool
	FUA        bool // force unit access is supported
	WriteCache bool // there is a volatile one, and it is on
}

// CachingPage is the mode page that has the write cache.
const CachingPage = 0x08

// ParseMode10 reads the data of MODE SENSE(10) for the caching page.
func ParseMode10(b []byte) (m Mode, err error) {
	if len(b) < modeHeader10 {
		return m, short("MODE SENSE(10) data", len(b), modeHeader10)
	}
	m.ReadOnly, m.FUA = b[3]&writeProtectBit != 0, b[3]&dpoFUABit != 0
	end := min(len(b), 2+int(binary.BigEndian.Uint16(b)))
	at := modeHeader10 + int(binary.BigEndian.Uint16(b[6:]))
	for at+2 < end {
		if b[at]&0x3f == CachingPage && b[at]&0x40 == 0 {
			m.WriteCache = b[at+2]&writeCacheBit != 0
		}
		at += 2 + int(b[at+1])
	}
	return m, nil
}

// AppendUnmap appends the parameter list of UNMAP for one range (SBC-3 5.28.2).
func AppendUnmap(b []byte, lba uint64, blocks uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, unmapHeader+unmapDescriptor-2)
	b = binary.BigEndian.AppendUint16(b, unmapDescriptor)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, lba)
	b = binary.BigEndian.AppendUint32(b, blocks)
	return append(b, 0, 0, 0, 0)
}

// UnmapSize is the length of that list in bytes.
const UnmapSize = unmapHeader + unmapDescriptor
