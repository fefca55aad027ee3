// SPDX-License-Identifier: Apache-2.0

package ibnbd

import (
	"context"
	"errors"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/nbd"
)

// nbdDisk offers a mapped device to NBD clients. A client that was told that there is no volatile cache never flushes, so
// when the device has one after it was opened again, every write goes through it.
type nbdDisk struct {
	*Device
	cached bool // what clients are told
}

// NBDDisk offers a mapped device to NBD clients.
func NBDDisk(d *Device) nbd.Disk { return nbdDisk{d, hasCache(d)} }

func hasCache(d *Device) bool { return d.Traits().Cache&CacheWriteBack != 0 }

// through says that writes must be durable when they return, because nobody is going to flush.
func (d nbdDisk) through() bool { return !d.cached && hasCache(d.Device) }

func (d nbdDisk) Info() nbd.Info {
	r, traits := d.Response(), d.Traits()
	return nbd.Info{
		Size: d.Size(), BlockSize: d.BlockSize(), PreferredBlock: int(r.PhysicalBlockSize),
		WriteCache: d.cached, ReadOnly: d.Access() == ReadOnly, Rotational: traits.Rotational,
		Trim: r.MaxDiscardSectors > 0, WriteZeroes: traits.WriteZeroesSectors > 0,
	}
}

func (d nbdDisk) ReadAt(ctx context.Context, p []byte, offset int64) error {
	_, err := d.ReadAtContext(ctx, p, offset)
	return systemError(err)
}

func (d nbdDisk) WriteAt(ctx context.Context, p []byte, offset int64, fua bool) error {
	var flags uint32
	if fua || d.through() {
		flags = FlagFUA
	}
	_, err := d.WriteAtContext(ctx, p, offset, flags)
	return systemError(err)
}

func (d nbdDisk) Flush(ctx context.Context) error { return systemError(d.Device.Flush(ctx)) }

func (d nbdDisk) Trim(ctx context.Context, offset, length int64) error {
	return systemError(d.Discard(ctx, offset, length))
}

func (d nbdDisk) WriteZeroes(ctx context.Context, offset, length int64, keep bool) error {
	var flags uint32
	if keep {
		flags = FlagNoUnmap
	}
	err := d.Device.WriteZeroes(ctx, offset, length, flags)
	if err == nil && d.through() {
		err = d.Device.Flush(ctx)
	}
	return systemError(err)
}

// systemError adds the number that the protocol's number is on this system: on Linux, the same.
func systemError(err error) error {
	var errno ibtrs.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	return errors.Join(err, syscall.Errno(errno))
}
