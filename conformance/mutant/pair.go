// SPDX-License-Identifier: Apache-2.0

package mutant

import "github.com/ibnbd/ibnbd/conformance/clauses"

// PairNames is a target and an initiator by the names of their implementations.
type PairNames struct {
	Target, Initiator string
	With              clauses.Ability // that the target is given where its owner can choose; "" leaves it as it is
}

// String names the pair for people and directories.
func (p PairNames) String() string {
	name := p.Target + "-" + p.Initiator
	if p.With != "" {
		name += "-" + string(p.With)
	}
	return name
}
