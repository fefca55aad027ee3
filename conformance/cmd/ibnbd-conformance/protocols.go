// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/protocol"
)

// usual is the protocol that is judged where nothing else is asked for.
func usual() protocol.Protocol { return conformance.Protocols()[0] }

// protocolOf is the one that a run in the lab judges: the one that was named; else that of all clauses and areas that were chosen.
func (f runFlags) protocolOf() protocol.Protocol {
	if p, known := protocol.Named(conformance.Protocols(), f.foreign.protocol); known {
		return p
	}
	areas := slices.Clone(f.selection.Areas)
	for _, id := range f.selection.Clauses {
		areas = append(areas, areaOf(id))
	}
	for _, p := range conformance.Protocols() {
		if len(areas) > 0 && !slices.ContainsFunc(areas, func(area string) bool { return !slices.Contains(p.Clauses.Areas, strings.ToUpper(area)) }) {
			return p
		}
	}
	return usual()
}

// areaOf is the area of a clause, as its id says it.
func areaOf(id string) string { return id[:max(0, strings.LastIndex(id, "-"))] }

// implementations are the names of those that can be put under test in a lab, of all protocols, each once.
func implementations() []string {
	var names []string
	for _, f := range everyImplementation() {
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	return names
}

// dialects are those of all protocols.
func dialects() []clauses.Dialect {
	var all []clauses.Dialect
	for _, p := range conformance.Protocols() {
		all = append(all, p.Clauses.Dialects...)
	}
	return all
}

// everyImplementation is one of any protocol: guests of the lab are made for all of them.
func everyImplementation() []implementation.Facts {
	var all []implementation.Facts
	for _, p := range conformance.Protocols() {
		all = append(all, p.Implementations...)
	}
	return all
}

// foreignProtocol is how implementations of a dialect are judged that somebody else runs; nil for a dialect of no protocol.
func foreignProtocol(dialect string) *foreign.Protocol {
	return protocol.Foreign(conformance.Protocols(), clauses.Dialect(dialect))
}

// foreignDialects are those that a foreign implementation can have, with commas between them.
func foreignDialects() string {
	return strings.Join(words(protocol.ForeignDialects(conformance.Protocols())...), ", ")
}

// protocolNames are those of all protocols.
func protocolNames() (names []string) {
	for _, p := range conformance.Protocols() {
		names = append(names, p.Name)
	}
	return names
}

// identityWords are what owners of targets may have to tell, of all protocols.
func identityWords() (all []foreign.Word) {
	for _, p := range conformance.Protocols() {
		if p.Foreign != nil {
			all = append(all, p.Foreign.Targets.Identity...)
		}
	}
	return all
}

func identityNames() (names []string) {
	for _, w := range identityWords() {
		names = append(names, w.Name)
	}
	return names
}

// foreignSpecs are those for implementations of a role that somebody else runs, of all protocols.
func foreignSpecs(role clauses.Role) (all []foreign.Spec) {
	for _, p := range conformance.Protocols() {
		switch {
		case p.Foreign == nil:
		case role == clauses.Target:
			all = append(all, p.Foreign.Targets.Specs()...)
		case p.Foreign.Initiators.Specs != nil:
			all = append(all, p.Foreign.Initiators.Specs()...)
		}
	}
	return all
}
