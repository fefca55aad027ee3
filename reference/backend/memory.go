// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memory is a device in the memory of the process: zero at first, and taken from the system as it is written.
type memory struct {
	data  []byte
	props Properties
	page  int64
}

// memoryStep bounds one discard or write-zeroes of a memory device, in bytes: they clear pages while nobody may wait.
const memoryStep = 16 << 20

// NewMemory makes a device of size bytes. block is its logical block in bytes, 0 for 512.
func NewMemory(size int64, block int) (Backend, error) {
	if block == 0 {
		block = defaultBlock
	}
	props := Properties{
		Size: size, LogicalBlock: block, PhysicalBlock: max(block, 4096), MaxDiscard: memoryStep, DiscardGranularity: 4096,
		MaxWriteZeroes: memoryStep, SecureErase: true, Immediate: true,
	}
	if err := props.Validate(); err != nil {
		return nil, fmt.Errorf("memory device: %w", err)
	}
	data, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("memory device of %d bytes: map memory: %w", size, err)
	}
	return &memory{data: data, props: props, page: int64(os.Getpagesize())}, nil
}

func (m *memory) Properties() Properties { return m.props }

func (m *memory) ReadAt(p []byte, offset int64) error {
	copy(p, m.data[offset:])
	return nil
}

func (m *memory) WriteAt(p []byte, offset int64, _ bool) error {
	copy(m.data[offset:], p)
	return nil
}

func (m *memory) Flush() error { return nil }

// Discard gives whole pages back to the system, and clears the rest.
func (m *memory) Discard(offset, length int64) error {
	end := offset + length
	first, last := min((offset+m.page-1)/m.page*m.page, end), max(end/m.page*m.page, offset)
	if first >= last {
		clear(m.data[offset:end])
		return nil
	}
	clear(m.data[offset:first])
	clear(m.data[last:end])
	if err := unix.Madvise(m.data[first:last], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("discard %d bytes at %d: %w", length, offset, err)
	}
	return nil
}

func (m *memory) WriteZeroes(offset, length int64, keep bool) error {
	if !keep {
		return m.Discard(offset, length)
	}
	clear(m.data[offset : offset+length])
	return nil
}

// SecureErase is [memory.Discard]: memory has no copies of what was in it.
func (m *memory) SecureErase(offset, length int64) error { return m.Discard(offset, length) }

func (m *memory) Close() error { return unix.Munmap(m.data) }
