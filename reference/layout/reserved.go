// SPDX-License-Identifier: Apache-2.0

package layout

import "bytes"

// NonZero is a reserved part of a message that was not zero. Receivers must ignore it, so no parser refuses it; it is
// a finding about the sender.
type NonZero struct {
	Message string
	Field   string
	Offset  int    // of the first byte of the field
	Bytes   []byte // what stands there: the field, or for text what follows the NUL; a part of the message looked at
	Bits    uint64 // the reserved bits that are set, if the field has named bits; else 0
}

// ReservedSet returns every reserved part of msg that is not zero: reserved fields, bits no name covers, and bytes
// behind the NUL of a text. Fields that msg is too short for are left out. It allocates only if it finds something.
func (m Message) ReservedSet(msg []byte) []NonZero {
	var found []NonZero
	for _, f := range m.Fields {
		if f.End() > len(msg) {
			break
		}
		if part, bits := f.reservedPart(msg); part != nil {
			found = append(found, NonZero{m.Name, f.Name, f.Offset, part, bits})
		}
	}
	return found
}

func (f Field) reservedPart(msg []byte) (part []byte, bits uint64) {
	b := msg[f.Offset:f.End()]
	switch {
	case f.Encoding == Reserved:
		return ifNonZero(b), 0
	case f.Encoding == Text:
		if nul := bytes.IndexByte(b, 0); nul >= 0 {
			return ifNonZero(b[nul:]), 0
		}
	case len(f.Bits) > 0:
		if bits := f.Uint(msg) &^ f.namedBits(); bits != 0 {
			return b, bits
		}
	}
	return nil, 0
}

func (f Field) namedBits() (mask uint64) {
	for _, b := range f.Bits {
		mask |= b.Mask
	}
	return mask
}

func ifNonZero(b []byte) []byte {
	for _, c := range b {
		if c != 0 {
			return b
		}
	}
	return nil
}
