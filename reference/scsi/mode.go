// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"encoding/binary"
	"math"
)

// What MODE SENSE may be asked for (SPC-4 6.13).
const (
	controlChangeable = 1
	controlSaved      = 3
	pagesAll          = 0x3f
	subpagesAll       = 0xff

	modeHeader6  = 4
	modeHeader10 = 8
	shortBlock   = 8
	longBlock    = 16

	writeProtectBit = 0x80
	dpoFUABit       = 0x10
	longLBABit      = 0x01

	writeCacheBit   = 0x04 // WCE
	unrestricted    = 0x10 // QUEUE ALGORITHM MODIFIER 1
	busyTimeoutNone = 0xffff
)

// modePage is one page; its body is what follows code and length. No parameter can be changed.
type modePage struct {
	code uint8
	size int
	fill func(u *Unit, body []byte)
}

// modePages are all pages, in order.
var modePages = []modePage{
	{0x01, 10, func(*Unit, []byte) {}}, // read-write error recovery: all defaults
	{0x08, 18, func(u *Unit, body []byte) { // caching
		if u.props.WriteCache {
			body[0] = writeCacheBit
		}
	}},
	{0x0a, 10, func(_ *Unit, body []byte) { // control
		body[1] = unrestricted
		binary.BigEndian.PutUint16(body[6:], busyTimeoutNone)
	}},
	{0x1c, 10, func(*Unit, []byte) {}}, // informational exceptions control: none are reported
}

func planModeSense(t *Task) *Sense {
	f := t.form
	page, sub := f.Page.of(t.cdb[:]), f.Subpage.of(t.cdb[:])
	var bad *Field
	switch {
	case f.Control.of(t.cdb[:]) == controlSaved:
		return &Sense{Key: IllegalRequest, Code: SavingNotSupported}
	case page != pagesAll && !hasModePage(uint8(page)):
		bad = &f.Page
	case sub != 0 && sub != subpagesAll:
		bad = &f.Subpage
	default:
		return planParameters(t)
	}
	s := bad.invalid()
	return &s
}

func hasModePage(code uint8) bool {
	for _, p := range modePages {
		if p.code == code {
			return true
		}
	}
	return false
}

func runModeSense(t *Task, data []byte) Result {
	f := t.form
	long := f.LongLBA.of(t.cdb[:]) != 0
	var block []byte
	if f.NoBlock.of(t.cdb[:]) == 0 {
		block = t.unit.blockDescriptor(long)
	}
	var pages []byte
	for _, p := range modePages {
		if page := f.Page.of(t.cdb[:]); page == pagesAll || uint8(page) == p.code {
			pages = p.append(pages, t.unit, f.Control.of(t.cdb[:]) == controlChangeable)
		}
	}
	header := modeHeader(f.Length == 6, t.unit, long && len(block) > 0, len(block), len(pages))
	return answer(data, append(append(header, block...), pages...))
}

// append appends the page, or the mask of its parameters that can be changed, which are none.
func (p *modePage) append(b []byte, u *Unit, changeable bool) []byte {
	body := make([]byte, p.size)
	if !changeable {
		p.fill(u, body)
	}
	return append(append(b, p.code, uint8(p.size)), body...)
}

func modeHeader(short bool, u *Unit, long bool, block, pages int) []byte {
	specific := uint8(dpoFUABit)
	if u.props.ReadOnly {
		specific |= writeProtectBit
	}
	if short {
		return []byte{uint8(modeHeader6 + block + pages - 1), deviceType, specific, uint8(block)}
	}
	b := make([]byte, modeHeader10)
	binary.BigEndian.PutUint16(b, uint16(modeHeader10+block+pages-2))
	b[2], b[3] = deviceType, specific
	if long {
		b[4] = longLBABit
	}
	binary.BigEndian.PutUint16(b[6:], uint16(block))
	return b
}

// blockDescriptor says how many blocks there are, and of which size (SBC-3 6.5.2).
func (u *Unit) blockDescriptor(long bool) []byte {
	blocks := u.last + 1
	if long {
		b := make([]byte, longBlock)
		binary.BigEndian.PutUint64(b, blocks)
		binary.BigEndian.PutUint32(b[12:], uint32(u.block))
		return b
	}
	b := make([]byte, shortBlock)
	binary.BigEndian.PutUint32(b, uint32(min(blocks, math.MaxUint32)))
	b[4], b[5], b[6], b[7] = 0, uint8(u.block>>16), uint8(u.block>>8), uint8(u.block)
	return b
}
