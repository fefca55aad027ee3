// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"strconv"
	"time"

	"github.com/ibnbd/ibnbd/conformance/kit/machine"
)

// LayeredHost is a host whose machine can be given more programs; see [vm.Host.Unpack].
type LayeredHost interface {
	Host
	Unpack(ctx context.Context, layer string) error
}

// nbdDriver is the kernel's NBD driver, which makes block devices of what a program in userspace serves.
type nbdDriver struct{ host LayeredHost }

const (
	nbdLayer = "nbd" // of the guest's image
	nbdDisks = 160   // more than any spec maps

	connectedDisks = 16 // the last ones, of connections beside those of mappings
)

// load loads the driver, without a scan for partitions, whose reads would count as I/O of the spec.
func (n nbdDriver) load(ctx context.Context) error {
	if err := n.host.Unpack(ctx, nbdLayer); err != nil {
		return err
	}
	there, err := machine.Loaded(ctx, n.host, "nbd")
	if err != nil || there {
		return err
	}
	return n.host.Agent().LoadModule(ctx, "nbd", "nbds_max="+strconv.Itoa(nbdDisks), "max_part=0")
}

func (n nbdDriver) unload(ctx context.Context) error { return machine.Unload(ctx, n.host, "nbd") }

// attach makes a block device of an export that a program serves on a Unix socket. The kernel ends the connection when an I/O takes
// longer than the timeout, in whole seconds.
func (n nbdDriver) attach(ctx context.Context, node, socket, export string, timeout time.Duration) error {
	_, err := n.host.Agent().Output(ctx, "nbd-client", "-unix", socket, "-name", export, "-timeout", strconv.Itoa(int(timeout.Seconds())), node)
	return err
}

// detach takes a disk away if its program has ended without doing so; its I/O in flight fails.
func (n nbdDriver) detach(ctx context.Context, disk string) error {
	there, err := n.host.Agent().Exists(ctx, "/sys/block/"+disk+"/pid")
	if err != nil || !there {
		return err
	}
	_, err = n.host.Agent().Output(ctx, "nbd-client", "-d", "/dev/"+disk)
	return err
}
