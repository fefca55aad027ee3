// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"fmt"
	"io"
	"syscall"
)

// Backend is a block device. Its methods may be called from many goroutines at once. Offsets and lengths are bytes, have
// passed [Check], and buffers begin at a multiple of the page size in memory. Errors wrap a syscall.Errno.
type Backend interface {
	// Properties are fixed while the backend is open, but for the size of a Resizable.
	Properties() Properties

	// ReadAt fills p.
	ReadAt(p []byte, offset int64) error
	// WriteAt writes p. With fua it returns when the data is durable.
	WriteAt(p []byte, offset int64, fua bool) error
	// Flush makes all that was written before durable.
	Flush() error
	// Discard says that the contents of a range do not matter any more.
	Discard(offset, length int64) error
	// WriteZeroes makes a range read as zeroes. With keep the storage stays allocated.
	WriteZeroes(offset, length int64, keep bool) error
	// SecureErase destroys the contents of a range.
	SecureErase(offset, length int64) error

	io.Closer
}

// Resizable is a Backend whose size can change while it is open.
type Resizable interface {
	Backend
	// Size is the present one, in bytes.
	Size() (int64, error)
}

// Properties describe a device.
type Properties struct {
	Size               int64 // bytes, a multiple of LogicalBlock
	LogicalBlock       int   // bytes: the unit of all I/O; a power of two from 512 on
	PhysicalBlock      int   // bytes: what is written without reading first
	MaxDiscard         int64 // bytes in one discard; 0: not supported
	DiscardGranularity int   // bytes
	DiscardAlignment   int   // bytes
	MaxWriteZeroes     int64 // bytes in one WriteZeroes; 0: not supported
	SecureErase        bool
	Rotational         bool
	WriteCache         bool // volatile: only Flush, or WriteAt with fua, makes what was written durable
	FUA                bool // WriteAt honours fua by itself
	ReadOnly           bool
	Immediate          bool // no method ever waits: it may be called where nobody must wait
}

// Check refuses a range that is not made of whole blocks of the device: EIO for what lies outside, as the block layer of
// Linux has it, EINVAL for what crosses its blocks.
func (p *Properties) Check(offset, length int64) error {
	block := int64(p.LogicalBlock)
	switch {
	case offset < 0 || length < 0 || offset > p.Size || length > p.Size-offset:
		return fmt.Errorf("%d bytes at %d, the device has %d: %w", length, offset, p.Size, syscall.EIO)
	case offset%block != 0 || length%block != 0:
		return fmt.Errorf("%d bytes at %d do not fit its blocks of %d bytes: %w", length, offset, block, syscall.EINVAL)
	}
	return nil
}

// defaultBlock is the logical block of memory and of files, in bytes.
const defaultBlock = 512

// MaxPhysicalBlock is the largest block size that the protocol can express, in bytes.
const MaxPhysicalBlock = 32768

// Validate refuses properties that make no device.
func (p *Properties) Validate() error {
	l := p.LogicalBlock
	switch {
	case l < 512 || l > MaxPhysicalBlock || l&(l-1) != 0:
		return fmt.Errorf("logical block of %d bytes, must be a power of two from 512 to %d: %w", l, MaxPhysicalBlock, syscall.EINVAL)
	case p.Size <= 0 || p.Size%int64(l) != 0:
		return fmt.Errorf("size of %d bytes, must be a multiple of the logical block of %d, and not 0: %w", p.Size, l, syscall.EINVAL)
	}
	return nil
}
