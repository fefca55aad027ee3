// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/binary"
	"fmt"
)

// scsiNames are the SCSI commands that disks and their initiators use (SPC, SBC).
var scsiNames = map[byte]string{
	0x00: "TEST UNIT READY", 0x03: "REQUEST SENSE", 0x08: "READ(6)", 0x0A: "WRITE(6)", 0x12: "INQUIRY",
	0x15: "MODE SELECT(6)", 0x1A: "MODE SENSE(6)", 0x1B: "START STOP UNIT", 0x25: "READ CAPACITY(10)", 0x28: "READ(10)",
	0x2A: "WRITE(10)", 0x2F: "VERIFY(10)", 0x35: "SYNCHRONIZE CACHE(10)", 0x41: "WRITE SAME(10)", 0x42: "UNMAP",
	0x4D: "LOG SENSE", 0x55: "MODE SELECT(10)", 0x5A: "MODE SENSE(10)", 0x5E: "PERSISTENT RESERVE IN",
	0x5F: "PERSISTENT RESERVE OUT", 0x88: "READ(16)", 0x89: "COMPARE AND WRITE", 0x8A: "WRITE(16)",
	0x91: "SYNCHRONIZE CACHE(16)", 0x93: "WRITE SAME(16)", 0x9E: "SERVICE ACTION IN(16)", 0xA0: "REPORT LUNS",
	0xA3: "MAINTENANCE IN", 0xA8: "READ(12)", 0xAA: "WRITE(12)",
}

// Blocks returns what a READ or WRITE command addresses, in logical blocks; ok is false for other commands.
func (c *Command) Blocks() (lba uint64, count uint32, ok bool) {
	be := binary.BigEndian
	switch c.CDB[0] {
	case 0x28, 0x2A:
		return uint64(be.Uint32(c.CDB[2:])), uint32(be.Uint16(c.CDB[7:])), true
	case 0xA8, 0xAA:
		return uint64(be.Uint32(c.CDB[2:])), be.Uint32(c.CDB[6:]), true
	case 0x88, 0x8A:
		return be.Uint64(c.CDB[2:]), be.Uint32(c.CDB[10:]), true
	}
	return 0, 0, false
}

// scsiText names the SCSI command with what it addresses.
func (c *Command) scsiText() string {
	name, known := scsiNames[c.CDB[0]]
	if !known {
		name = fmt.Sprintf("SCSI command %#02x", c.CDB[0])
	}
	if lba, count, ok := c.Blocks(); ok {
		return fmt.Sprintf("%s %d blocks at block %d", name, count, lba)
	}
	return name
}
