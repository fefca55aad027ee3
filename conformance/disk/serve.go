// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"github.com/ibnbd/ibnbd/reference/nbd"
)

// maxSocketPath is the longest path of a Unix socket in bytes, without the NUL that ends it.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// Serve offers a disk on a Unix socket that it makes, to one machine after the other, until stop is called.
func Serve(d nbd.Disk, socket string) (stop func() error, err error) {
	if len(socket) > maxSocketPath {
		return nil, fmt.Errorf("disk: the socket path %q has %d bytes, at most %d can be used: choose a shorter TMPDIR", socket, len(socket), maxSocketPath)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	server := &nbd.Server{}
	server.Add("", d)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}
