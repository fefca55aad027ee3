// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/clauses/claim"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/version"
)

// app is what the commands share.
type app struct {
	catalogue *clauses.Catalogue
	// claims says which specs decide which clauses. It is read when it is asked for: it takes the whole tree of specs.
	claims func() (*claim.Claims, error)
}

const rootHelp = `ibnbd-conformance points at a block target or initiator that speaks IBNBD over IBTRS, or RNBD over RTRS, and tells
which clauses of the protocol it keeps, which it breaks, and on which packet.

Begin with "list" for the clauses and "explain CLAUSE" for one of them. A run leaves a journal and reports; "report"
renders them again, also after an interruption.`

// execute runs the command line and returns the exit code. Errors go to stderr as one line.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) verdict.ExitCode {
	root := newRoot(newApp(conformance.Catalogue()))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	code, line := exitCode(root.ExecuteContext(ctx))
	if line != "" {
		fmt.Fprintf(stderr, "ibnbd-conformance: %s\n", line)
	}
	return code
}

func newApp(catalogue *clauses.Catalogue) *app {
	return &app{catalogue: catalogue, claims: sync.OnceValues(func() (*claim.Claims, error) { return runner.Claims(catalogue) })}
}

// newRoot puts the commands together.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "ibnbd-conformance",
		Short:         "Judge RDMA block storage by the clauses of its protocol",
		Long:          rootHelp + "\n\n" + exitCodeHelp(),
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          refuseRoot,
		Args:          cobra.ArbitraryArgs,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w, see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(newRun(a), newList(a), newExplain(a), newStandard(), newReport(a), newBadge(a), newCompare(a), newAudit(a), newMutants(a), newLab(), newKernel(), newWorker(), newMan())
	return root
}

// refuseRoot is what happens without a command, or with one that does not exist.
func refuseRoot(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	commands := strings.Join(names, ", ")
	if len(args) == 0 {
		return usagef("no command given; commands are %s; see 'ibnbd-conformance --help'", commands)
	}
	return usagef("unknown command %q; commands are %s", args[0], commands)
}

// exactly is a check of the number of arguments whose error is one of usage. what names them.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("'%s' takes %s, got %d arguments; see '%s --help'", cmd.CommandPath(), what, len(args), cmd.CommandPath())
		}
		return nil
	}
}
