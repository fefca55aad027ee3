// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/clauses"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/subject"
	"github.com/ibnbd/ibnbd/conformance/implementation"
	"github.com/ibnbd/ibnbd/conformance/kit"
	"github.com/ibnbd/ibnbd/vm"
)

// newTarget makes the target of a configuration.
func newTarget(t *kit.Testbed, c kit.Config) (subject.Target, error) {
	known, ok := implementation.Named(subject.Implementations, c.Target)
	if !ok || known.NewTarget == nil {
		return nil, fmt.Errorf("there is no target %q", c.Target)
	}
	return known.NewTarget(environmentOf(c, clauses.Target, t.TargetHost)), nil
}

// newInitiator makes the initiator of a configuration.
func newInitiator(t *kit.Testbed, c kit.Config) (subject.Initiator, error) {
	known, ok := implementation.Named(subject.Implementations, c.Initiator)
	if !ok || known.NewInitiator == nil {
		return nil, fmt.Errorf("there is no initiator %q", c.Initiator)
	}
	return known.NewInitiator(environmentOf(c, clauses.Initiator, t.InitiatorHost)), nil
}

func environmentOf(c kit.Config, role clauses.Role, host *vm.Host) subject.Environment {
	return subject.Environment{
		Host: host, Release: c.Lab.Image.Manifest.Release, Programs: c.Programs, Version: c.Version, Settings: c.Settings[role],
	}
}
