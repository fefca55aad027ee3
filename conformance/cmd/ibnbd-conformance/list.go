// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance/clauses"
)

const listHelp = `List the clauses of the catalogue. Every flag narrows the list; a flag with several values, separated by commas, takes
any of them.`

const listExamples = `  ibnbd-conformance list --area IBTRS-HB,IBTRS-PATH
  ibnbd-conformance list --level MUST --role target --dialect rnbd
  ibnbd-conformance list --decided-by none
  ibnbd-conformance list --level MUST --decided-by active --uncovered
  ibnbd-conformance list --json | jq -r '.[].id'
  ibnbd-conformance list --implementations`

// selection holds the flags that select clauses, as the user wrote them.
type selection struct {
	areas, levels, dialects, roles, decidedBy, scopes []string
}

func newList(a *app) *cobra.Command {
	var chosen selection
	var asJSON, uncovered, names, everything bool
	list := &cobra.Command{
		Use: "list", Short: "List the clauses of the catalogue", Long: listHelp, Example: listExamples,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if names {
				return listImplementations(cmd)
			}
			filter, err := chosen.filter(a.catalogue)
			if err != nil {
				return err
			}
			selected, err := a.listed(filter, uncovered, everything)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), withMutants(selected))
			}
			if err := writeList(cmd.OutOrStdout(), selected); err != nil {
				return err
			}
			return tellOmitted(cmd.OutOrStdout(), len(a.catalogue.Select(filter))-len(selected), uncovered)
		},
	}
	chosen.addFlags(list, a.catalogue)
	list.Flags().BoolVar(&uncovered, "uncovered", false, "only those that could be decided, and that neither a spec nor the passive judge decides")
	list.Flags().BoolVar(&everything, "all", false, "also those by which nothing at hand can be judged: no spec and no rule decides them, or no implementation has what they speak of")
	list.Flags().BoolVar(&asJSON, "json", false, "write the records as JSON")
	list.Flags().BoolVar(&names, "implementations", false, "instead of clauses, the implementations that can be judged in the lab, a name in each line")
	return list
}

// listImplementations writes names for scripts. Nothing selects among them.
func listImplementations(cmd *cobra.Command) error {
	if cmd.Flags().NFlag() > 1 {
		return usagef("--implementations goes with no other flag: those select clauses")
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(implementations(), "\n")); err != nil {
		return environmentf("write list: %w", err)
	}
	return nil
}

// listed are the clauses of a filter. Those by which nothing at hand can be judged are left out, unless the filter asks for them.
func (a *app) listed(filter clauses.Filter, uncovered, everything bool) ([]clauses.Clause, error) {
	if uncovered {
		return a.uncovered(filter)
	}
	selected := a.catalogue.Select(filter)
	if everything || slices.Contains(filter.DecidedBy, clauses.Undecidable) {
		return selected, nil
	}
	deciders, err := a.deciders()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(selected, func(c clauses.Clause) bool { return !deciders.atHand(c) }), nil
}

// tellOmitted says how many clauses were left out that nobody asked to leave out.
func tellOmitted(out io.Writer, n int, asked bool) error {
	if n == 0 || asked {
		return nil
	}
	if _, err := fmt.Fprintf(out, "left out: %d by which nothing at hand can be judged; --all lists them, too\n", n); err != nil {
		return environmentf("write list: %w", err)
	}
	return nil
}

// uncovered lists the clauses of a filter that could be decided, and that nobody decides.
func (a *app) uncovered(filter clauses.Filter) ([]clauses.Clause, error) {
	deciders, err := a.deciders()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(a.catalogue.Select(filter), func(c clauses.Clause) bool {
		return len(c.Decided.By) == 0 || len(deciders.specs(c.ID)) > 0 || deciders.passive[c.ID]
	}), nil
}

