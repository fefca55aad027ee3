// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// file is a device in a regular file. Holes read as zeroes; a discard makes one.
type file struct {
	f     *os.File
	props Properties
}

// OpenFile opens a regular file as a device. With a size, in bytes, the file is made, or grown, if need be, and stays
// sparse; size 0 takes the file as it is.
func OpenFile(path string, size int64, readOnly bool) (Backend, error) {
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	} else if size > 0 {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	b, err := newFile(f, size, readOnly)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("file device %s: %w", path, err), f.Close())
	}
	return b, nil
}

func newFile(f *os.File, size int64, readOnly bool) (Backend, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file: %w", syscall.EINVAL)
	}
	have := info.Size()
	if size > have && !readOnly {
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
		have = size
	}
	if size == 0 {
		size = have
	}
	if size > have {
		return nil, fmt.Errorf("the file has %d bytes, %d are wanted: %w", have, size, syscall.EINVAL)
	}
	props := Properties{
		Size: size, LogicalBlock: defaultBlock, PhysicalBlock: 4096, MaxDiscard: 1 << 30, DiscardGranularity: 4096,
		MaxWriteZeroes: 1 << 30, WriteCache: true, FUA: true, ReadOnly: readOnly,
	}
	if err := props.Validate(); err != nil {
		return nil, err
	}
	return &file{f, props}, nil
}

func (d *file) Properties() Properties { return d.props }

func (d *file) ReadAt(p []byte, offset int64) error { return readFull(d.f, p, offset) }

func (d *file) WriteAt(p []byte, offset int64, fua bool) error { return writeFull(d.f, p, offset, fua) }

func (d *file) Flush() error { return unix.Fdatasync(int(d.f.Fd())) }

func (d *file) Discard(offset, length int64) error {
	return fallocate(d.f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
}

// WriteZeroes makes a hole, or allocated zeroes; a file system that cannot do the latter is written to.
func (d *file) WriteZeroes(offset, length int64, keep bool) error {
	if !keep {
		return d.Discard(offset, length)
	}
	err := fallocate(d.f, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return writeZeroes(d.f, offset, length)
	}
	return err
}

func (d *file) SecureErase(int64, int64) error { return syscall.EOPNOTSUPP }

// Close makes what was written durable first.
func (d *file) Close() error {
	if d.props.ReadOnly {
		return d.f.Close()
	}
	return errors.Join(d.Flush(), d.f.Close())
}

func fallocate(f *os.File, mode uint32, offset, length int64) error {
	if length == 0 {
		return nil
	}
	return unix.Fallocate(int(f.Fd()), mode, offset, length)
}

// readFull reads all of p. The end of the file, which the device must not have, is an I/O error.
func readFull(f *os.File, p []byte, offset int64) error {
	n, err := f.ReadAt(p, offset)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("read %d bytes at %d: the file ends after %d: %w", len(p), offset, n, syscall.EIO)
	}
	return err
}

// writeFull writes all of p, with fua through to the storage.
func writeFull(f *os.File, p []byte, offset int64, fua bool) error {
	if !fua {
		_, err := f.WriteAt(p, offset)
		return err
	}
	for len(p) > 0 {
		n, err := unix.Pwritev2(int(f.Fd()), [][]byte{p}, offset, unix.RWF_DSYNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("write %d bytes through at %d: %w", len(p), offset, err)
		case n == 0:
			return fmt.Errorf("write %d bytes through at %d: nothing was written: %w", len(p), offset, syscall.EIO)
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// zeroStep is how much is zeroed with one write, in bytes.
const zeroStep = 1 << 20

func writeZeroes(f *os.File, offset, length int64) error {
	zeroes := make([]byte, min(length, zeroStep))
	for length > 0 {
		n, err := f.WriteAt(zeroes[:min(length, zeroStep)], offset)
		if err != nil {
			return err
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return nil
}
