// SPDX-License-Identifier: Apache-2.0

// Package doors is how programs let the system use disks that they have: through NBD, and as block devices of the kernel.
package doors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// Kernel are the block devices of the kernel that disks of this program have. A disk that has none is passed over.
type Kernel[D comparable] struct {
	mu sync.Mutex // guards of
	of map[D]*nbd.KernelDisk
}

// Attach makes a block device of a disk, by its NBD side and the most bytes of one request. gone gives an error if the disk has gone
// meanwhile: nobody else would take the block device away.
func (k *Kernel[D]) Attach(d D, side nbd.Disk, limit int, gone func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	disk, err := nbd.AttachToKernel(side, limit)
	if err != nil {
		return err
	}
	if err := gone(); err != nil {
		return errors.Join(err, disk.Detach())
	}
	if k.of == nil {
		k.of = make(map[D]*nbd.KernelDisk)
	}
	k.of[d] = disk
	return nil
}

// find gives the block device of a disk, nil if there is none or if somebody has taken it away.
func (k *Kernel[D]) find(d D) *nbd.KernelDisk {
	k.mu.Lock()
	defer k.mu.Unlock()
	if disk := k.of[d]; disk != nil && !disk.Gone() {
		return disk
	}
	return nil
}

// Node is the path of the block device, "" if there is none.
func (k *Kernel[D]) Node(d D) string {
	if disk := k.find(d); disk != nil {
		return disk.Node()
	}
	return ""
}

// InUse gives EBUSY while somebody uses the block device.
func (k *Kernel[D]) InUse(d D) error {
	if disk := k.find(d); disk != nil {
		return disk.InUse()
	}
	return nil
}

// Sync has everything written that went to the block device.
func (k *Kernel[D]) Sync(ctx context.Context, d D) error {
	disk := k.find(d)
	if disk == nil {
		return nil
	}
	written := make(chan error, 1)
	go func() { written <- disk.Sync() }()
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return fmt.Errorf("write what is in memory of %s: %w", disk.Node(), context.Cause(ctx))
	}
}

// Detach takes the block device away.
func (k *Kernel[D]) Detach(d D) error {
	k.mu.Lock()
	disk := k.of[d]
	delete(k.of, d)
	k.mu.Unlock()
	if disk == nil {
		return nil
	}
	return disk.Detach()
}
