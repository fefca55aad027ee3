// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"encoding/binary"
	"fmt"

	"github.com/ibnbd/ibnbd/reference/layout"
)

// Sizes in bytes of the messages that open and close a device.
const (
	OpenRequestSize  = 264
	OpenResponseSize = 56
	CloseRequestSize = 8
)

// AccessMode is what a client wants to do with a device.
type AccessMode uint8

// The access modes. A device has at most one writer, and a second one for the time of a migration.
const (
	ReadOnly  AccessMode = 0
	ReadWrite AccessMode = 1
	Migration AccessMode = 2
)

var accessModeNames = [...]string{ReadOnly: "ro", ReadWrite: "rw", Migration: "migration"}

// Valid reports whether m is one of the three modes.
func (m AccessMode) Valid() bool { return int(m) < len(accessModeNames) }

// String returns the word of map_device for the mode: ro, rw, migration.
func (m AccessMode) String() string {
	if m.Valid() {
		return accessModeNames[m]
	}
	return fmt.Sprintf("AccessMode(%d)", uint8(m))
}

// IOMode is how the server reaches its device: through the page cache like a file, or as a block device.
type IOMode uint8

// The I/O modes.
const (
	FileIO     IOMode = 0
	BlockIO    IOMode = 1
	AutoIOMode IOMode = 2 // in OPEN: as the server likes
)

var ioModeNames = [...]string{FileIO: "fileio", BlockIO: "blockio", AutoIOMode: "autoio"}

// String returns the word of sysfs for the mode: fileio, blockio, autoio, or unknown.
func (m IOMode) String() string {
	if int(m) < len(ioModeNames) {
		return ioModeNames[m]
	}
	return "unknown"
}

// OpenRequest asks the server to open a device, 264 bytes; it travels as the header of a read whose 56 bytes of data
// are the OpenResponse (Clauses IBNBD-MSG-004, IBNBD-MSG-007).
type OpenRequest struct {
	Type       uint16 // TypeOpen
	Padding    [2]byte
	AccessMode AccessMode
	IOMode     IOMode // see [Agreement.IOMode]: clients of profile M leave garbage here
	DevicePath layout.Name
	Reserved   [3]byte
}

// NewOpenRequest returns the request to open path, which must have 1 to 254 bytes.
func NewOpenRequest(path string, access AccessMode, mode IOMode) (OpenRequest, error) {
	name, err := layout.NewName(path)
	if err == nil {
		err = name.Check(openLayout.Title, "device_path", 6)
	}
	return OpenRequest{Type: TypeOpen, AccessMode: access, IOMode: mode, DevicePath: name}, err
}

// AppendBinary appends the 264 bytes of the message. It never fails.
func (m OpenRequest) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, OpenRequestSize)
	binary.LittleEndian.PutUint16(p, m.Type)
	copy(p[2:], m.Padding[:])
	p[4] = uint8(m.AccessMode)
	p[5] = uint8(m.IOMode)
	copy(p[6:], m.DevicePath[:])
	copy(p[261:], m.Reserved[:])
	return b, nil
}

// ParseOpenRequest reads an OPEN and checks the type and the device path: NUL-terminated and not empty (Clause
// IBNBD-OPEN-018). The access mode is not checked here, because a device that the session has already opened is
// returned whatever the mode (Clause IBNBD-OPEN-013); see [AccessMode.Valid].
func ParseOpenRequest(b []byte) (m OpenRequest, err error) {
	if len(b) < OpenRequestSize {
		return m, layout.Short(openLayout.Title, len(b), OpenRequestSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	copy(m.Padding[:], b[2:])
	m.AccessMode = AccessMode(b[4])
	m.IOMode = IOMode(b[5])
	copy(m.DevicePath[:], b[6:])
	copy(m.Reserved[:], b[261:])
	if err := checkType(openLayout.Title, m.Type, TypeOpen); err != nil {
		return m, err
	}
	return m, m.DevicePath.Check(openLayout.Title, "device_path", 6)
}

// OpenResponse describes the device that was opened, 56 bytes. Sectors have 512 bytes whatever the block sizes say
// (Clause IBNBD-OPEN-001). What the four fields from MaxWriteZeroesSectors and Rotational on mean depends on the peer;
// read and write them by [Agreement.Traits] and [Agreement.Describe].
type OpenResponse struct {
	Type                  uint16 // TypeOpenResponse
	Padding               [2]byte
	DeviceID              uint32 // unique in the session; 0 is valid
	Capacity              uint64 // sectors
	MaxHWSectors          uint32 // sectors
	MaxWriteZeroesSectors uint32 // sectors; the limit of write-same in profile L
	MaxDiscardSectors     uint32 // sectors; 0: not supported
	DiscardGranularity    uint32 // bytes
	DiscardAlignment      uint32 // bytes
	PhysicalBlockSize     uint16 // bytes
	LogicalBlockSize      uint16 // bytes; not 0
	MaxSegments           uint16
	SecureErase           uint16 // not 0: supported
	Rotational            uint8
	CachePolicy           CachePolicy // the I/O mode in use in profile L
	IOMode                IOMode      // of profile X; reserved in the others
	Reserved              [9]byte
}

// AppendBinary appends the 56 bytes of the message. It never fails.
func (m OpenResponse) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, OpenResponseSize)
	binary.LittleEndian.PutUint16(p, m.Type)
	copy(p[2:], m.Padding[:])
	binary.LittleEndian.PutUint32(p[4:], m.DeviceID)
	binary.LittleEndian.PutUint64(p[8:], m.Capacity)
	binary.LittleEndian.PutUint32(p[16:], m.MaxHWSectors)
	binary.LittleEndian.PutUint32(p[20:], m.MaxWriteZeroesSectors)
	binary.LittleEndian.PutUint32(p[24:], m.MaxDiscardSectors)
	binary.LittleEndian.PutUint32(p[28:], m.DiscardGranularity)
	binary.LittleEndian.PutUint32(p[32:], m.DiscardAlignment)
	binary.LittleEndian.PutUint16(p[36:], m.PhysicalBlockSize)
	binary.LittleEndian.PutUint16(p[38:], m.LogicalBlockSize)
	binary.LittleEndian.PutUint16(p[40:], m.MaxSegments)
	binary.LittleEndian.PutUint16(p[42:], m.SecureErase)
	p[44] = m.Rotational
	p[45] = uint8(m.CachePolicy)
	p[46] = uint8(m.IOMode)
	copy(p[47:], m.Reserved[:])
	return b, nil
}

