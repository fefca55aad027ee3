// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/vm"
)

// Implementation is one that can be put under test in a lab: what is known of it, and how it is made a target or an initiator
// on a host.
type Implementation struct {
	implementation.Facts
	NewTarget    func(Environment) Target    // nil where it has none
	NewInitiator func(Environment) Initiator // nil where it has none
}

// Environment is where an implementation is put under test.
type Environment struct {
	Host     *vm.Host
	Release  string // of the host's kernel
	Programs string // directory with what Build has compiled
	Version  string // of this project
}

// Implementations are all that there are. The first is the one under test where nothing else is asked for.
var Implementations = []Implementation{Mainline, Reference, KMod}
