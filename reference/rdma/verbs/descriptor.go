// SPDX-License-Identifier: Apache-2.0

//go:build verbs && cgo && linux

package verbs

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor is a non-blocking file descriptor of the library on Go's poller. It is a duplicate: the library keeps and
// closes its own.
type descriptor struct {
	file *os.File
	raw  syscall.RawConn
}

// past is a deadline that ends a wait at once.
var past = time.Unix(1, 0)

func watch(fd int, name string) (*descriptor, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate the descriptor of the %s: %w", name, err)
	}
	d := &descriptor{file: os.NewFile(uintptr(dup), name)}
	// Without the poller there are no deadlines, and a wait would hold a thread.
	err = d.file.SetReadDeadline(time.Time{})
	if err == nil {
		d.raw, err = d.file.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the %s: %w", name, err), d.file.Close())
	}
	return d, nil
}

// wait calls try until it returns true, each time when the descriptor has become readable. It ends early, without an
// error, when interrupt is called.
func (d *descriptor) wait(try func(fd uintptr) bool) error {
	err := d.raw.Read(try)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return d.file.SetReadDeadline(time.Time{})
	}
	return err
}

// interrupt ends the present wait, or the next one.
func (d *descriptor) interrupt() {
	_ = d.file.SetReadDeadline(past) // it fails when closed, and then nobody waits
}

func (d *descriptor) close() error { return d.file.Close() }
