// SPDX-License-Identifier: Apache-2.0

// Command ibnbd-conformance judges RDMA block storage by the clauses of the catalogue. Each command of it has a file:
// root.go puts them together, exit.go maps every error to a documented exit code.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal asks for an orderly end, the second one ends the program
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(int(code))
}
