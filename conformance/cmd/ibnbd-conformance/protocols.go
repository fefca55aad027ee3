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
