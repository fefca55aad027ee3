// SPDX-License-Identifier: Apache-2.0

package srp

import (
	"context"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// nbdDisk offers a disk to NBD clients. What they are told of it is what it was when it was offered.
type nbdDisk struct {
	*Disk
	told nbd.Info
}

// NBDDisk offers a disk to NBD clients.
func NBDDisk(d *Disk) nbd.Disk {
	i := d.Info()
	return nbdDisk{d, nbd.Info{
		BlockSize: i.BlockSize, PreferredBlock: max(i.PhysicalBlock, i.BlockSize), WriteCache: i.WriteCache, ReadOnly: i.ReadOnly,
		Rotational: i.Rotational, Trim: i.MaxDiscard > 0, WriteZeroes: i.MaxWriteZeroes > 0,
	}}
}

// Info has the size as it is now.
func (d nbdDisk) Info() nbd.Info {
	i := d.told
	i.Size = d.Size()
	return i
}

// through says that writes must be durable when they return, because the disk has a cache now of which clients were not told.
func (d nbdDisk) through() bool { return !d.told.WriteCache && d.Disk.Info().WriteCache }

func (d nbdDisk) ReadAt(ctx context.Context, p []byte, offset int64) error {
	_, err := d.ReadAtContext(ctx, p, offset)
	return err
}

func (d nbdDisk) WriteAt(ctx context.Context, p []byte, offset int64, fua bool) error {
	_, err := d.WriteAtContext(ctx, p, offset, fua || d.through())
	return err
}

func (d nbdDisk) Trim(ctx context.Context, offset, length int64) error {
	return d.Discard(ctx, offset, length)
}

func (d nbdDisk) WriteZeroes(ctx context.Context, offset, length int64, keep bool) error {
	err := d.Disk.WriteZeroes(ctx, offset, length, keep)
	if err == nil && d.through() {
		err = d.Flush(ctx)
	}
	return err
}
