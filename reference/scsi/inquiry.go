// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"encoding/binary"
	"math/bits"
)

// parametersMost bounds the parameter data of all commands but REPORT LUNS, in bytes.
const parametersMost = 4096

// planParameters is for commands that report to the initiator, as much as it has room for.
func planParameters(t *Task) *Sense {
	t.report(min(t.form.Allocation.of(t.cdb[:]), parametersMost))
	return nil
}

func (t *Task) report(n uint64) {
	if n > 0 {
		t.Direction, t.Length = DataIn, int(n)
	}
}

const (
	versionSPC4       = 0x06
	responseFormat    = 0x02
	hierarchical      = 0x10 // HISUP
	multiport         = 0x10 // MULTIP
	commandQueuing    = 0x02 // CMDQUE
	noPeripheral      = 0x7f // qualifier 3, device type 1fh
	standardSize      = 74
	descriptorSAM5    = 0x00a0
	descriptorSPC4    = 0x0460
	descriptorSBC3    = 0x04c0
	additionalAt      = 4
	vendorAt          = 8
	productAt         = 16
	revisionAt        = 32
	versionsAt        = 58
	deviceType        = 0x00
	naaLocal          = 3
	designatorBinary  = 1
	designatorASCII   = 2
	designatorT10     = 1
	designatorNAA     = 3
	writeSameNotZero  = 0x01
	alignmentValid    = 1 << 31
	lbpUnmap          = 0x80
	lbpWriteSame16    = 0x40
	lbpWriteSame10    = 0x20
	thinProvisioned   = 0x02
	notRotating       = 1
	rotating          = 7200
	capacityThin      = 0x8000 // LBPME, in the word of the lowest aligned block
	blockLimitsLength = 0x3c
	blockCharsLength  = 0x3c
)

// planInquiry refuses pages that do not exist, and a page code without EVPD (SPC-4 6.6.1).
func planInquiry(t *Task) *Sense {
	f, page := t.form, t.form.Page.of(t.cdb[:])
	vital := f.Vital.of(t.cdb[:]) != 0
	if !vital && page != 0 || vital && (t.unit == nil || vitalPage(uint8(page)) == nil) {
		s := f.Page.invalid()
		return &s
	}
	return planParameters(t)
}

func runInquiry(t *Task, data []byte) Result {
	if t.unit == nil {
		return answer(data, standardInquiry(nil))
	}
	if t.form.Vital.of(t.cdb[:]) == 0 {
		return answer(data, standardInquiry(t.unit))
	}
	page := vitalPage(uint8(t.form.Page.of(t.cdb[:])))
	return answer(data, page.append(t.unit))
}

// standardInquiry is what INQUIRY answers of a unit, or of a number without one.
func standardInquiry(u *Unit) []byte {
	b := make([]byte, standardSize)
	b[2], b[3], b[additionalAt] = versionSPC4, hierarchical|responseFormat, standardSize-additionalAt-1
	if u == nil {
		b[0] = noPeripheral
		u = &Unit{}
	}
	b[6], b[7] = multiport, commandQueuing
	text(b[vendorAt:productAt], u.cfg.Vendor)
	text(b[productAt:revisionAt], u.cfg.Product)
	text(b[revisionAt:revisionAt+maxRelease], u.cfg.Revision)
	for i, v := range []uint16{descriptorSAM5, descriptorSPC4, descriptorSBC3} {
		binary.BigEndian.PutUint16(b[versionsAt+2*i:], v)
	}
	return b
}

// text writes left-aligned ASCII, filled up with spaces (SPC-4 4.4.1).
func text(b []byte, s string) {
	for i := copy(b, s); i < len(b); i++ {
		b[i] = ' '
	}
}

// vital is one page of vital product data.
type vital struct {
	code uint8
	body func(*Unit) []byte
}

// vitalPages are all pages, in order. The first lists them.
var vitalPages []vital

