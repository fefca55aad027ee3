// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/ibnbd/ibnbd/conformance"
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/foreign"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/protocol"
)

// underTest is the protocol whose specs are run.
func underTest() protocol.Protocol { return conformance.Protocols()[0] }

// implementations are the names of those that can be put under test in a lab.
func implementations() []string { return implementation.Names(underTest().Implementations) }

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
