// SPDX-License-Identifier: Apache-2.0

package standard

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/verdict"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// Document is what the standard is rendered from.
type Document struct {
	Head, Reading string // what stands before the terms, and behind them
	Terms         []Term
	Catalogue     *clauses.Catalogue
	Editions      []Edition                 // the last first
	Layouts       []layout.Protocol         // of the annex, in its order
	Mutants       map[string][]string       // names of broken implementations by the clause that they break
	Breakers      []verdict.ExpectedFailure // who is known to break what
}

// Edition is an edition of the document.
type Edition struct {
	Number string
	What   string // is other than in the one before, in a sentence or two
}

// Term is a word that clauses use.
type Term struct{ Word, Meaning string }

// Markdown writes the document.
func (d Document) Markdown(w io.Writer) error {
	p := &page{}
	p.print(d.Head)
	p.terms(d.Terms)
	p.print(d.Reading)
	for i, area := range d.Catalogue.Areas() {
		d.area(p, i+1, area)
	}
	p.annex(d.Layouts)
	p.withdrawn(d.Catalogue.Withdrawn())
	p.editions(d.Editions)
	_, err := io.WriteString(w, p.text.String())
	return err
}

// page is the text so far.
type page struct{ text strings.Builder }

func (p *page) print(s string)                      { p.text.WriteString(s) }
func (p *page) format(format string, values ...any) { fmt.Fprintf(&p.text, format, values...) }

// row writes a line of a table.
func (p *page) row(cells ...string) { p.print("| " + strings.Join(cells, " | ") + " |\n") }

// table begins a table.
func (p *page) table(columns ...string) {
	p.row(columns...)
	p.print(strings.Repeat("|---", len(columns)) + "|\n")
}

func (p *page) terms(terms []Term) {
	p.print("\n## Terms\n\n")
	p.table("term", "meaning")
	for _, t := range terms {
		p.row(t.Word, plain(t.Meaning))
	}
}

func (d Document) area(p *page, number int, area clauses.Area) {
	p.format("\n## %d. %s: %s\n", number, area.Name, plain(area.Title))
	for _, c := range d.Catalogue.Select(clauses.Filter{Areas: []string{area.Name}}) {
		d.clause(p, c)
	}
}

func (d Document) clause(p *page, c clauses.Clause) {
	p.format("\n### %s\n\n**%s** %s\n\n", c.ID, c.Level, plain(c.Text))
	for _, fact := range facts(c) {
		p.format("- %s: %s\n", fact[0], plain(fact[1]))
	}
	for _, entry := range d.Breakers {
		if entry.Clause == c.ID {
			p.format("- known to break it: %s, as %s%s\n", strings.TrimSuffix(entry.Subject, "-*"), entry.Role, onlyIn(entry))
		}
	}
	if names := d.Mutants[c.ID]; len(names) > 0 {
		p.format("- broken on purpose by: %s\n", plain(strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), "; ")))
	}
}

// onlyIn is the spec to which a known failure is confined.
func onlyIn(entry verdict.ExpectedFailure) string {
	if entry.Spec == "" {
		return ""
	}
	return fmt.Sprintf(", in the spec \"%s\"", plain(entry.Spec))
}

// facts are what there is to say of a clause, each with its label.
func facts(c clauses.Clause) [][2]string {
	all := [][2]string{
		{"judges", RoleWords[c.Role]},
		{"scope", ScopeWords[c.Scope]},
		{"source", join(c.Sources)},
		{"dialects", join(c.Dialects)},
		{"requires", join(c.Requires)},
		{"decided", Decision(c.Decided)},
		{"how", c.Decided.How},
	}
	if c.Ambiguity != nil {
		all = append(all, [2]string{"unclear", c.Ambiguity.Question})
		for _, answer := range c.Ambiguity.Accepted {
			all = append(all, [2]string{"accepted", answer})
		}
	}
	for _, fact := range c.Measured {
		all = append(all, [2]string{"measured, " + fact.Subject, fact.Saw})
	}
	all = append(all, [2]string{"note", c.Notes})
	return slices.DeleteFunc(all, func(fact [2]string) bool { return fact[1] == "" })
}

func join[T ~string](values []T) string {
	var words []string
	for _, v := range values {
		words = append(words, string(v))
	}
	return strings.Join(words, ", ")
}

// markup is what Markdown would take for its own in running text.
var markup = strings.NewReplacer("\\", "\\\\", "*", "\\*", "<", "&lt;", "|", "\\|", "`", "\\`", "\n", " ")

// plain is text as Markdown shows it unchanged.
func plain(s string) string { return markup.Replace(strings.TrimSpace(s)) }

func (p *page) withdrawn(all []clauses.Withdrawal) {
	p.print("\n## Annex B: withdrawn clauses\n\nTheir ids are never given out again. What was reported under them is read under those they went to.\n\n")
	p.table("clause", "went to", "why")
	for _, w := range all {
		into := strings.Join(w.Into, ", ")
		if into == "" {
			into = "nowhere"
		}
		p.row(w.ID, into, plain(w.Because))
	}
}

func (p *page) editions(all []Edition) {
	p.print("\n## Annex C: editions\n\nClauses that are named are those of this edition.\n\n")
	p.table("edition", "what is other than in the one before")
	for _, e := range all {
		p.row(e.Number, plain(strings.Join(strings.Fields(e.What), " ")))
	}
}
