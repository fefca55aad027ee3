// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent"
)

// LayeredHost is a host whose machine can be given more programs; see [vm.Host.Unpack].
type LayeredHost interface {
	Host
	Unpack(ctx context.Context, layer string) error
}

// nbdDoor makes block devices of what a program in userspace offers on a Unix socket, by the kernel's NBD driver and
// nbd-client.
type nbdDoor struct {
	host LayeredHost
	last int // number of the disk that was last used; numbers go round, so that one which is still busy is left alone
}

const (
	nbdLayer = "nbd" // of the guest's image
	nbdDisks = 160   // more than any spec maps
)

// open loads the driver, without a scan for partitions, whose reads would count as I/O of the spec.
func (n *nbdDoor) open(ctx context.Context) error {
	if err := n.host.Unpack(ctx, nbdLayer); err != nil {
		return err
	}
	there, err := loaded(ctx, n.host, "nbd")
	if err != nil || there {
		return err
	}
	return n.host.Agent().LoadModule(ctx, "nbd", "nbds_max="+strconv.Itoa(nbdDisks), "max_part=0")
}

func (n *nbdDoor) close(ctx context.Context) error { return unload(ctx, n.host, "nbd") }

// attach makes a disk of a client's device. Requests are as large as those of the session, so that the client need not
// split them.
func (n *nbdDoor) attach(ctx context.Context, socket string, d clientDevice) (disk string, err error) {
	if disk, err = n.free(ctx); err != nil {
		return "", err
	}
	if _, err := n.host.Agent().Output(ctx, "nbd-client", "-unix", socket, "-N", d.Path, "-b", strconv.Itoa(d.Block), "/dev/"+disk); err != nil {
		return "", err
	}
	const kib = 1024
	limit := []byte(strconv.Itoa(d.MaxIO / kib))
	return disk, n.host.Agent().WriteFile(ctx, path.Join("/sys/block", disk, "queue/max_sectors_kb"), limit)
}

// free finds a disk that nobody uses.
func (n *nbdDoor) free(ctx context.Context) (disk string, err error) {
	for range nbdDisks {
		n.last = (n.last + 1) % nbdDisks
		disk := "nbd" + strconv.Itoa(n.last)
		used, err := n.host.Agent().Exists(ctx, path.Join("/sys/block", disk, "pid"))
		if err != nil {
			return "", err
		}
		if !used {
			return disk, nil
		}
	}
	return "", fmt.Errorf("all %d NBD disks are in use: %w", nbdDisks, syscall.EBUSY)
}

// detach takes a disk away; its I/O in flight fails.
func (n *nbdDoor) detach(ctx context.Context, disk string) error {
	_, err := n.host.Agent().Output(ctx, "nbd-client", "-d", "/dev/"+disk)
	return err
}

// idle fails with EBUSY while a program has the disk open.
func (n *nbdDoor) idle(ctx context.Context, d Device) error {
	// What a program closes meanwhile cannot be shown, which makes ls fail.
	result, err := n.host.Agent().Run(ctx, agent.Command{Path: "sh", Args: []string{"-c", "ls -l /proc/[0-9]*/fd"}})
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	for line := range strings.Lines(string(result.Stdout)) {
		if strings.HasSuffix(strings.TrimSpace(line), " -> "+d.Node) {
			return fmt.Errorf("a program has %s open: %w", d.Node, syscall.EBUSY)
		}
	}
	return nil
}
