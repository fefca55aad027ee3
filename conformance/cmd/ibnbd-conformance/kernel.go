// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/vm/image"
)

const kernelConfigHelp = `Print the fragment of a kernel's configuration with all that the lab's guests need. Add it to a configuration, and build:

  ibnbd-conformance kernel config > guest.config
  scripts/kconfig/merge_config.sh -m .config guest.config
  make olddefconfig && make -j$(nproc) bzImage modules
  ibnbd-conformance run --kernel ./`

func newKernel() *cobra.Command {
	cmd := &cobra.Command{
		Use: "kernel", Short: "What a kernel of your own needs, to be run in the lab",
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("no command given; the one that there is: config")
			}
			return usagef("unknown command %q; the one that there is: config", args[0])
		},
	}
	var debug bool
	config := &cobra.Command{
		Use: "config", Short: "Print what to switch on in its configuration", Long: kernelConfigHelp,
		Example: "  ibnbd-conformance kernel config --debug > debug.config",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := image.GuestConfig
			if debug {
				text += "\n" + image.DebugConfig
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), text); err != nil {
				return environmentf("write the fragment: %w", err)
			}
			return nil
		},
	}
	config.Flags().BoolVar(&debug, "debug", false, "also what the kernel \"debug\" has: sanitizers, lockdep, leaks, fault injection")
	cmd.AddCommand(config)
	return cmd
}
