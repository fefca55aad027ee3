// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/docs"
)

// sourceWords say where the sources of a clause can be looked up; %s is its id.
var sourceWords = map[clauses.Source]string{
	clauses.Seed:          "seed: the document that this project began from, docs/seeds",
	clauses.SeedTests:     "seed-tests: the descriptions of tests that docs/seeds/000-srp-initiator.txt points to",
	clauses.Original:      "original: the first implementations, IBTRS 2.0 and IBNBD 1.0; none is at hand",
	clauses.Mainline:      "mainline: Linux, as 'ibnbd-conformance run --clause %s' measures it",
	clauses.MainlineLater: "mainline-later: what was published for Linux after 6.12",
	clauses.Standard:      "standard: T10 SRP (SCSI RDMA Protocol), or the InfiniBand Architecture Specification, volume 1",
	clauses.Project:       "project: a rule of this project alone",
}

// sourcesOf are the sources of a clause, each with the place where it can be looked up.
func sourcesOf(c clauses.Clause) []string {
	var all []string
	for _, source := range c.Sources {
		words := sourceWords[source]
		if source == clauses.Mainline && !runsInLab(c) {
			words = "mainline: Linux, as 'ibnbd-conformance audit CAPTURE' reads it"
		}
		all = append(all, strings.Replace(words, "%s", c.ID, 1))
		if source == clauses.Seed || source == clauses.SeedTests {
			all = append(all, quotations(c.ID)...)
		}
	}
	return all
}

// runsInLab says whether specs run on implementations of one of the dialects of a clause.
func runsInLab(c clauses.Clause) bool {
	return slices.ContainsFunc(everyImplementation(), func(f implementation.Facts) bool { return c.HoldsFor(f.Dialect) })
}

var seedRow = regexp.MustCompile(`^\| (.+) \| (.+) \|$`)

// quotations are the sentences of the seeds that a clause was made of, each once, with their headings.
func quotations(id string) []string {
	var all []string
	document, section := "", ""
	for line := range strings.Lines(docs.Seeds) {
		line = strings.TrimSpace(line)
		if name, is := strings.CutPrefix(line, "## "); is {
			document, section = name, ""
		}
		if name, is := strings.CutPrefix(line, "### "); is {
			section = html.UnescapeString(name)
		}
		cells := seedRow.FindStringSubmatch(line)
		if cells == nil || !slices.Contains(strings.Split(cells[2], ", "), id) {
			continue
		}
		quotation := fmt.Sprintf("%s, %q: %q", document, section, html.UnescapeString(cells[1]))
		if !slices.Contains(all, quotation) {
			all = append(all, quotation)
		}
	}
	return all
}
