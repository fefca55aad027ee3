// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/standard"
)

const explainHelp = `Explain one or more clauses: what is required and of whom, where the requirement comes from, what is accepted where
the source is unclear, what known implementations do, and how the clause is decided.`

const explainExamples = `  ibnbd-conformance explain IBTRS-CONN-021
  ibnbd-conformance explain IBNBD-SYSFS-018 IBNBD-SYSFS-020`

func newExplain(a *app) *cobra.Command {
	var asJSON bool
	explain := &cobra.Command{
		Use: "explain CLAUSE...", Short: "Explain a clause", Long: explainHelp, Example: explainExamples,
		ValidArgsFunction: a.completeClauses,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := a.clauses(args)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), withMutants(asked))
			}
			return a.explain(cmd.OutOrStdout(), asked)
		},
	}
	explain.Flags().BoolVar(&asJSON, "json", false, "write the records as JSON")
	return explain
}

// clauses looks the ids up. Case does not matter.
func (a *app) clauses(ids []string) ([]clauses.Clause, error) {
	if len(ids) == 0 {
		return nil, usagef("no clause given, e.g. 'ibnbd-conformance explain IBTRS-CONN-021'")
	}
	var found []clauses.Clause
	for _, id := range ids {
		if w, gone := a.catalogue.Withdrawal(strings.ToUpper(id)); gone {
			return nil, usagef("%s", w)
		}
		clause, ok := a.catalogue.Get(strings.ToUpper(id))
		if !ok {
			return nil, usagef("clause %q is not in the catalogue; %s", id, a.hint(strings.ToUpper(id)))
		}
		found = append(found, clause)
	}
	return found, nil
}

// hint helps with an id that does not exist.
func (a *app) hint(id string) string {
	for _, area := range a.catalogue.Areas() {
		if strings.HasPrefix(id, area.Name+"-") || id == area.Name {
			all := a.catalogue.Select(clauses.Filter{Areas: []string{area.Name}})
			return fmt.Sprintf("area %s has %s to %s", area.Name, all[0].ID, all[len(all)-1].ID)
		}
	}
	if closest := clauses.Closest(id, a.catalogue.IDs()); closest != "" {
		return "did you mean " + closest + "?"
	}
	return "'ibnbd-conformance list' shows all"
}

func (a *app) completeClauses(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	for _, c := range a.catalogue.All() {
		if strings.HasPrefix(c.ID, strings.ToUpper(begun)) {
			ids = append(ids, c.ID+"\t"+c.Text)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) explain(out io.Writer, asked []clauses.Clause) error {
	deciders, err := a.deciders()
	if err != nil {
		return err
	}
	p := &explanation{width: screen(out).Width}
	for i, clause := range asked {
		if i > 0 {
			p.line("")
		}
		p.clause(clause)
		p.list("specs", deciders.specs(clause.ID), "none")
		if deciders.passive[clause.ID] {
			p.say("packets", "the passive judge has a rule for it: 'ibnbd-conformance audit CAPTURE', and every run")
		}
	}
	if _, err := io.WriteString(out, p.text.String()); err != nil {
		return environmentf("write explanation: %w", err)
	}
	return nil
}

// explanation is text in two columns: what it is about, and what there is to say.
type explanation struct {
	text  strings.Builder
	width int
}

const labelWidth = 11

func (p *explanation) line(s string) { p.text.WriteString(strings.TrimRight(s, " ") + "\n") }

// say writes a label and text that is wrapped beside it.
func (p *explanation) say(label, content string) {
	for i, line := range strings.Split(text.WrapSoft(content, max(40, p.width-labelWidth)), "\n") {
		if i > 0 {
			label = ""
		}
		p.line(fmt.Sprintf("%-*s%s", labelWidth, label, strings.TrimRight(line, " ")))
	}
}

// list writes items under one label, or otherwise if there are none.
func (p *explanation) list(label string, items []string, otherwise string) {
	if len(items) == 0 && otherwise != "" {
		p.say(label, otherwise)
	}
	for i, item := range items {
		if i > 0 {
			label = ""
		}
		p.say(label, item)
	}
}

func (p *explanation) clause(c clauses.Clause) {
	p.line(fmt.Sprintf("%s (%s)", c.ID, c.AreaTitle))
	p.say("", "")
	p.say(string(c.Level), c.Text)
	p.say("", "")
	p.say("judges", standard.RoleWords[c.Role])
	p.say("scope", standard.ScopeWords[c.Scope])
	p.list("source", sourcesOf(c), "")
	p.say("dialects", strings.Join(words(c.Dialects...), ", "))
	p.list("requires", words(c.Requires...), "")
	p.say("decided", decision(c))
	if c.Decided.How != "" {
		p.say("", c.Decided.How)
	}
	if c.Ambiguity != nil {
		p.say("unclear", c.Ambiguity.Question)
		for _, answer := range c.Ambiguity.Accepted {
			p.say("", "accepted: "+answer)
		}
	}
	for _, fact := range c.Measured {
		p.say("measured", fact.Subject+": "+fact.Saw)
	}
	if c.Notes != "" {
		p.say("note", c.Notes)
	}
	p.list("mutants", conformance.Mutants().ByClause()[c.ID], noMutant(c))
}

// decision says how a clause is decided, in the words of the list and in others.
func decision(c clauses.Clause) string {
	if len(c.Decided.By) == 0 {
		return standard.Decision(c.Decided)
	}
	return decidedBy(c) + ": " + standard.Decision(c.Decided)
}

// withMutants adds the names of mutants to records of clauses.
func withMutants(records []clauses.Clause) []clauses.Clause {
	names := conformance.Mutants().ByClause()
	for i := range records {
		records[i].Mutants = names[records[i].ID]
	}
	return records
}

// noMutant is why a clause has no mutant.
func noMutant(c clauses.Clause) string {
	if reason := conformance.Mutants().ExcuseFor(c.ID); reason != "" {
		return "none: " + reason
	}
	return "none"
}
