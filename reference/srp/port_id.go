// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/scsi"
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
type LUN = scsi.LUN
