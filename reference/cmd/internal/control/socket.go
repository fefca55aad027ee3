// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"strings"
	"syscall"
)

// maxSocketPath is the longest path of a Unix socket in bytes: the kernel's sockaddr_un has 108, the last of them NUL.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// SocketPathError is a path that no Unix socket can have.
type SocketPathError struct{ Path string }

// Error says how long the path is and may be.
func (e *SocketPathError) Error() string {
	return fmt.Sprintf("path of Unix socket %s has %d bytes, at most %d are possible", e.Path, len(e.Path), maxSocketPath)
}

// CheckSocketPath refuses a path that is too long for a Unix socket. The error is a *SocketPathError.
func CheckSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return &SocketPathError{path}
	}
	return nil
}

// filePath keeps a socket whose name begins with @ in the file system.
func filePath(path string) string {
	if strings.HasPrefix(path, "@") {
		return "./" + path
	}
	return path
}
