// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// An Error is an error on its way from guest to host. What a system call said survives: the host gets an *fs.PathError
// with the syscall.Errno in it.
type Error struct {
	Op    string `json:"op,omitempty"`
	Path  string `json:"path,omitempty"`
	Errno int    `json:"errno,omitempty"`
	Text  string `json:"text,omitempty"` // if there is no errno
}

// PackError takes an error apart for its way.
func PackError(err error) Error {
	var packed Error
	var path *fs.PathError
	var link *os.LinkError
	var errno syscall.Errno
	switch {
	case errors.As(err, &path):
		packed.Op, packed.Path, err = path.Op, path.Path, path.Err
	case errors.As(err, &link):
		packed.Op, packed.Path, err = link.Op, link.New, link.Err
	}
	if errors.As(err, &errno) {
		packed.Errno = int(errno)
	} else {
		packed.Text = err.Error()
	}
	return packed
}

// Unpack puts the error together again.
func (e Error) Unpack() error {
	var err error = syscall.Errno(e.Errno)
	if e.Errno == 0 {
		err = errors.New(e.Text)
	}
	if e.Op == "" {
		return err
	}
	return &fs.PathError{Op: e.Op, Path: e.Path, Err: err}
}
