// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// KernelDisk is a block device of the kernel's NBD driver, /dev/nbd<N>, with a Disk of this process behind it. A process that
// ends without Detach leaves it behind: new I/O fails, and what is in flight waits until nbd-client -d takes it away.
type KernelDisk struct {
	index uint32
	gone  chan struct{} // closed when the driver has let go
}

// AttachToKernel makes a block device of a disk, until Detach or until somebody else takes it away. Its requests have up to
// limit bytes; larger ones are split by the kernel. The error is ENOENT if the driver is not loaded, EPERM without
// CAP_SYS_ADMIN.
func AttachToKernel(d Disk, limit int) (*KernelDisk, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("attach to the kernel: %w", err)
	}
	defer theirs.Close() // the kernel has its own reference
	k := &KernelDisk{gone: make(chan struct{})}
	go func() {
		defer close(k.gone)
		defer ours.Close()
		_ = newTransmission(ours, choice{disk: d}).run(context.Background()) // however it ends, the driver has let go
	}()
	if err = k.connect(theirs, d.Info()); err == nil {
		err = k.limit(limit)
	}
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("attach to the kernel's NBD driver: %w", err)
	}
	return k, nil
}

// socketPair makes two ends of a stream.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(ends[0]), "nbd")
	defer file.Close()
	theirs = os.NewFile(uintptr(ends[1]), "nbd, the kernel's end")
	if ours, err = net.FileConn(file); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// connect has the driver take the first disk that is free.
func (k *KernelDisk) connect(socket *os.File, info Info) error {
	sockets := nl.NewRtAttr(unix.NLA_F_NESTED|attrSockets, nil)
	sockets.AddRtAttr(unix.NLA_F_NESTED|attrSocketItem, nil).AddRtAttr(attrSocketFD, nl.Uint32Attr(uint32(socket.Fd())))
	answers, err := tellDriver(commandConnect,
		nl.NewRtAttr(attrSizeBytes, nl.Uint64Attr(uint64(info.Size))),
		nl.NewRtAttr(attrBlockSizeBytes, nl.Uint64Attr(uint64(info.BlockSize))),
		nl.NewRtAttr(attrServerFlags, nl.Uint64Attr(uint64(info.flags(false)))),
		sockets)
	if err != nil {
		return err
	}
	for _, answer := range answers {
		attributes, err := nl.ParseRouteAttr(answer[min(nl.SizeofGenlmsg, len(answer)):])
		if err != nil {
			return err
		}
		for _, a := range attributes {
			if a.Attr.Type == attrIndex && len(a.Value) == 4 {
				k.index = nl.NativeEndian().Uint32(a.Value)
				return nil
			}
		}
	}
	return errors.New("it does not say which disk it took")
}

// limit sets the size of the largest request in bytes, as far as the driver has it: from a page on.
func (k *KernelDisk) limit(bytes int) error {
	bytes = min(max(bytes, os.Getpagesize()), maxIO)
	name := filepath.Join("/sys/block", filepath.Base(k.Node()), "queue/max_sectors_kb")
	err := os.WriteFile(name, []byte(strconv.Itoa(bytes/1024)), 0)
	if err != nil {
		return errors.Join(err, k.Detach())
	}
	return nil
}

// Node is the path of the block device.
func (k *KernelDisk) Node() string { return "/dev/nbd" + strconv.Itoa(int(k.index)) }

// Gone reports whether the driver has let go of it. Its number may be that of somebody else's disk then.
func (k *KernelDisk) Gone() bool {
	select {
	case <-k.gone:
		return true
	default:
		return false
	}
}

// Detach takes the block device away. I/O that is in flight fails.
func (k *KernelDisk) Detach() error {
	if k.Gone() {
		return nil
	}
	if _, err := tellDriver(commandDisconnect, nl.NewRtAttr(attrIndex, nl.Uint32Attr(k.index))); err != nil {
		return fmt.Errorf("detach %s: %w", k.Node(), err)
	}
	return nil
}

// Sync has what was written to the block device and is still in memory written to the disk behind it.
func (k *KernelDisk) Sync() error {
	f, err := os.Open(k.Node())
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// InUse gives EBUSY while the block device is mounted or claimed in another way, or while a process has it open under its usual
// name; of the processes of others only root can tell.
func (k *KernelDisk) InUse() error {
	claimed, err := os.OpenFile(k.Node(), os.O_RDONLY|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	if err := claimed.Close(); err != nil {
		return err
	}
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return err
	}
	for _, name := range open {
		if target, err := os.Readlink(name); err == nil && target == k.Node() { // what is closed meanwhile is not open
			return fmt.Errorf("a program has %s open: %w", k.Node(), syscall.EBUSY)
		}
	}
	return nil
}

// What the driver understands over generic netlink; source: the kernel's linux/nbd-netlink.h.
const (
	familyName    = "nbd"
	familyVersion = 1

	commandConnect    = 1
	commandDisconnect = 2

	attrIndex          = 1 // 32 bits
	attrSizeBytes      = 2 // 64 bits, as the next two
	attrBlockSizeBytes = 3
	attrServerFlags    = 5
	attrSockets        = 7 // items with a file descriptor each
	attrSocketItem     = 1
	attrSocketFD       = 1
)

// tellDriver has the driver do something and gives its answers.
func tellDriver(command uint8, attributes ...*nl.RtAttr) ([][]byte, error) {
	family, err := netlink.GenlFamilyGet(familyName)
	if errors.Is(err, syscall.ENOENT) {
		return nil, fmt.Errorf("it is not loaded (modprobe nbd): %w", err)
	}
	if err != nil {
		return nil, err
	}
	request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	request.AddData(&nl.Genlmsg{Command: command, Version: familyVersion})
	for _, a := range attributes {
		request.AddData(a)
	}
	return request.Execute(unix.NETLINK_GENERIC, 0)
}
