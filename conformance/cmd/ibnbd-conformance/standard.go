// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
)

const standardHelp = `Print the whole catalogue as a document: terms, every clause with its source, how it is decided and who is known to break
it, the layouts of all messages, and the clauses that were withdrawn. It is docs/standard.md of the source tree.`

func newStandard() *cobra.Command {
	return &cobra.Command{
		Use: "standard", Short: "Print the catalogue as a document", Long: standardHelp,
		Example: "  ibnbd-conformance standard > standard.md",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, err := conformance.Standard()
			if err != nil {
				return usagef("%w", err)
			}
			if err := document.Markdown(cmd.OutOrStdout()); err != nil {
				return environmentf("write standard: %w", err)
			}
			return nil
		},
	}
}
