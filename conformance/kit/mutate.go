// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/ibnbd/mutants/lab"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
)

// hops stand between the suite and a machine.
type hops struct {
	files    agent.FileHop
	programs agent.ProgramHop
}

// mutate makes the pair look broken to a spec that has to do with a mutant.
func mutate(p *Pair, spec string) error {
	name := env.config.Mutants[spec]
	if name == "" {
		return nil
	}
	m, known := lab.Named(name)
	if !known {
		return fmt.Errorf("there is no mutant %q", name)
	}
	if m.Wire != nil {
		for rail := range p.Lab.Rails() {
			p.Inject(rail, m.Wire(p.TargetHost.Name(), p.InitiatorHost.Name()))
		}
	}
	p.hops = map[*vm.Host]hops{
		p.TargetHost:    {files: anew(m.Target)},
		p.InitiatorHost: {files: anew(m.Initiator), programs: m.Programs},
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

// putHops puts a mutant's hops, if there are any, in front of a machine, as it is now.
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
