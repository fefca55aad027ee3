// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// volatile is a device in a regular file behind a write cache in the memory of the process: what was neither flushed nor written with
// FUA is lost with the process, as a disk loses its cache with its power.
type volatile struct {
	f     *os.File
	props Properties

	mu    sync.RWMutex // guards the rest
	cache []byte       // a private mapping of the file: what is read
	dirty []uint64     // one bit a sector: the file does not have it
}

// OpenVolatile opens a regular file as [OpenFile] does, behind a volatile write cache. Closing the device flushes it.
func OpenVolatile(path string, size int64) (Backend, error) {
	b, err := OpenFile(path, size, false)
	if err != nil {
		return nil, err
	}
	d := b.(*file)
	cache, err := unix.Mmap(int(d.f.Fd()), 0, int(d.props.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("file device %s: map it: %w", path, err), b.Close())
	}
	props := d.props
	props.MaxDiscard, props.MaxWriteZeroes = memoryStep, memoryStep
	return &volatile{f: d.f, props: props, cache: cache, dirty: make([]uint64, (props.Size/defaultBlock+63)/64)}, nil
}

func (v *volatile) Properties() Properties { return v.props }

func (v *volatile) ReadAt(p []byte, offset int64) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	copy(p, v.cache[offset:])
	return nil
}

func (v *volatile) WriteAt(p []byte, offset int64, fua bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	copy(v.cache[offset:], p)
	if !fua {
		v.mark(offset, int64(len(p)))
		return nil
	}
	if err := writeFull(v.f, p, offset, true); err != nil {
		v.mark(offset, int64(len(p)))
		return err
	}
	v.eachSector(offset, int64(len(p)), func(word *uint64, bit uint64) { *word &^= bit })
	return nil
}

// mark remembers that the file does not have a range.
func (v *volatile) mark(offset, length int64) {
	v.eachSector(offset, length, func(word *uint64, bit uint64) { *word |= bit })
}

func (v *volatile) eachSector(offset, length int64, do func(word *uint64, bit uint64)) {
	for s := offset / defaultBlock; s < (offset+length)/defaultBlock; s++ {
		do(&v.dirty[s/64], 1<<(s%64))
	}
}

// Flush writes to the file what it does not have.
func (v *volatile) Flush() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.dirty {
		for left := v.dirty[i]; left != 0; left &= left - 1 {
			at := (int64(i)*64 + int64(bits.TrailingZeros64(left))) * defaultBlock
			if _, err := v.f.WriteAt(v.cache[at:at+defaultBlock], at); err != nil {
				return err
			}
		}
	}
	if err := unix.Fdatasync(int(v.f.Fd())); err != nil {
		return err
	}
	clear(v.dirty)
	return nil
}

// Discard zeroes a range.
func (v *volatile) Discard(offset, length int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.cache[offset : offset+length])
	v.mark(offset, length)
	return nil
}

func (v *volatile) WriteZeroes(offset, length int64, _ bool) error { return v.Discard(offset, length) }

func (v *volatile) SecureErase(int64, int64) error { return syscall.EOPNOTSUPP }

func (v *volatile) Close() error { return errors.Join(v.Flush(), unix.Munmap(v.cache), v.f.Close()) }
