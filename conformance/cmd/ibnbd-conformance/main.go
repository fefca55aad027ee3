// SPDX-License-Identifier: Apache-2.0

// Command ibnbd-conformance judges RDMA block storage by the clauses of the catalogue. Each command of it has a file:
// root.go puts them together, exit.go maps every error to a documented exit code.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(int(execute(untilSignal(), os.Args[1:], os.Stdout, os.Stderr)))
}

// untilSignal is a context that the first signal ends, so that a run comes to an orderly end. The second one ends the
// program: Reset takes away the handlers of Ginkgo too, which keeps one in each program that looks at its specs.
func untilSignal() context.Context {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, end := context.WithCancelCause(context.Background())
	go func() {
		received := <-signals
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		end(fmt.Errorf("signal %q received", received))
	}()
	return ctx
}
