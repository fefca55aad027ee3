// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"fmt"
	"math/bits"
)

// Field is a number in a command block: Size bytes from Offset, most significant byte first. Mask takes the bits of the
// first byte that belong to it; the lowest of a field of one byte is its bit 0. A Field without a size does not exist
// in its form.
type Field struct {
	Name         string
	Offset, Size int
	Mask         uint8
}

// of returns the field's value in cdb; 0 of a field that does not exist.
func (f *Field) of(cdb []byte) (v uint64) {
	if f.Size == 0 {
		return 0
	}
	v = uint64(cdb[f.Offset] & f.Mask)
	for _, b := range cdb[f.Offset+1 : f.Offset+f.Size] {
		v = v<<8 | uint64(b)
	}
	if f.Size == 1 {
		v >>= f.shift()
	}
	return v
}

// shift is the place of the lowest bit of a field of one byte.
func (f *Field) shift() int { return bits.TrailingZeros8(f.Mask) }

// most is the largest value that fits.
func (f *Field) most() uint64 {
	if f.Size == 1 {
		return uint64(f.Mask >> f.shift())
	}
	if f.Size == 8 {
		return 1<<64 - 1
	}
	return uint64(f.Mask)<<(8*(f.Size-1)) | (1<<(8*(f.Size-1)) - 1)
}

// put writes a value that fits into cdb.
func (f *Field) put(cdb []byte, v uint64) error {
	if f.Size == 0 {
		if v == 0 {
			return nil
		}
		return fmt.Errorf("command %#02x has no such field, the value is %d", cdb[0], v)
	}
	if v > f.most() {
		return fmt.Errorf("%s of command %#02x is %d, must be at most %d", f.Name, cdb[0], v, f.most())
	}
	if f.Size == 1 {
		cdb[f.Offset] |= uint8(v) << f.shift()
		return nil
	}
	for i := f.Offset + f.Size - 1; i >= f.Offset; i-- {
		cdb[i] |= uint8(v)
		v >>= 8
	}
	return nil
}

// use sets the bits of the field in usage data.
func (f *Field) use(usage []byte) {
	if f.Size == 0 {
		return
	}
	usage[f.Offset] |= f.Mask
	for i := f.Offset + 1; i < f.Offset+f.Size; i++ {
		usage[i] = 0xff
	}
}

// invalid is the sense of a command whose field holds what it may not.
func (f *Field) invalid() Sense {
	s := Sense{Key: IllegalRequest, Code: InvalidFieldInCDB, PointerValid: true, InCDB: true, Pointer: uint16(f.Offset), Bit: WholeByte}
	if f.Mask != 0xff {
		s.Bit = int8(7 - bits.LeadingZeros8(f.Mask)) // the most significant bit of the field, as SPC has it
	}
	return s
}
