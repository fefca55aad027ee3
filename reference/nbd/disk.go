// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"context"
	"errors"
	"syscall"
)

// Disk is a block device that a server offers. Offsets and lengths are bytes; the server has checked that they lie
// within Info.Size and are multiples of Info.BlockSize. Methods may be called from many goroutines at once. Errors may
// wrap a syscall.Errno, whose number the client is then told as far as the protocol has it; else it is told EIO.
type Disk interface {
	// Info describes the disk as it is now.
	Info() Info
	ReadAt(ctx context.Context, p []byte, offset int64) error
	// WriteAt writes p; with fua it returns when the data is durable.
	WriteAt(ctx context.Context, p []byte, offset int64, fua bool) error
	Flush(ctx context.Context) error
	Trim(ctx context.Context, offset, length int64) error
	// WriteZeroes makes a range read as zeroes; with keep its storage stays allocated.
	WriteZeroes(ctx context.Context, offset, length int64, keep bool) error
}

// Info describes a disk.
type Info struct {
	Size           int64 // bytes
	BlockSize      int   // bytes: the unit of all I/O
	PreferredBlock int   // bytes
	WriteCache     bool  // volatile: writes are durable only after a flush
	ReadOnly       bool
	Rotational     bool
	Trim           bool // supported
	WriteZeroes    bool // supported
}

// flags are the transmission flags of the disk. Several connections may be used, because a flush on one covers what was
// acknowledged on the others. Zeroes are always fast: no data goes to the server for them, as it does for a write.
func (i Info) flags(structured bool) uint16 {
	f := uint16(txHasFlags | txFUA | txMultiConn)
	for _, b := range []struct {
		set  bool
		flag uint16
	}{{i.WriteCache, txFlush}, {i.ReadOnly, txReadOnly}, {i.Rotational, txRotational}, {i.Trim, txTrim},
		{i.WriteZeroes, txWriteZeroes | txFastZero}, {structured, txSendDF}} {
		if b.set {
			f |= b.flag
		}
	}
	return f
}

// errnoOf is the number that tells a client of err.
func errnoOf(err error) uint32 {
	var e syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		return errShutdown
	case !errors.As(err, &e):
		return errIO
	}
	switch e {
	case syscall.EPERM, syscall.EACCES, syscall.EROFS:
		return errPerm
	case syscall.ENOMEM:
		return errNoMem
	case syscall.EINVAL:
		return errInval
	case syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG:
		return errNoSpace
	case syscall.EOPNOTSUPP:
		return errNotSup
	}
	return errIO
}
