// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance/verdict/report"
)

const badgeHelp = `Write an SVG image which says that a run has kept its profile: how many clauses hold, how many of those that apply were judged, on
which day, and by which version of this program.

There is none for a run that has no profile, that skipped a clause of it, that does not hold, or that was interrupted; then the exit
code is 1, and the reason is on standard error. A profile is a file of run --profile.`

const badgeExamples = `  ibnbd-conformance badge build/report > conformance.svg
  ibnbd-conformance badge build/report --profile release.yaml > conformance.svg`

func newBadge(a *app) *cobra.Command {
	var profile string
	cmd := &cobra.Command{
		Use: "badge REPORT", Short: "Write an image that says that a run has kept its profile", Long: badgeHelp, Example: badgeExamples,
		Args: exactly(1, "the directory of a report, or its journal"),
		RunE: func(cmd *cobra.Command, args []string) error {
			outcome, err := a.judge(reportFlags{from: args[0], profile: profile})
			if err != nil {
				return err
			}
			err = report.Badge(cmd.OutOrStdout(), outcome)
			var none *report.NoBadgeError
			switch {
			case errors.As(err, &none):
				return failsf("%w", err)
			case err != nil:
				return environmentf("%w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&profile, "profile", "", "judge by this profile instead of that of the run")
	return cmd
}