func init() { // the first page refers to the table
	vitalPages = []vital{
		{0x00, func(*Unit) []byte {
			var codes []byte
			for _, p := range vitalPages {
				codes = append(codes, p.code)
			}
			return codes
		}},
		{0x80, func(u *Unit) []byte { return []byte(u.cfg.Serial) }},
		{0x83, identification},
		{0xb0, blockLimits},
		{0xb1, blockCharacteristics},
		{0xb2, provisioning},
	}
}

func vitalPage(code uint8) *vital {
	for i := range vitalPages {
		if vitalPages[i].code == code {
			return &vitalPages[i]
		}
	}
	return nil
}

// append returns the page with its header.
func (p *vital) append(u *Unit) []byte {
	body := p.body(u)
	b := []byte{deviceType, p.code}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}

// identification has a locally assigned NAA identifier, by which paths to the same unit are found, and a T10 identifier that a
// person can read (SPC-4 7.8.6).
func identification(u *Unit) []byte {
	b := []byte{designatorBinary, designatorNAA, 0, 8}
	b = binary.BigEndian.AppendUint64(b, u.naa)
	name := make([]byte, maxVendor+maxProduct)
	text(name[:maxVendor], u.cfg.Vendor)
	text(name[maxVendor:], u.cfg.Product)
	name = append(name, u.cfg.Serial...)
	b = append(b, designatorASCII, designatorT10, 0, uint8(len(name)))
	return append(b, name...)
}

// blockLimits is VPD page B0 (SBC-3 6.6.4).
func blockLimits(u *Unit) []byte {
	b := make([]byte, blockLimitsLength)
	b[0] = writeSameNotZero
	binary.BigEndian.PutUint16(b[2:], uint16(max(1, u.props.PhysicalBlock/u.props.LogicalBlock)))
	binary.BigEndian.PutUint32(b[4:], uint32(u.maxTransfer()))
	if u.thin() {
		binary.BigEndian.PutUint32(b[16:], uint32(u.maxUnmap()))
		binary.BigEndian.PutUint32(b[20:], maxUnmapDescriptors)
		binary.BigEndian.PutUint32(b[24:], uint32(max(1, u.props.DiscardGranularity/u.props.LogicalBlock)))
		binary.BigEndian.PutUint32(b[28:], alignmentValid|uint32(u.props.DiscardAlignment/u.props.LogicalBlock))
	}
	binary.BigEndian.PutUint64(b[32:], u.maxWriteSame())
	return b
}

// blockCharacteristics is VPD page B1 (SBC-3 6.6.3).
func blockCharacteristics(u *Unit) []byte {
	b := make([]byte, blockCharsLength)
	rate := uint16(notRotating)
	if u.props.Rotational {
		rate = rotating
	}
	binary.BigEndian.PutUint16(b, rate)
	return b
}

// provisioning is VPD page B2 (SBC-3 6.6.7). What deallocated blocks read as depends on the backend, so nothing is promised.
func provisioning(u *Unit) []byte {
	if !u.thin() {
		return []byte{0, 0, 0, 0}
	}
	return []byte{0, lbpUnmap | lbpWriteSame16 | lbpWriteSame10, thinProvisioned, 0}
}

// runReadCapacity10 stops at 32 bits; more is for READ CAPACITY(16) (SBC-3 5.15.2).
func runReadCapacity10(t *Task, data []byte) Result {
	b := binary.BigEndian.AppendUint32(nil, uint32(min(t.unit.last, 1<<32-1)))
	return answer(data, binary.BigEndian.AppendUint32(b, uint32(t.unit.block)))
}

func planReadCapacity10(t *Task) *Sense {
	t.report(8)
	return nil
}

func runReadCapacity16(t *Task, data []byte) Result {
	u := t.unit
	b := make([]byte, 32)
	binary.BigEndian.PutUint64(b, u.last)
	binary.BigEndian.PutUint32(b[8:], uint32(u.block))
	b[13] = uint8(bits.TrailingZeros(uint(max(1, u.props.PhysicalBlock/u.props.LogicalBlock))))
	if u.thin() {
		binary.BigEndian.PutUint16(b[14:], capacityThin)
	}
	return answer(data, b)
}
