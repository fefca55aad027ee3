// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/conformance/protocol"
	"github.com/ibnbd/ibnbd/conformance/runner"
	"github.com/ibnbd/ibnbd/conformance/verdict/matrix"
	"github.com/ibnbd/ibnbd/conformance/verdict/report"
	"github.com/ibnbd/ibnbd/reference/version"
)

const mutantsHelp = `Prove that the suite catches broken implementations: try mutants, each of which breaks one clause on purpose, and print the
kill matrix. A mutant is dead when a spec that claims its clause has found it, and finds nothing of the kind in the
implementation unbroken.

Mutants are the implementations of this project with a rule turned off, servers that lie as a whole, and recorded exchanges
that were altered. They run in this process: neither guests nor root are needed. With --lab come mutants that live in guests:
pairs whose files, packets or arguments are altered on their way, and what mainline itself breaks. What still has no mutant
stands in the matrix, with why.

The page of a run shows the matrix, too: ibnbd-conformance report --matrix FILE.

Exit codes:
  0  every mutant is dead, and every MUST clause that is decided has one, or a reason why not
  1  a mutant lives or died of the wrong clause, or a clause has neither mutant nor reason
  2  wrong usage
  3  a mutant could not be tried, or the report cannot be written
  4  no mutant breaks the clauses that were asked for`

const mutantsExamples = `  ibnbd-conformance mutants
  ibnbd-conformance mutants --lab
  ibnbd-conformance mutants --protocol srp
  ibnbd-conformance mutants --clause IBTRS-CONN-021
  ibnbd-conformance mutants --area IBNBD-IO,IBTRS-IO --json | jq -r '.matrix.rows[] | select(.fate != "killed")'`

// mutantsFlags are the flags of the command, as the user wrote them.
type mutantsFlags struct {
	clauses, areas []string
	protocol       string
	report         string
	workers, labs  int
	lab, asJSON    bool
}

func newMutants(a *app) *cobra.Command {
	var flags mutantsFlags
	cmd := &cobra.Command{
		Use: "mutants", Short: "Prove that the suite catches broken implementations", Long: mutantsHelp, Example: mutantsExamples,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.mutants(cmd, flags) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&flags.clauses, "clause", nil, "only mutants that break these clauses")
	f.StringSliceVar(&flags.areas, "area", nil, "only mutants that break a clause of these areas")
	f.StringVar(&flags.protocol, "protocol", "", "only mutants of this protocol: "+strings.Join(protocolNames(), ", "))
	f.StringVar(&flags.report, "report", filepath.Join("build", "report", "mutants"), "directory for report.txt, report.json and report.html")
	f.IntVar(&flags.workers, "workers", 0, "mutants at a time; 0: chosen by the number of processors")
	f.BoolVar(&flags.lab, "lab", false, "also mutants that need guests; their rounds leave reports of their own below lab/ of the report")
	f.IntVar(&flags.labs, "labs", 6, "labs side by side, with --lab")
	f.BoolVar(&flags.asJSON, "json", false, "write one JSON object")
	for name, complete := range map[string]cobra.CompletionFunc{
		"clause": a.completeClauses, "area": cobra.FixedCompletions(a.catalogue.AreaNames(), cobra.ShellCompDirectiveNoFileComp),
	} {
		if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(fmt.Sprintf("completion of --%s: %v", name, err)) // only if the flag were not there
		}
	}
	return cmd
}

// mutants tries the mutants that were asked for, prints the matrix and leaves the reports.
func (a *app) mutants(cmd *cobra.Command, flags mutantsFlags) error {
	if err := within("workers", flags.workers, 0, 1024); err != nil {
		return err
	}
	if err := within("labs", flags.labs, 1, conformance.MostWorkers); err != nil {
		return err
	}
	set := conformance.Mutants()
	if err := flags.chooseAreas(); err != nil {
		return err
	}
	here, guests, err := a.chooseMutants(set, flags)
	if err != nil {
		return err
	}
	configure := flags.configure()
	if _, err := configure(mutant.PairNames{}); err != nil {
		return err
	}
	show := newCountdown(cmd.ErrOrStderr(), len(here))
	tried, err := mutant.Run(cmd.Context(), mutant.Options{Mutants: here, Workers: flags.workers, Progress: show.row})
	show.end()
	if err != nil {
		return environmentf("kill matrix: %w", err)
	}
	labErr := a.mutantsInLab(cmd, configure, guests, tried)
	var coverage *matrix.Coverage
	if len(flags.clauses)+len(flags.areas) == 0 && labErr == nil {
		c := set.Coverage(a.catalogue, slices.Concat(here, guests))
		coverage = &c
	}
	result := matrix.NewReport(tried, coverage)
	if err := report.WriteMatrix(flags.report, &result); err != nil {
		return environmentf("%w", err)
	}
	out := cmd.OutOrStdout()
	if flags.asJSON {
		err = result.WriteJSON(out)
	} else {
		err = report.MatrixText(out, &result, screen(out).Width)
	}
	if err != nil {
		return environmentf("write kill matrix: %w", err)
	}
	if labErr != nil {
		return environmentf("mutants in the lab: %w", labErr)
	}
	return exitWith(result.Exit.Code)
}

// chooseAreas takes all areas of a protocol that was named, unless clauses or areas were.
func (f *mutantsFlags) chooseAreas() error {
	if f.protocol == "" {
		return nil
	}
	p, known := protocol.Named(conformance.Protocols(), f.protocol)
	switch {
	case !known:
		return usagef("--protocol %q is not one of %s", f.protocol, strings.Join(protocolNames(), ", "))
	case len(f.clauses)+len(f.areas) > 0:
		return usagef("--protocol goes with neither --clause nor --area, which choose among all mutants")
	}
	f.areas = p.Clauses.Areas
	return nil
}

// configure gives the options of the lab's runs.
func (f mutantsFlags) configure() mutant.Configure {
	return func(p mutant.PairNames) (runner.Options, error) {
		options, err := conformance.LabRun{
			Workers: f.labs, Settings: conformance.Settings{
				ReportDir: filepath.Join(f.report, "lab"), Tool: version.String(),
				Command: os.Args, Rerun: "ibnbd-conformance mutants --lab # '%s'",
			},
		}.WithPair(p).Options()
		if err != nil {
			return options, usagef("--labs: %w", err)
		}
		return options, nil
	}
}

// mutantsInLab tries those that need guests, and adds their rows to the matrix.
func (a *app) mutantsInLab(cmd *cobra.Command, configure mutant.Configure, guests []mutant.Mutant, tried *matrix.Matrix) error {
	if len(guests) == 0 {
		return nil
	}
	rows, err := mutant.RunInLab(cmd.Context(), a.catalogue, guests, configure, cmd.ErrOrStderr())
	tried.Rows, tried.Duration = append(tried.Rows, rows...), time.Since(tried.Start)
	return err
}

// chooseMutants finds those that break the clauses and areas of the flags: of this process, and of the lab if that is wanted.
func (a *app) chooseMutants(set mutant.Set, flags mutantsFlags) (here, guests []mutant.Mutant, err error) {
	var ids []string
	if len(flags.clauses) > 0 {
		asked, err := a.clauses(flags.clauses)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range asked {
			ids = append(ids, c.ID)
		}
	}
	filter, err := (&selection{areas: flags.areas}).filter(a.catalogue)
	if err != nil {
		return nil, nil, err
	}
	if flags.lab {
		guests = mutant.Select(set.InLab, ids, filter.Areas)
	}
	return mutant.Select(set.InProcess, ids, filter.Areas), guests, nil
}
