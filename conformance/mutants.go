// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/mutant"
)

// Mutants are the broken implementations of all protocols.
func Mutants() mutant.Set {
	var sets []mutant.Set
	for _, p := range Protocols() {
		if p.Mutants != nil {
			sets = append(sets, p.Mutants())
		}
	}
	return mutant.Join(sets...)
}

// WithPair is the lab with the subjects of a pair that mutants are made of.
func (l LabRun) WithPair(p mutant.PairNames) LabRun {
	l.Target, l.Initiator, l.StaticKeys = p.Target, p.Initiator, p.With == clauses.StaticKeys
	return l
}
