// SPDX-License-Identifier: Apache-2.0

// Package protocol holds the one value by which a protocol hands itself to the engine. The engine (runs, the kit of specs, the
// passive judge, foreign runs, mutants) names no protocol: each part of it says what it has to know, and a [Protocol] collects
// these parts. Package conformance has the table of all protocols.
package protocol

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/conformance/mutant"
	"github.com/ibnbd/ibnbd/reference/layout"
)

// Protocol is a protocol with everything that it brings. A part that it does not have is nil.
type Protocol struct {
	Name            string                 // such as "ibnbd"
	Clauses         clauses.Part           // what it demands, and of which dialects
	Layouts         []layout.Protocol      // what its messages look like, for the annex of the standard and the dissector
	Implementations []implementation.Facts // that can be put under test in a lab; the first is the usual one
	Lab             *kit.Protocol          // how its specs are run; they are registered when its package is imported
	Foreign         *foreign.Protocol      // how its targets and initiators are judged when somebody else runs them
	Judge           *audit.Protocol        // what the passive judge has to know of it
	Mutants         func() mutant.Set      // its broken implementations
	Baseline        *Baseline              // expected failures that come with the program
}

// Baseline is a file of expected failures.
type Baseline struct {
	File string // its name in the source tree
	YAML string
}

// Judges are what the passive judge has to know of all protocols that it knows.
func Judges(all []Protocol) []*audit.Protocol {
	var judges []*audit.Protocol
	for _, p := range all {
		if p.Judge != nil {
			judges = append(judges, p.Judge)
		}
	}
	return judges
}

// Layouts are the messages of all protocols, as tables.
func Layouts(all []Protocol) []layout.Protocol {
	var tables []layout.Protocol
	for _, p := range all {
		tables = append(tables, p.Layouts...)
	}
	return tables
}

// Named finds a protocol.
func Named(all []Protocol, name string) (Protocol, bool) {
	i := slices.IndexFunc(all, func(p Protocol) bool { return p.Name == name })
	if i < 0 {
		return Protocol{}, false
	}
	return all[i], true
}

// Foreign finds how implementations of a dialect are judged when somebody else runs them; nil if no protocol says.
func Foreign(all []Protocol, dialect clauses.Dialect) *foreign.Protocol {
	for _, p := range all {
		if p.Foreign != nil && slices.Contains(p.Clauses.Dialects, dialect) {
			return p.Foreign
		}
	}
	return nil
}

// ForeignDialects are those that [Foreign] finds something for.
func ForeignDialects(all []Protocol) []clauses.Dialect {
	var dialects []clauses.Dialect
	for _, p := range all {
		if p.Foreign != nil {
			dialects = append(dialects, p.Clauses.Dialects...)
		}
	}
	return dialects
}
