// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/ibnbd/ibnbd/reference/ibnbd"
	"github.com/ibnbd/ibnbd/reference/ibnbd/nbd"
)

// disks are the block devices of the kernel that devices of this program have. A device that has none is passed over.
type disks struct {
	mu sync.Mutex // guards of
	of map[*ibnbd.Device]*nbd.KernelDisk
}

// attach makes a block device of a device.
func (k *disks) attach(d *ibnbd.Device) error {
	// Its I/O ends with the device, not with the program, which has things to write when it is told to end.
	disk, err := nbd.AttachToKernel(context.Background(), nbd.FromDevice(d), d.MaxIO())
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil {
		k.of = make(map[*ibnbd.Device]*nbd.KernelDisk)
	}
	k.of[d] = disk
	return nil
}

func (k *disks) find(d *ibnbd.Device) *nbd.KernelDisk {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.of[d]
}

// node is the path of the block device, "" if there is none.
func (k *disks) node(d *ibnbd.Device) string {
	if disk := k.find(d); disk != nil {
		return disk.Node()
	}
	return ""
}

// settle has everything written that went to the block device; it fails while somebody uses that.
func (k *disks) settle(ctx context.Context, d *ibnbd.Device) error {
	disk := k.find(d)
	if disk == nil {
		return nil
	}
	settled := make(chan error, 1)
	go func() { settled <- disk.Settle() }()
	select {
	case err := <-settled:
		return err
	case <-ctx.Done():
		return fmt.Errorf("write what is in memory of %s: %w", disk.Node(), context.Cause(ctx))
	}
}

// detach takes the block device away.
func (k *disks) detach(d *ibnbd.Device) error {
	disk := k.find(d)
	if disk == nil {
		return nil
	}
	k.mu.Lock()
	delete(k.of, d)
	k.mu.Unlock()
	return disk.Detach()
}
