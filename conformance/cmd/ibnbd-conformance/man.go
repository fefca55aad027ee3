// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan writes the manual pages that a package of this program would have.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use: "man DIRECTORY", Short: "Write manual pages into a directory", Hidden: true,
		Args: exactly(1, "a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return environmentf("write manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true // pages that are made again are the same
			header := &doc.GenManHeader{Title: "IBNBD-CONFORMANCE", Section: "1", Source: "IBNBD"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return environmentf("write manual pages: %w", err)
			}
			return nil
		},
	}
}
