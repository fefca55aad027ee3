// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent/internal/direct"
	"github.com/ibnbd/ibnbd/vm/agent/internal/wire"
)

// onHandle makes an operation of a function on an open file.
func onHandle(f func(*handle) (any, error)) operation {
	return func(_ context.Context, s *session, _ *stream, raw json.RawMessage) (any, error) {
		args, err := arguments[wire.Handle](raw)
		if err != nil {
			return nil, err
		}
		file, done, err := s.handles.use(args.Handle)
		if err != nil {
			return nil, err
		}
		defer done()
		return f(file)
	}
}

// onRegion makes an operation of a function on a part of an open file.
func onRegion(f func(*handle, wire.Region) error) operation {
	return func(_ context.Context, s *session, _ *stream, raw json.RawMessage) (any, error) {
		args, err := arguments[wire.Region](raw)
		if err != nil {
			return nil, err
		}
		file, done, err := s.handles.use(args.Handle)
		if err != nil {
			return nil, err
		}
		defer done()
		return nil, f(file, args)
	}
}

// pread reads with one call.
func pread(_ context.Context, s *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.Region](raw)
	if err != nil {
		return nil, err
	}
	if args.Length < 0 || args.Length > wire.MaxMessage {
		return nil, fmt.Errorf("read of %d bytes: the limit is %d", args.Length, wire.MaxMessage)
	}
	file, done, err := s.handles.use(args.Handle)
	if err != nil {
		return nil, err
	}
	defer done()
	buf := direct.Buffer(int(args.Length))
	n, err := retryInterrupted(func() (int, error) { return unix.Pread(file.fd, buf, args.Offset) })
	if err != nil {
		return nil, file.failed("pread", err)
	}
	return nil, wire.WriteMessage(st, wire.Bytes, buf[:n])
}

// pwrite writes with one call.
func pwrite(_ context.Context, s *session, st *stream, raw json.RawMessage) (any, error) {
	args, err := arguments[wire.Region](raw)
	if err != nil {
		return nil, err
	}
	body, err := st.expect(wire.Bytes)
	if err != nil {
		return nil, err
	}
	file, done, err := s.handles.use(args.Handle)
	if err != nil {
		return nil, err
	}
	defer done()
	buf := direct.Buffer(len(body))
	copy(buf, body)
	n, err := retryInterrupted(func() (int, error) { return unix.Pwrite(file.fd, buf, args.Offset) })
	if err != nil {
		return nil, file.failed("pwrite", err)
	}
	return wire.Count{Count: int64(n)}, nil
}

// retryInterrupted calls f again when a signal of the Go runtime came between; nothing has been done then.
func retryInterrupted(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func syncFile(file *handle) (any, error) {
	return nil, file.failed("fsync", unix.Fsync(file.fd))
}

func discard(file *handle, r wire.Region) error {
	return file.failed("BLKDISCARD", rangeIoctl(file.fd, unix.BLKDISCARD, r))
}

func zeroOut(file *handle, r wire.Region) error {
	return file.failed("BLKZEROOUT", rangeIoctl(file.fd, unix.BLKZEROOUT, r))
}

// rangeIoctl is an ioctl on a block device that takes the start and the length of a region.
func rangeIoctl(fd int, request uintptr, r wire.Region) error {
	span := [2]uint64{uint64(r.Offset), uint64(r.Length)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&span)))
	runtime.KeepAlive(&span)
	if errno != 0 {
		return errno
	}
	return nil
}

func flushBuffers(file *handle) (any, error) {
	_, err := unix.IoctlRetInt(file.fd, unix.BLKFLSBUF)
	return nil, file.failed("BLKFLSBUF", err)
}

// size is that of a block device, or of a file.
func size(file *handle) (any, error) {
	var bytes uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(file.fd), unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&bytes)))
	switch errno {
	case 0:
		return wire.Count{Count: int64(bytes)}, nil
	case syscall.ENOTTY:
		var st unix.Stat_t
		if err := unix.Fstat(file.fd, &st); err != nil {
			return nil, file.failed("fstat", err)
		}
		return wire.Count{Count: st.Size}, nil
	}
	return nil, file.failed("BLKGETSIZE64", errno)
}
