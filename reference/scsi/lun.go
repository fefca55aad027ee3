// SPDX-License-Identifier: Apache-2.0

package scsi

import (
	"encoding/binary"
	"fmt"
)

// LUN names a logical unit in the 8-byte form of SCSI.
type LUN [8]byte

const (
	maxPeripheralLUN = 255
	flatAddressing   = 0x40 // in the first byte
	addressingMask   = 0xc0

	// MaxLUN is the highest number that a LUN can name on one level.
	MaxLUN = 16383
)

// NewLUN returns the SCSI form of logical unit n: up to 255 by peripheral device addressing, up to 16383 by flat space
// addressing (Clause SRP-CMD-016). It fails beyond.
func NewLUN(n uint16) (l LUN, err error) {
	if n > MaxLUN {
		return l, fmt.Errorf("logical unit %d: numbers go up to %d", n, MaxLUN)
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
		return n & MaxLUN, true
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
