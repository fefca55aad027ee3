// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/agent/guest"
)

// serve is the agent: it loads what the image wants loaded and serves the hosts that connect to its port, one after
// another.
func serve() error {
	ctx := context.Background()
	if err := guest.LoadBootModules(ctx); err != nil {
		return fmt.Errorf("load the modules of the image: %w", err)
	}
	if err := mount(configfs, "configfs", ""); err != nil {
		return err
	}
	if err := guest.RaiseLoopback(); err != nil {
		return err
	}
	port, err := openPort(agent.PortName)
	if err != nil {
		return err
	}
	for {
		if err := guest.Serve(ctx, port); err != nil {
			return err
		}
		if err := awaitHost(port); err != nil {
			return err
		}
	}
}

// awaitHost returns when a host is connected to the port. Reading a port without a host gives its end at once, but
// writing waits for one; a zero byte is nothing between frames.
func awaitHost(port *os.File) error {
	_, err := port.Write([]byte{0})
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}
