// SPDX-License-Identifier: Apache-2.0

// Package findings renders the expected failures of a baseline as a document for people: what known implementations break, why,
// and the command that shows it.
package findings

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
)

// Part are the expected failures of a protocol.
type Part struct {
	Protocol string // its name
	Title    string // how people write it
	Baseline *verdict.Baseline
	Usual    string // the implementation that a run judges unless it is told otherwise
}

// Markdown writes the entries of baselines, those of one subject and role together, in the order of the catalogue. The first protocol is
// the one that a run judges unless it is told otherwise.
func Markdown(w io.Writer, catalogue *clauses.Catalogue, parts ...Part) error {
	var page strings.Builder
	page.WriteString(head)
	for i, part := range parts {
		run := "ibnbd-conformance run"
		if i > 0 {
			run += " --protocol " + part.Protocol
		}
		for _, group := range bySubject(part.Baseline.Expected) {
			fmt.Fprintf(&page, "\n## %s: %s, %s\n", part.Title, strings.TrimSuffix(group.subject, "-*"), group.role)
			for _, entry := range sorted(catalogue, group.entries) {
				clause, known := catalogue.Get(entry.Clause)
				if !known {
					return fmt.Errorf("findings: clause %q is not in the catalogue", entry.Clause)
				}
				write(&page, clause, entry, command(run, entry, part.Usual))
			}
		}
	}
	_, err := io.WriteString(w, page.String())
	return err
}

const head = `# Findings

What implementations break, as this suite has measured it. The page is rendered from the baselines that come with the program
and checked to be current; a run fails when an entry does not hold any more. What is shown of the wire are lines of the timeline that
a run leaves as evidence; the frames that a line stands for are in the recordings beside it.
`

// group is what one implementation breaks in one role.
type group struct {
	subject string
	role    clauses.Role
	entries []verdict.ExpectedFailure
}

// bySubject divides entries, those of the subject that is named first coming first.
func bySubject(entries []verdict.ExpectedFailure) []group {
	var groups []group
	for _, entry := range entries {
		i := slices.IndexFunc(groups, func(g group) bool { return g.subject == entry.Subject && g.role == entry.Role })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{subject: entry.Subject, role: entry.Role})
		}
		groups[i].entries = append(groups[i].entries, entry)
	}
	return groups
}

// sorted gives entries in the order of the catalogue.
func sorted(catalogue *clauses.Catalogue, entries []verdict.ExpectedFailure) []verdict.ExpectedFailure {
	order := make(map[string]int)
	for i, clause := range catalogue.All() {
		order[clause.ID] = i
	}
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b verdict.ExpectedFailure) int { return cmp.Compare(order[a.Clause], order[b.Clause]) })
	return entries
}

// write writes one entry, and the command that shows it again.
func write(page *strings.Builder, clause clauses.Clause, entry verdict.ExpectedFailure, again string) {
	fmt.Fprintf(page, "\n### %s\n\n", clause.ID)
	fmt.Fprintf(page, "> %s: %s\n\n", clause.Level, clause.Text)
	page.WriteString(strings.TrimSpace(entry.Reason) + "\n")
	if entry.Race {
		page.WriteString("\nA race inside the implementation decides whether it happens.\n")
	}
	fmt.Fprintf(page, "\n```\n%s\n```\n", again)
	if entry.Packets != "" {
		fmt.Fprintf(page, "\nOn the wire:\n\n```\n%s\n```\n", strings.TrimRight(entry.Packets, "\n"))
	}
}

// command shows an entry again; it begins with run.
func command(run string, entry verdict.ExpectedFailure, usual string) string {
	words := run
	if name := strings.TrimSuffix(entry.Subject, "-*"); name != usual {
		words += fmt.Sprintf(" --%s %s", entry.Role, name)
	}
	if entry.Spec != "" {
		return words + fmt.Sprintf(" --spec '%s'", entry.Spec)
	}
	return words + " --clause " + entry.Clause
}
