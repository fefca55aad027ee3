// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// block is a block device of the host.
type block struct {
	f     *os.File
	props Properties
}

// OpenBlock opens a block device of the host. With direct, its data does not go through the page cache. The error is
// ENOTBLK to errors.Is for what is no block device.
func OpenBlock(path string, readOnly, direct bool) (Backend, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeDevice == 0 || info.Mode()&os.ModeCharDevice != 0 {
		return nil, fmt.Errorf("%s is no block device: %w", path, syscall.ENOTBLK)
	}
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	if direct {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	b := &block{f: f}
	if err := b.measure(readOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("block device %s: %w", path, err), f.Close())
	}
	return b, nil
}

// ioctls of block devices (linux/fs.h).
const (
	blkROGet       = 0x125e
	blkGetSize64   = 0x80081272
	blkSSZGet      = 0x1268
	blkPBSZGet     = 0x127b
	blkDiscard     = 0x1277
	blkSecDiscard  = 0x127d
	blkZeroOut     = 0x127f
	blkRotational  = 0x127e
	blkAlignOff    = 0x127a
	largestDiscard = 1 << 31
)

// measure asks the kernel for the device's properties.
func (b *block) measure(readOnly bool) error {
	var size uint64
	var logical, physical, frozen, align int32
	var rotational uint16
	for _, q := range []struct {
		request uintptr
		answer  unsafe.Pointer
	}{
		{blkGetSize64, unsafe.Pointer(&size)}, {blkSSZGet, unsafe.Pointer(&logical)}, {blkPBSZGet, unsafe.Pointer(&physical)},
		{blkROGet, unsafe.Pointer(&frozen)}, {blkRotational, unsafe.Pointer(&rotational)}, {blkAlignOff, unsafe.Pointer(&align)},
	} {
		if err := b.ioctl(q.request, q.answer); err != nil {
			return err
		}
	}
	queue := b.queue()
	b.props = Properties{
		Size: int64(size), LogicalBlock: int(logical), PhysicalBlock: min(int(physical), MaxPhysicalBlock),
		MaxDiscard:         min(queue.number("discard_max_bytes"), largestDiscard),
		DiscardGranularity: int(queue.number("discard_granularity")), DiscardAlignment: max(0, int(align)),
		MaxWriteZeroes: min(queue.number("write_zeroes_max_bytes"), largestDiscard),
		Rotational:     rotational != 0,
		WriteCache:     queue.text("write_cache") == "write back", FUA: true, // the kernel flushes where a device has no FUA
		ReadOnly: readOnly || frozen != 0,
	}
	return b.props.Validate()
}

func (b *block) ioctl(request uintptr, argument unsafe.Pointer) error {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, b.f.Fd(), request, uintptr(argument)); e != 0 {
		return fmt.Errorf("ioctl %#x: %w", request, e)
	}
	return nil
}

// queueDir is the directory in sysfs with the limits of the device, or of the disk that it is a partition of.
type queueDir string

func (b *block) queue() queueDir {
	var st unix.Stat_t
	if err := unix.Fstat(int(b.f.Fd()), &st); err != nil {
		return ""
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	for _, d := range []string{filepath.Join(dir, "queue"), filepath.Join(dir, "..", "queue")} {
		real, err := filepath.EvalSymlinks(filepath.Dir(d))
		if err != nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(real, "queue")); err == nil {
			return queueDir(filepath.Join(real, "queue"))
		}
	}
	return ""
}

func (q queueDir) text(name string) string {
	b, err := os.ReadFile(filepath.Join(string(q), name))
	if q == "" || err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// number is 0 for what the kernel does not tell.
func (q queueDir) number(name string) int64 {
	n, err := strconv.ParseInt(q.text(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Size asks the kernel, because a disk of the host can be resized at any time.
func (b *block) Size() (int64, error) {
	var size uint64
	err := b.ioctl(blkGetSize64, unsafe.Pointer(&size))
	return int64(size), err
}

func (b *block) Properties() Properties { return b.props }

func (b *block) ReadAt(p []byte, offset int64) error { return readFull(b.f, p, offset) }

func (b *block) WriteAt(p []byte, offset int64, fua bool) error {
	return writeFull(b.f, p, offset, fua)
}

func (b *block) Flush() error { return unix.Fdatasync(int(b.f.Fd())) }

func (b *block) Discard(offset, length int64) error { return b.onRange(blkDiscard, offset, length) }

// WriteZeroes lets the kernel choose how; it always keeps or frees as the device does.
func (b *block) WriteZeroes(offset, length int64, keep bool) error {
	if !keep {
		err := fallocate(b.f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
		if !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	return b.onRange(blkZeroOut, offset, length)
}

func (b *block) SecureErase(offset, length int64) error {
	return b.onRange(blkSecDiscard, offset, length)
}

func (b *block) onRange(request uintptr, offset, length int64) error {
	if length == 0 {
		return nil
	}
	arg := [2]uint64{uint64(offset), uint64(length)}
	return b.ioctl(request, unsafe.Pointer(&arg))
}

// Close makes what was written durable first.
func (b *block) Close() error {
	if b.props.ReadOnly {
		return b.f.Close()
	}
	return errors.Join(b.Flush(), b.f.Close())
}
