// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"

	"github.com/ibnbd/ibnbd/conformance/mutants/lab"
	"github.com/ibnbd/ibnbd/vm"
	"github.com/ibnbd/ibnbd/vm/agent"
	"github.com/ibnbd/ibnbd/vm/fabric"
)

// mutate makes the pair look broken to a spec that has to do with a mutant. A machine that the spec starts anew looks as it is.
func mutate(p *Pair, spec string) error {
	name := env.config.Mutants[spec]
	if name == "" {
		return nil
	}
	m, known := lab.Named(name)
	if !known {
		return fmt.Errorf("there is no mutant %q", name)
	}
	if m.Lost != nil {
		for rail := range p.Lab.Rails() {
			p.Inject(rail, fabric.Fault{Match: m.Lost(p.TargetHost.Name(), p.InitiatorHost.Name()), Action: fabric.Drop{}})
		}
	}
	for host, hop := range map[*vm.Host]func() agent.FileHop{p.TargetHost: m.Target, p.InitiatorHost: m.Initiator} {
		if hop != nil {
			host.Agent().AlterFiles(hop())
		}
	}
	return nil
}

// restore shows the files as they are, so that what a spec has made can be taken down. The rails are mended with all others.
func restore(p *Pair) {
	for _, h := range p.Lab.Hosts() {
		h.Agent().AlterFiles(nil)
	}
}
