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

// alterations finds those that [Config.Mutants] names.
var alterations = func(string) (Alteration, bool) { return Alteration{}, false }

// AlterBy sets the function that finds the alterations which [Config.Mutants] names.
func AlterBy(named func(name string) (Alteration, bool)) { alterations = named }

// hops stand between the suite and a machine.
type hops struct {
	files    agent.FileHop
	programs agent.ProgramHop
}

// alter makes the pair look broken to a spec for which the configuration names an alteration.
func alter(p *Pair, spec string) error {
	name := env.config.Mutants[spec]
	if name == "" {
		return nil
	}
	a, known := alterations(name)
	if !known {
		return fmt.Errorf("there is no mutant %q", name)
	}
	if a.Wire != nil {
		for rail := range p.Lab.Rails() {
			p.Inject(rail, a.Wire(p.TargetHost.Name(), p.InitiatorHost.Name()))
		}
	}
	p.hops = map[*vm.Host]hops{
		p.TargetHost:    {files: anew(a.Target)},
		p.InitiatorHost: {files: anew(a.Initiator), programs: a.Programs},
	}
	for host := range p.hops {
		p.putHops(host)
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
func (p *Pair) putHops(host *vm.Host) {
	host.Agent().AlterFiles(p.hops[host].files)
	host.Agent().AlterPrograms(p.hops[host].programs)
}

// restore shows machines as they are, so that what a spec has made can be taken down. The rails are mended with all others.
func restore(p *Pair) {
	p.hops = nil
	for _, h := range p.Lab.Hosts() {
		p.putHops(h)
	}
}
