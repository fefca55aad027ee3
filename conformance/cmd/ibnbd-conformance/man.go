// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"

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
			keepTables(root)
			root.DisableAutoGenTag = true // pages that are made again are the same
			header := &doc.GenManHeader{Title: "IBNBD-CONFORMANCE", Section: "1", Source: "IBNBD"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return environmentf("write manual pages: %w", err)
			}
			return nil
		},
	}
}

// keepTables makes the indented lines of the long help code, as Markdown has it: what is aligned in a terminal is a table, which must not
// be filled like a paragraph.
func keepTables(cmd *cobra.Command) {
	var text strings.Builder
	inside := false
	for line := range strings.Lines(cmd.Long) {
		indented := strings.HasPrefix(line, "  ")
		if indented != inside && strings.TrimSpace(line) != "" {
			text.WriteString("\n")
			inside = indented
		}
		if indented {
			text.WriteString("    ")
		}
		text.WriteString(line)
	}
	cmd.Long = text.String()
	for _, sub := range cmd.Commands() {
		keepTables(sub)
	}
}
