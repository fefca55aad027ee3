// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"github.com/ibnbd/ibnbd/conformance/audit"
	"github.com/ibnbd/ibnbd/conformance/audit/live"
	"github.com/ibnbd/ibnbd/conformance/ibnbd/judge"
)

// WatchPackets follows all rails until the spec ends, so that faults can be chosen by what a frame means to storage. What was
// connected before is not known to it.
func (p *Pair) WatchPackets() *live.Watcher {
	w := live.NewWatcher(audit.Options{Protocols: []*audit.Protocol{judge.Protocol}})
	for _, rail := range p.Lab.Rails() {
		p.AtEnd(w.Attach(rail))
	}
	return w
}
