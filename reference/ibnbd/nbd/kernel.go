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
// ends without Detach leaves it behind, and all of its I/O fails; nbd-client -d takes it away.
type KernelDisk struct {
	index uint32
}

// AttachToKernel makes a block device of a disk, which serves it until Detach. Its requests have up to maxIO bytes; larger
// ones are split by the kernel. Errors wrap a syscall.Errno: ENOENT if the driver is not loaded, EPERM without
// CAP_SYS_ADMIN.
func AttachToKernel(ctx context.Context, d Disk, maxIO int) (*KernelDisk, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("attach to the kernel: %w", err)
	}
	defer theirs.Close() // the kernel has its own reference
	k := &KernelDisk{}
	go func() {
		defer ours.Close()
		_ = newTransmission(ours, d).run(ctx) // it fails when the kernel lets go, which is the end of it
	}()
	if err = k.connect(theirs, d.Info()); err == nil {
		err = k.limit(maxIO)
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
		nl.NewRtAttr(attrServerFlags, nl.Uint64Attr(uint64(info.flags()))),
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

// limit sets the size of the largest request.
func (k *KernelDisk) limit(maxIO int) error {
	name := filepath.Join("/sys/block", filepath.Base(k.Node()), "queue/max_sectors_kb")
	err := os.WriteFile(name, []byte(strconv.Itoa(maxIO/1024)), 0)
	if err != nil {
		return errors.Join(err, k.Detach())
	}
	return nil
}

// Node is the path of the block device.
func (k *KernelDisk) Node() string { return "/dev/nbd" + strconv.Itoa(int(k.index)) }

// Detach takes the block device away. I/O that is in flight fails.
func (k *KernelDisk) Detach() error {
	if _, err := tellDriver(commandDisconnect, nl.NewRtAttr(attrIndex, nl.Uint32Attr(k.index))); err != nil {
		return fmt.Errorf("detach %s: %w", k.Node(), err)
	}
	return nil
}

// Settle has what was written to the block device and is still in memory written to the disk behind it, which takes as long
// as that takes. It fails with EBUSY while a process has the block device open.
func (k *KernelDisk) Settle() error {
	if err := k.unused(); err != nil {
		return err
	}
	f, err := os.Open(k.Node())
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (k *KernelDisk) unused() error {
	held, err := os.OpenFile(k.Node(), os.O_RDONLY|unix.O_EXCL, 0) // not while it is mounted, or part of another disk
	if err != nil {
		return err
	}
	if err := held.Close(); err != nil {
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
	if err != nil {
		return nil, fmt.Errorf("it is not loaded (modprobe nbd): %w", err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	request.AddData(&nl.Genlmsg{Command: command, Version: familyVersion})
	for _, a := range attributes {
		request.AddData(a)
	}
	return request.Execute(unix.NETLINK_GENERIC, 0)
}
