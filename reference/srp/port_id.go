// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"
)

// PortID identifies an initiator port or a target port: 16 bytes, made of an extension and a GUID.
type PortID [16]byte

// IOClass decides the order of the halves of a PortID.
type IOClass uint16

// The I/O classes.
const (
	IOClassRev16a IOClass = 0x0100 // extension, then GUID (Clauses SRP-LOGIN-006, SRP-LOGIN-008)
	IOClassRev10  IOClass = 0xff00 // GUID, then extension (Clause SRP-LOGIN-007)
)

// NewPortID returns the identifier made of an extension and a GUID in the order of class.
func NewPortID(extension, guid uint64, class IOClass) (id PortID) {
	if class == IOClassRev10 {
		extension, guid = guid, extension
	}
	binary.BigEndian.PutUint64(id[:], extension)
	binary.BigEndian.PutUint64(id[8:], guid)
	return id
}

// Split returns the halves of the identifier, whose order is that of class.
func (id PortID) Split(class IOClass) (extension, guid uint64) {
	extension, guid = binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:])
	if class == IOClassRev10 {
		extension, guid = guid, extension
	}
	return extension, guid
}

// String returns the identifier as 32 hexadecimal digits.
func (id PortID) String() string { return fmt.Sprintf("%x", id[:]) }

// LUN names a logical unit in the 8-byte form of SCSI.
type LUN [8]byte

const (
	maxPeripheralLUN = 255
	maxFlatLUN       = 16383
	flatAddressing   = 0x40 // in the first byte
	addressingMask   = 0xc0
)

// NewLUN returns the SCSI form of logical unit n: up to 255 by peripheral device addressing, up to 16383 by flat space
// addressing (Clause SRP-CMD-016). It fails beyond.
func NewLUN(n uint16) (l LUN, err error) {
	if n > maxFlatLUN {
		return l, fmt.Errorf("logical unit %d: numbers go up to %d", n, maxFlatLUN)
	}
	binary.BigEndian.PutUint16(l[:], n)
	if n > maxPeripheralLUN {
		l[0] |= flatAddressing
	}
	return l, nil
}

// Number returns the number of the logical unit; ok is false if it is addressed in another way than NewLUN does, by
// bus and target or on several levels.
func (l LUN) Number() (n uint16, ok bool) {
	if [6]byte(l[2:]) != [6]byte{} {
		return 0, false
	}
	n = binary.BigEndian.Uint16(l[:])
	switch {
	case n <= maxPeripheralLUN:
		return n, true
	case l[0]&addressingMask == flatAddressing:
		return n & maxFlatLUN, true
	}
	return 0, false
}

// String returns the number if there is one, else the 8 bytes in hexadecimal.
func (l LUN) String() string {
	if n, ok := l.Number(); ok {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%x", l[:])
}
