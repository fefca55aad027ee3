// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibtrs"
	"github.com/ibnbd/ibnbd/reference/nbd"
)

// disks are the block devices of the kernel that devices of this program have. A device that has none is passed over.
type disks struct {
	mu sync.Mutex // guards of
	of map[*ibnbd.Device]*nbd.KernelDisk
}

// attach makes a block device of a device.
func (k *disks) attach(d *ibnbd.Device) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	disk, err := nbd.AttachToKernel(ibnbd.NBDDisk(d), d.MaxIO())
	if err != nil {
		return err
	}
	if d.State() == ibnbd.DeviceUnmapped { // while this went on; nobody else will take it away
		return errors.Join(fmt.Errorf("it was unmapped meanwhile: %w", ibtrs.ENODEV), disk.Detach())
	}
	if k.of == nil {
		k.of = make(map[*ibnbd.Device]*nbd.KernelDisk)
	}
	k.of[d] = disk
	return nil
}

// find gives the block device of a device, nil if there is none or if somebody has taken it away.
func (k *disks) find(d *ibnbd.Device) *nbd.KernelDisk {
	k.mu.Lock()
	defer k.mu.Unlock()
	if disk := k.of[d]; disk != nil && !disk.Gone() {
		return disk
	}
	return nil
}

// node is the path of the block device, "" if there is none.
func (k *disks) node(d *ibnbd.Device) string {
	if disk := k.find(d); disk != nil {
		return disk.Node()
	}
	return ""
}

// inUse gives EBUSY while somebody uses the block device.
func (k *disks) inUse(d *ibnbd.Device) error {
	if disk := k.find(d); disk != nil {
		return disk.InUse()
	}
	return nil
}

// sync has everything written that went to the block device.
func (k *disks) sync(ctx context.Context, d *ibnbd.Device) error {
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

// detach takes the block device away.
func (k *disks) detach(d *ibnbd.Device) error {
	k.mu.Lock()
	disk := k.of[d]
	delete(k.of, d)
	k.mu.Unlock()
	if disk == nil {
		return nil
	}
	return disk.Detach()
}
