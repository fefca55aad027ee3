// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mounts are the file systems of a guest, in order. Those that a kernel may lack are optional.
var mounts = []struct {
	target, kind, options string
	optional              bool
}{
	{target: "/proc", kind: "proc"},
	{target: "/sys", kind: "sysfs"},
	{target: "/dev", kind: "devtmpfs", options: "mode=0755"},
	{target: "/dev/pts", kind: "devpts", options: "mode=0620,ptmxmode=0666"},
	{target: "/dev/shm", kind: "tmpfs"},
	{target: "/run", kind: "tmpfs", options: "mode=0755"},
	{target: "/tmp", kind: "tmpfs"},
	{target: "/sys/kernel/debug", kind: "debugfs", optional: true},
	{target: "/sys/kernel/tracing", kind: "tracefs", optional: true},
}

// configfs comes with a module where the kernel has not got it built in.
const configfs = "/sys/kernel/config"

func mountAll() error {
	for _, m := range mounts {
		if err := mount(m.target, m.kind, m.options); err != nil && !m.optional {
			return err
		}
	}
	return nil
}

func mount(target, kind, options string) error {
	if err := os.MkdirAll(target, 0o755); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	if err := unix.Mount(kind, target, kind, 0, options); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}