// addFlags adds the flags that select clauses, with completion.
func (s *selection) addFlags(cmd *cobra.Command, catalogue *clauses.Catalogue) {
	for _, flag := range s.flags(catalogue) {
		usage := flag.usage
		if len(flag.allowed) < 8 {
			usage += ": " + strings.Join(flag.allowed, ", ")
		}
		cmd.Flags().StringSliceVar(flag.values, flag.name, nil, usage)
		completeWith(cmd, flag.name, flag.allowed)
	}
}

// completeWith has the shell complete the value of a flag to one of some words.
func completeWith(cmd *cobra.Command, flag string, words []string) {
	complete := cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(fmt.Sprintf("completion of --%s: %v", flag, err)) // only if the flag were not there
	}
}

// selectionFlag is one flag that selects clauses.
type selectionFlag struct {
	name, usage string
	values      *[]string
	allowed     []string
}

func (s *selection) flags(catalogue *clauses.Catalogue) []selectionFlag {
	var areas []string
	for _, area := range catalogue.Areas() {
		areas = append(areas, area.Name)
	}
	return []selectionFlag{
		{"area", "areas, e.g. IBTRS-CONN", &s.areas, areas},
		{"level", "levels", &s.levels, words(clauses.Must, clauses.Should, clauses.May)},
		{"dialect", "dialects that the clause holds for", &s.dialects, words(dialects()...)},
		{"role", "roles that the clause judges", &s.roles, words(clauses.Target, clauses.Initiator)},
		{"decided-by", "how it is decided", &s.decidedBy, words(clauses.Active, clauses.Audit, clauses.Undecidable)},
		{"scope", "whom it speaks of", &s.scopes, words(clauses.ProtocolScope, clauses.ProjectScope)},
	}
}

// filter turns the flags into a filter. A value that is not allowed is an error of usage.
func (s *selection) filter(catalogue *clauses.Catalogue) (clauses.Filter, error) {
	for _, flag := range s.flags(catalogue) {
		for i, value := range *flag.values {
			known := slices.IndexFunc(flag.allowed, func(allowed string) bool { return strings.EqualFold(allowed, value) })
			if known < 0 {
				return clauses.Filter{}, usagef("--%s %q is not one of %s", flag.name, value, strings.Join(flag.allowed, ", "))
			}
			(*flag.values)[i] = flag.allowed[known]
		}
	}
	return clauses.Filter{
		Areas: s.areas, Levels: typed[clauses.Level](s.levels), Dialects: typed[clauses.Dialect](s.dialects),
		Roles: typed[clauses.Role](s.roles), DecidedBy: typed[clauses.Method](s.decidedBy), Scopes: typed[clauses.Scope](s.scopes),
	}, nil
}

func words[T ~string](values ...T) []string {
	plain := make([]string, len(values))
	for i, value := range values {
		plain[i] = string(value)
	}
	return plain
}

func typed[T ~string](values []string) []T {
	var all []T
	for _, value := range values {
		all = append(all, T(value))
	}
	return all
}

func writeJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return environmentf("write JSON: %w", err)
	}
	return nil
}

func writeList(out io.Writer, selected []clauses.Clause) error {
	w := table.NewWriter()
	w.SetStyle(listStyle())
	w.SuppressTrailingSpaces()
	w.AppendHeader(table.Row{"Clause", "Level", "Judges", "Decided by", "Requirement"})
	for _, c := range selected {
		w.AppendRow(table.Row{c.ID, string(c.Level), string(c.Role), decidedBy(c), c.Text})
	}
	const others = 54 // columns before the requirement
	w.SetColumnConfigs([]table.ColumnConfig{{
		Number: 5, WidthMax: max(40, screen(out).Width-others), WidthMaxEnforcer: text.WrapSoft,
	}})
	if _, err := fmt.Fprintf(out, "%s\n\nclauses: %d\n", w.Render(), len(selected)); err != nil {
		return environmentf("write list: %w", err)
	}
	return nil
}

func listStyle() table.Style {
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Options.SeparateHeader = true
	style.Format.Header = text.FormatDefault
	return style
}

func decidedBy(c clauses.Clause) string {
	if len(c.Decided.By) == 0 {
		return "nobody"
	}
	return strings.Join(words(c.Decided.By...), ", ")
}
