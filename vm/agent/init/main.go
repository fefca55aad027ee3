// SPDX-License-Identifier: Apache-2.0

// The program init is all of a guest that is not Debian's: process 1, which mounts and reaps; the agent, its child, which
// serves the host; the I/O prober, which hosts start where they want to know how long I/O stalls; and a program that waits for
// files of the kernel to change.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ibnbd/ibnbd/vm/agent/ioprobe"
)

func main() {
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	var err error
	switch {
	case command == agentCommand:
		err = serve()
	case command == "ioprobe":
		err = probe(os.Args[2:])
	case command == "pollfiles":
		err = pollFiles(os.Args[2:], os.Stdout)
	case os.Getpid() == 1:
		err = boot()
	default:
		err = fmt.Errorf("usage: %s ioprobe [flags] DEVICE, or pollfiles FILE...; or as process 1", os.Args[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		os.Exit(1)
	}
}

func probe(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return ioprobe.Main(ctx, args, os.Stdout)
}
