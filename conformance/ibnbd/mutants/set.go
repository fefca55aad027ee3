// SPDX-License-Identifier: Apache-2.0

package mutants

import (
	"slices"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/recordings"
	"github.com/ibnbd/ibnbd/conformance/mutant"
)

// Set is what the suite has of mutants of IBNBD over IBTRS.
func Set() mutant.Set {
	return mutant.Set{InProcess: append(inProcess(), recordings.Mutants()...), InLab: lab.Mutants()}
}

// row is an entry of the tables of this package: a mutant of the reference's server or client.
type row struct{ mutant.Mutant }

// inProcess are the mutants of the tables of this package, in order.
func inProcess() []mutant.Mutant {
	var all []mutant.Mutant
	for _, r := range slices.Concat(
		connecting(), information(), immediates(), requests(), keys(), messages(), opening(), blocks(), lives(), using(), volume(), together(), serverSpecs(), gated(), liars(),
		clientConnecting(), clientResponses(), clientKeys(), clientPaths(), clientBlocks(), clientLimits(), clientRecovery(), clientWaits(),
		serverPackets(), clientPackets(),
	) {
		all = append(all, r.Mutant)
	}
	return all
}

// alsoBreaks names further clauses that cannot be kept when the first is broken.
func (r row) alsoBreaks(clauses ...string) row {
	r.Breaks = append(r.Breaks, clauses...)
	return r
}

// slowly says that the mutant is found by waiting.
func (r row) slowly() row {
	r.Slow = true
	return r
}
