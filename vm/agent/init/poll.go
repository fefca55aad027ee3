// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pollFiles waits for files of the kernel to change, as a program does that polls them, and says the name of each that has.
func pollFiles(names []string, out io.Writer) error {
	if len(names) == 0 {
		return errors.New("pollfiles: no file is given")
	}
	fds := make([]unix.PollFd, len(names))
	for i, name := range names {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("pollfiles: open %s: %w", name, err)
		}
		fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLPRI | unix.POLLERR}
		if err := reread(fd); err != nil {
			return fmt.Errorf("pollfiles: read %s: %w", name, err)
		}
	}
	fmt.Fprintln(out, "polling")
	for {
		if _, err := unix.Poll(fds, -1); err != nil {
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			return fmt.Errorf("pollfiles: poll: %w", err)
		}
		for i, fd := range fds {
			if fd.Revents == 0 {
				continue
			}
			fmt.Fprintln(out, names[i])
			if err := reread(int(fd.Fd)); err != nil {
				return fmt.Errorf("pollfiles: read %s: %w", names[i], err)
			}
		}
	}
}

// reread reads a file from its beginning, which has the kernel take what has changed until then for seen.
func reread(fd int) error {
	buf := make([]byte, os.Getpagesize())
	_, err := unix.Pread(fd, buf, 0)
	return err
}