// ParseOpenResponse reads an OPEN_RSP and checks the type and that the logical block size is not 0 (Clause
// IBNBD-OPEN-020). Upon the latter the client closes the device again: the value is complete and has its id.
func ParseOpenResponse(b []byte) (m OpenResponse, err error) {
	if len(b) < OpenResponseSize {
		return m, layout.Short(openResponseLayout.Title, len(b), OpenResponseSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	copy(m.Padding[:], b[2:])
	m.DeviceID = binary.LittleEndian.Uint32(b[4:])
	m.Capacity = binary.LittleEndian.Uint64(b[8:])
	m.MaxHWSectors = binary.LittleEndian.Uint32(b[16:])
	m.MaxWriteZeroesSectors = binary.LittleEndian.Uint32(b[20:])
	m.MaxDiscardSectors = binary.LittleEndian.Uint32(b[24:])
	m.DiscardGranularity = binary.LittleEndian.Uint32(b[28:])
	m.DiscardAlignment = binary.LittleEndian.Uint32(b[32:])
	m.PhysicalBlockSize = binary.LittleEndian.Uint16(b[36:])
	m.LogicalBlockSize = binary.LittleEndian.Uint16(b[38:])
	m.MaxSegments = binary.LittleEndian.Uint16(b[40:])
	m.SecureErase = binary.LittleEndian.Uint16(b[42:])
	m.Rotational = b[44]
	m.CachePolicy = CachePolicy(b[45])
	m.IOMode = IOMode(b[46])
	copy(m.Reserved[:], b[47:])
	if err := checkType(openResponseLayout.Title, m.Type, TypeOpenResponse); err != nil {
		return m, err
	}
	if m.LogicalBlockSize == 0 {
		err = layout.Illegal(openResponseLayout.Title, "logical_block_size", 38, m.LogicalBlockSize, "at least 1")
	}
	return m, err
}

// CloseRequest gives a device back, 8 bytes; it travels as the header of a write without data (Clause IBNBD-MSG-008).
type CloseRequest struct {
	Type     uint16 // TypeClose
	Padding  [2]byte
	DeviceID uint32
}

// AppendBinary appends the 8 bytes of the message. It never fails.
func (m CloseRequest) AppendBinary(b []byte) ([]byte, error) {
	b, p := layout.Extend(b, CloseRequestSize)
	binary.LittleEndian.PutUint16(p, m.Type)
	copy(p[2:], m.Padding[:])
	binary.LittleEndian.PutUint32(p[4:], m.DeviceID)
	return b, nil
}

// ParseCloseRequest reads a CLOSE and checks its type.
func ParseCloseRequest(b []byte) (m CloseRequest, err error) {
	if len(b) < CloseRequestSize {
		return m, layout.Short(closeLayout.Title, len(b), CloseRequestSize)
	}
	m.Type = binary.LittleEndian.Uint16(b)
	copy(m.Padding[:], b[2:])
	m.DeviceID = binary.LittleEndian.Uint32(b[4:])
	return m, checkType(closeLayout.Title, m.Type, TypeClose)
}
