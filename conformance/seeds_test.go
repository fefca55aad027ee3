// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"html"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
)

// seedDocuments are the seeds in the order in which docs/seeds.md has them.
var seedDocuments = []string{"../docs/seeds/000-srp-initiator.txt", "../docs/seeds/001-ibnbd.txt"}

// sentence is a row of docs/seeds.md.
type sentence struct {
	text string
	ids  []string
	none string // why no clause demands it
}

// TestSeedsAreWhole: the table has every word of both documents, in their order.
func TestSeedsAreWhole(t *testing.T) {
	var documents strings.Builder
	for _, name := range seedDocuments {
		documents.WriteString(read(t, name))
	}
	want, have := squeezed(documents.String()), squeezed(strings.Join(quotedSeeds(t), ""))
	for i := range min(len(want), len(have)) {
		if want[i] != have[i] {
			t.Fatalf("the documents have %q where the table has %q", around(want, i), around(have, i))
		}
	}
	if len(want) != len(have) {
		t.Fatalf("the documents have %d letters, the table %d", len(want), len(have))
	}
}

// TestSeedsHaveClauses: each sentence has clauses that exist, of which one names the seed as its source, or says why it has none.
func TestSeedsHaveClauses(t *testing.T) {
	catalogue := conformance.Catalogue()
	for _, s := range sentences(t) {
		if s.none != "" {
			continue
		}
		sourced := false
		for _, id := range s.ids {
			clause, known := catalogue.Get(id)
			if !known {
				t.Errorf("%q: clause %q is not in the catalogue", s.text, id)
			}
			sourced = sourced || slices.Contains(clause.Sources, clauses.Seed) || slices.Contains(clause.Sources, clauses.SeedTests)
		}
		if !sourced {
			t.Errorf("%q: none of %v has the seed as its source", s.text, s.ids)
		}
	}
}

// TestSeedClausesAreOfTheSeeds: a clause whose source is the seed is one of some sentence.
func TestSeedClausesAreOfTheSeeds(t *testing.T) {
	named := make(map[string]bool)
	for _, s := range sentences(t) {
		for _, id := range s.ids {
			named[id] = true
		}
	}
	for _, c := range conformance.Catalogue().All() {
		if slices.Contains(c.Sources, clauses.Seed) && !named[c.ID] {
			t.Errorf("%s has the seed as its source, and no sentence of docs/seeds.md names it", c.ID)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// quotedSeeds are the headings and the sentences of the table, in order.
func quotedSeeds(t *testing.T) []string {
	t.Helper()
	var quoted []string
	for line := range strings.Lines(read(t, "../docs/seeds.md")) {
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			quoted = append(quoted, html.UnescapeString(heading))
		}
		if s, ok := rowOf(line); ok {
			quoted = append(quoted, s.text)
		}
	}
	return quoted
}

func sentences(t *testing.T) []sentence {
	t.Helper()
	var all []sentence
	for line := range strings.Lines(read(t, "../docs/seeds.md")) {
		if s, ok := rowOf(line); ok {
			all = append(all, s)
		}
	}
	if len(all) < 100 {
		t.Fatalf("docs/seeds.md has %d sentences", len(all))
	}
	return all
}

var tableRow = regexp.MustCompile(`^\| (.+) \| (.+) \|\n$`)

func rowOf(line string) (sentence, bool) {
	cells := tableRow.FindStringSubmatch(line)
	if cells == nil || cells[1] == "sentence" {
		return sentence{}, false
	}
	s := sentence{text: html.UnescapeString(cells[1])}
	if why, ok := strings.CutPrefix(cells[2], "none: "); ok {
		s.none = why
		return s, true
	}
	s.ids = strings.Split(cells[2], ", ")
	return s, true
}

var (
	decoration = regexp.MustCompile(`(?m)^\s*[=*-]{4,}\s*$`) // lines under and over headings
	whitespace = regexp.MustCompile(`\s+`)
)

// squeezed is text without what only lays it out.
func squeezed(text string) string {
	return whitespace.ReplaceAllString(decoration.ReplaceAllString(text, ""), "")
}

func around(text string, i int) string { return text[max(0, i-20):min(len(text), i+20)] }
