// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"fmt"
	"syscall"
)

// flags of each command that may be sent to the disk. FUA is for all of them; where nothing is written it changes nothing.
func (t *transmission) flags(kind uint16) (flags uint16, known bool) {
	switch kind {
	case cmdRead:
		if t.structured {
			return cmdFlagFUA | cmdFlagDF, true
		}
		return cmdFlagFUA, true
	case cmdWrite, cmdFlush:
		return cmdFlagFUA, true
	case cmdTrim:
		return cmdFlagFUA, t.info.Trim
	case cmdWriteZeroes:
		if !t.info.WriteZeroes {
			return cmdFlagFUA | cmdFlagNoHole, true // see [transmission.zero]
		}
		return cmdFlagFUA | cmdFlagNoHole | cmdFlagFastZero, true
	case cmdBlockStatus:
		return cmdFlagFUA | cmdFlagReqOne, t.allocation
	}
	return 0, false
}

// check refuses commands that the disk was not offered for.
func (t *transmission) check(c *command) error {
	flags, known := t.flags(c.kind)
	changes := c.kind == cmdWrite || c.kind == cmdTrim || c.kind == cmdWriteZeroes
	switch {
	case changes && t.info.ReadOnly:
		return fmt.Errorf("the disk is read-only: %w", syscall.EPERM)
	case !known:
		return fmt.Errorf("command %d was not offered: %w", c.kind, syscall.EINVAL)
	case c.flags&^flags != 0:
		return fmt.Errorf("flags %#x of command %d, may have none but %#x: %w", c.flags, c.kind, flags, syscall.EINVAL)
	case c.kind == cmdFlush && (c.offset != 0 || c.length != 0):
		return fmt.Errorf("flush of %d bytes at %d, both must be 0: %w", c.length, c.offset, syscall.EINVAL)
	}
	return t.checkRange(c)
}

func (t *transmission) checkRange(c *command) error {
	size, block := uint64(t.info.Size), uint64(t.block())
	switch {
	case c.offset > size || uint64(c.length) > size-c.offset:
		errno := syscall.EINVAL
		if c.kind == cmdWrite || c.kind == cmdWriteZeroes {
			errno = syscall.ENOSPC
		}
		return fmt.Errorf("%d bytes at %d, the disk has %d: %w", c.length, c.offset, size, errno)
	case c.offset%block != 0 || uint64(c.length)%block != 0:
		return fmt.Errorf("%d bytes at %d, must be multiples of the block size %d: %w", c.length, c.offset, block, syscall.EINVAL)
	case c.length > maxIO && (c.kind == cmdRead || c.kind == cmdWrite):
		return fmt.Errorf("%d bytes, at most %d are allowed: %w", c.length, maxIO, syscall.EINVAL)
	case c.length == 0 && c.kind == cmdBlockStatus:
		return fmt.Errorf("status of 0 bytes, must be at least 1: %w", syscall.EINVAL)
	}
	return nil
}
