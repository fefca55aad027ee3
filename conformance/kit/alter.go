// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"

	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// Alteration stands between the suite and the pair under test, so that the pair looks broken to a spec.
type Alteration struct {
	// What stands between the suite and the files of each machine. It is made anew for each spec; nil stands for nothing.
	Target, Initiator func() agent.FileHop
	// What stands between the suite and the programs of the initiator's machine; nil stands for nothing.
	Programs agent.ProgramHop
	// Wire is what rails do besides to what machines of these names send; nil stands for nothing. It is asked anew for each rail
	// and spec.
	Wire func(target, initiator string) fabric.Fault
}

// hops stand between the suite and a machine.
type hops struct {
	files    agent.FileHop
	programs agent.ProgramHop
}

// alter makes the pair look broken to a spec for which the configuration names an alteration.
func alter(t *Testbed, spec string) error {
	name := env.config.Mutants[spec]
	if name == "" {
		return nil
	}
	if env.protocol.Alteration == nil {
		return fmt.Errorf("there is no mutant %q of this protocol", name)
	}
	a, known := env.protocol.Alteration(name)
	if !known {
		return fmt.Errorf("there is no mutant %q", name)
	}
	if a.Wire != nil {
		for rail := range t.Lab.Rails() {
			t.Inject(rail, a.Wire(t.TargetHost.Name(), t.InitiatorHost.Name()))
		}
	}
	t.hops = map[*vm.Host]hops{
		t.TargetHost:    {files: anew(a.Target)},
		t.InitiatorHost: {files: anew(a.Initiator), programs: a.Programs},
	}
	for host := range t.hops {
		t.putHops(host)
	}
	return nil
}

func anew(hop func() agent.FileHop) agent.FileHop {
	if hop == nil {
		return nil
	}
	return hop()
}

// putHops puts the hops of an alteration, if there are any, in front of a machine, as it is now.
func (t *Testbed) putHops(host *vm.Host) {
	host.Agent().AlterFiles(t.hops[host].files)
	host.Agent().AlterPrograms(t.hops[host].programs)
}

// restore shows machines as they are, so that what a spec has made can be taken down. The rails are mended with all others.
func restore(t *Testbed) {
	t.hops = nil
	for _, h := range t.Lab.Hosts() {
		t.putHops(h)
	}
}
