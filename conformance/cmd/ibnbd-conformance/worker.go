// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/runner"
)

// newWorker is the command that run starts for each lab; nobody types it.
func newWorker() *cobra.Command {
	return &cobra.Command{
		Use: runner.WorkerArgument, Short: "Run a share of the specs for a supervisor", Hidden: true,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := conformance.Work(cmd.Context(), cmd.InOrStdin()); err != nil {
				return environmentf("%w", err)
			}
			return nil
		},
	}
}
