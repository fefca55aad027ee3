// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// portPatience is how long a port may take to appear. Its driver learns of it, and then of its name, from QEMU.
const portPatience = 30 * time.Second

// openPort opens the virtio-serial port of a name, as soon as there is one.
func openPort(name string) (*os.File, error) {
	events, err := subscribe()
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel's events: %w", err)
	}
	defer unix.Close(events)
	for {
		device, err := findPort(name)
		if err != nil {
			return nil, err
		}
		if device != "" {
			return os.OpenFile(device, os.O_RDWR, 0)
		}
		if err := awaitEvent(events); err != nil {
			return nil, fmt.Errorf("no virtio-serial port is named %s: %w", name, err)
		}
	}
}

// findPort returns the device of the port with that name, or "" if there is none yet.
func findPort(name string) (string, error) {
	files, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(string(data)) == name {
			return filepath.Join("/dev", filepath.Base(filepath.Dir(file))), nil
		}
	}
	return "", nil
}

// kernelGroup is the multicast group of the kernel's own events about devices.
const kernelGroup = 1

// subscribe returns a socket that tells of every device that comes, changes or goes.
func subscribe() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return -1, err
	}
	timeout := unix.NsecToTimeval(portPatience.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}))
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// awaitEvent waits for something to happen; what it was does not matter. EAGAIN says that nothing did for too long.
func awaitEvent(fd int) error {
	for {
		_, _, err := unix.Recvfrom(fd, make([]byte, 4096), 0)
		switch {
		case err == nil, errors.Is(err, unix.ENOBUFS): // some were lost: something happened
			return nil
		case !errors.Is(err, unix.EINTR):
			return err
		}
	}
}
